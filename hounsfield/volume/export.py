"""The way back: a volume as the DICOM series that it was made from."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from hounsfield.dicom.folders import new_folder, uid_name
from hounsfield.dicom.writing import write_dataset
from hounsfield.errors import GeometryError, IntegrityError, NotFound
from hounsfield.volume.chunk import SUFFIX
from hounsfield.volume.volume import Volume

__all__ = ["export_volumes", "instances_of", "write_instances"]

# They describe how the pixels were compressed, and these are not (PS3.3 C.7.6.3.1.8).
_OF_ENCAPSULATION: Final = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
_FLOATS: Final = {"float32": "FloatPixelData", "float64": "DoubleFloatPixelData"}


def export_volumes(source: Path, destination: Path) -> int:
    """Writes the series of one volume, or of each volume in a folder.

    Parameters
    ----------
    source
        A volume's folder, or one that holds such, as ``hounsfield chunk`` makes.
    destination
        A new folder. Gets a folder for each series, named by its SeriesInstanceUID. It
        appears whole or not at all.

    Returns
    -------
    int
        How many instances.

    Raises
    ------
    NotFound
        There is no volume.
    ConfigError
        Something lies at `destination` already.
    IntegrityError
        A volume is not what was written.
    """
    paths = [source] if (source / "zarr.json").is_file() else sorted(source.glob(f"*{SUFFIX}"))
    if not paths:
        raise NotFound("there is no volume at this place", remedy="name one, or a folder of them")
    with new_folder(destination) as draft:
        return sum(write_instances(Volume.open(path), draft) for path in paths)


def write_instances(volume: Volume, folder: Path) -> int:
    """Writes the instances of a volume to a folder of their series in `folder`.

    Raises
    ------
    IntegrityError, GeometryError
        As :func:`instances_of`.
    """
    count = 0
    for dataset in instances_of(volume):
        name = f"{uid_name(str(dataset.SOPInstanceUID))}.dcm"
        write_dataset(dataset, folder / uid_name(str(dataset.SeriesInstanceUID)) / name)
        count += 1
    return count


def instances_of(volume: Volume) -> Iterator[Dataset]:
    """Each instance again: every attribute, and pixels equal to the volume's, uncompressed.

    Where pixels of the volume are not those that it was made from, since a face was cut out,
    the instances are derived ones with UIDs of their own (PS3.3 C.12.4.1.1), the same at every
    call.

    Raises
    ------
    IntegrityError
        The volume is not what was written.
    GeometryError
        Its slices were resampled, so that they are not those of its series any more.
    """
    volume.verify()
    if volume.metadata.get("resampled"):
        raise GeometryError(
            "the slices of a volume were resampled, and are not those of its series any more",
            remedy="export the raw study, or chunk the series without resampling",
        )
    order = _planes_by_instance(volume)
    held: dict[str, list[np.ndarray | None]] = {uid: [None] * len(at) for uid, at in order.items()}
    for index, (uid, plane) in enumerate(
        zip(volume.sop_instance_uids, volume.planes(), strict=True)
    ):
        held[uid][order[uid][index]] = plane
        if all(one is not None for one in held[uid]):
            number = list(order).index(uid)
            yield _instance(volume, number, [one for one in held.pop(uid) if one is not None])


def _planes_by_instance(volume: Volume) -> dict[str, dict[int, int]]:
    """SOPInstanceUID → number of each of its planes in the volume → frame of the instance."""
    order: dict[str, dict[int, int]] = {}
    planes = zip(volume.sop_instance_uids, volume.frames, strict=True)
    for index, (uid, frame) in enumerate(planes):
        order.setdefault(uid, {})[index] = frame
    if any(sorted(frames.values()) != list(range(len(frames))) for frames in order.values()):
        raise IntegrityError("a volume does not hold every frame of an instance")
    return order


def _instance(volume: Volume, number: int, frames: list[np.ndarray]) -> Dataset:
    dataset = volume.attributes.dataset(number)
    for keyword in _OF_ENCAPSULATION:
        if keyword in dataset:
            del dataset[keyword]
    _write_whole_numbers(dataset)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    _put_pixels(dataset, volume, frames)
    if volume.metadata.get("deface", {}).get("done"):
        _derive(dataset, volume)
    return dataset


def _put_pixels(dataset: Dataset, volume: Volume, frames: list[np.ndarray]) -> None:
    colour = volume.axes[-3:] == ("c", "y", "x")
    planes = [np.moveaxis(frame, 0, -1) if colour else frame for frame in frames]
    little = volume.array.dtype.newbyteorder("<")
    content = b"".join(np.ascontiguousarray(plane, little).tobytes() for plane in planes)
    content += b"\0" * (len(content) % 2)  # PS3.5 Section 8.1.1
    dataset.PhotometricInterpretation = volume.metadata["PhotometricInterpretation"]
    if colour:
        dataset.PlanarConfiguration = 0
    if str(volume.array.dtype) in _FLOATS:
        setattr(dataset, _FLOATS[str(volume.array.dtype)], content)
        return
    dataset.BitsAllocated = volume.array.dtype.itemsize * 8
    dataset.PixelData = content
    dataset["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
    if dataset.PhotometricInterpretation == "YBR_FULL":
        # Uncompressed it is not allowed for ultrasound (PS3.3 C.8.5.6.1.2), and RGB would be
        # other values. RLE keeps them, plane by plane.
        dataset.compress(RLELossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
        dataset.PlanarConfiguration = 1


def _write_whole_numbers(dataset: Dataset) -> None:
    """Decimal strings of whole numbers as such: JSON made 90.0 of 90, which a term may be."""
    for element in dataset.iterall():
        if element.VR == "DS" and not element.is_empty:
            several = isinstance(element.value, MultiValue)
            values = list(element.value) if several else [element.value]
            plain = [str(int(v)) if float(v).is_integer() else v for v in values]
            element.value = plain if several else plain[0]


def _derive(dataset: Dataset, volume: Volume) -> None:
    """Other pixels are another image, and say what it was made from."""
    source = Dataset()
    source.ReferencedSOPClassUID = dataset.SOPClassUID
    source.ReferencedSOPInstanceUID = dataset.SOPInstanceUID
    dataset.SourceImageSequence = [source]
    dataset.SOPInstanceUID = _uid(volume.digest, str(dataset.SOPInstanceUID))
    dataset.SeriesInstanceUID = _uid(volume.digest, str(dataset.SeriesInstanceUID))
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    kind = list(dataset.get("ImageType") or ["", "PRIMARY"])
    dataset.ImageType = ["DERIVED", *kind[1:]]
    dataset.DerivationDescription = "The face was cut away."
    dataset.RecognizableVisualFeatures = "NO"  # PS3.3 C.12.1.1.9


def _uid(digest: str, uid: str) -> str:
    """``2.25.`` and a UUID as an integer (PS3.5 Annex B.2): equal input, equal UID."""
    raw = bytearray(sha256(f"{digest}\0{uid}".encode()).digest()[:16])
    raw[6] = (raw[6] & 0x0F) | 0x80  # UUID version 8 (RFC 9562)
    raw[8] = (raw[8] & 0x3F) | 0x80
    return f"2.25.{int.from_bytes(raw, 'big')}"
