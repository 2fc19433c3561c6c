"""phantoms: a labelled training set of generated chests, for the demonstration's model.

They take the way of any other data from here on: volumes, labels with their source, a
snapshot with its digest; so that the demonstration's lineage is as real as a hospital's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from hounsfield.catalog.models import Label, Product, Series, Study
from hounsfield.datasets.cohort import PHANTOMS
from hounsfield.records import RunContext, digest_of
from hounsfield.site import Site
from hounsfield.stages.chunk import VOLUME
from hounsfield.stages.produce import Recipe, produce
from hounsfield.volume import build_volume

if TYPE_CHECKING:
    from hounsfield.phantom import ChestPhantom

__all__ = ["LABEL_KIND", "make_phantoms"]

LABEL_KIND = "lung-nodule"
LABEL = "label.zarr"

#: (z, y, x): the whole chest at half the resolution of a study, which trains in minutes.
SHAPE = (96, 176, 208)
SPACING_ZYX = (3.0, 2.0, 2.0)
#: In each chest: a chest without one teaches the model little.
LESIONS = 3
_PACKAGES = ("hounsfield.phantom", "hounsfield.volume", "hounsfield.stages.phantoms")
#: Stands for the manufacturers' habits, so that metrics can be broken down by it.
_KERNELS = (("smooth", 0.0), ("sharp", 0.5))


def make_phantoms(site: Site, *, count: int, seed: int, run: RunContext) -> list[str]:
    """Makes chests with their nodules outlined, or finds them; gives their study keys.

    Parameters
    ----------
    count
        How many patients.
    seed
        Of the first; the others follow. Equal seeds give equal chests.
    """
    return [_make(site, seed + number, run) for number in range(count)]


def _make(site: Site, seed: int, run: RunContext) -> str:
    from hounsfield.phantom import chest_volume

    kernel, sharpness = _KERNELS[seed % len(_KERNELS)]
    study_key = site.pseudonyms.text("ph", str(seed))
    series_key = site.pseudonyms.uid(f"phantom series {seed}")
    parameters = {
        "seed": seed,
        "shape": list(SHAPE),
        "spacing": list(SPACING_ZYX),
        "kernel": kernel,
        "lesions": LESIONS,
    }
    recipe = Recipe(
        kind="volume",
        zone="volumes",
        study_key=study_key,
        series_key=series_key,
        input_digest=digest_of(parameters),
        packages=_PACKAGES,
        parameters=parameters,
    )
    labels = Recipe(
        kind="label",
        zone="datasets",
        folder="labels",
        study_key=study_key,
        series_key=series_key,
        input_digest=recipe.input_digest,
        packages=_PACKAGES,
        parameters=parameters,
    )
    if site.catalog.product(labels.identity) is not None:
        return study_key
    phantom = chest_volume(
        seed, shape=SHAPE, spacing_zyx=SPACING_ZYX, sharpness=sharpness, lesions=LESIONS
    )

    def build_image(draft: Path) -> dict[str, Any]:
        slices = _slices(phantom, study_key, series_key, site)
        build_volume(slices, draft / VOLUME, provenance={"phantom": seed})
        return {"modality": "CT", "shape": list(SHAPE), "spacing_zyx": list(SPACING_ZYX)}

    def build_label(draft: Path) -> dict[str, Any]:
        _write_label(phantom, draft / LABEL)
        return {"lesions": len(phantom.lesions)}

    _describe(site, study_key, series_key, kernel)
    produce(site, recipe, build_image, run=run)
    label, _ = produce(site, labels, build_label, run=run)
    site.catalog.put(_label_row(label, series_key))
    return study_key


def _slices(phantom: ChestPhantom, study_key: str, series_key: str, site: Site) -> list[Dataset]:
    """The phantom as CT instances in memory, without a patient."""
    return [_slice(phantom, z, study_key, series_key, site) for z in range(phantom.hu.shape[0])]


def _slice(phantom: ChestPhantom, z: int, study_key: str, series_key: str, site: Site) -> Dataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    image = Dataset()
    image.file_meta = meta
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = site.pseudonyms.uid(f"{series_key} slice {z}")
    meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.StudyInstanceUID = site.pseudonyms.uid(study_key)
    image.SeriesInstanceUID = series_key
    image.FrameOfReferenceUID = site.pseudonyms.uid(f"{series_key} frame of reference")
    image.Modality = "CT"
    image.Manufacturer = "Hounsfield phantom"
    image.InstanceNumber = z + 1
    image.ImagePositionPatient = [
        float(mm) for mm in phantom.affine[:3, 3] + z * phantom.affine[:3, 2]
    ]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.PixelSpacing = [phantom.spacing_zyx[1], phantom.spacing_zyx[2]]
    image.SliceThickness = phantom.spacing_zyx[0]
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = phantom.hu.shape[1:]
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.PixelRepresentation = 1
    image.RescaleSlope, image.RescaleIntercept, image.RescaleType = 1, 0, "HU"
    image.PixelData = phantom.hu[z].astype("<i2").tobytes()
    return image


def _write_label(phantom: ChestPhantom, path: Path) -> None:
    """The lesions' outlines: axes (z, y, x), uint8, the volume's grid; 0 is background."""
    import zarr

    array = zarr.create_array(
        str(path), shape=phantom.lesion_mask.shape, chunks=(32, 88, 104), dtype=np.uint8
    )
    array[:] = phantom.lesion_mask


def _describe(site: Site, study_key: str, series_key: str, kernel: str) -> None:
    site.catalog.put(
        Study(
            study_key=study_key,
            patient_key=study_key,
            project=PHANTOMS,
            key_version=site.pseudonyms.version,
            source=PHANTOMS,
            state="prepared",
            modalities="CT",
            body_part="CHEST",
            series_count=1,
            instance_count=SHAPE[0],
        )
    )
    site.catalog.put(
        Series(
            series_key=series_key,
            study_key=study_key,
            modality="CT",
            body_part="CHEST",
            manufacturer=f"phantom, {kernel}",
            slice_thickness_mm=SPACING_ZYX[0],
            instance_count=SHAPE[0],
        )
    )


def _label_row(product: Product, series_key: str) -> Label:
    return Label(
        label_id=product.product_id,
        series_key=series_key,
        kind=LABEL_KIND,
        uri=product.uri,
        digest=product.digest,
        source="the phantom generator's ground truth",
    )
