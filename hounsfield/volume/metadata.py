"""What a volume says of itself: the group's attributes ``hounsfield`` and ``ome``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hounsfield.dicom.attributes import AttributeTable, JsonDataset
from hounsfield.dicom.geometry import StackGeometry
from hounsfield.errors import GeometryError
from hounsfield.volume.layout import multiscales
from hounsfield.volume.series import Stack
from hounsfield.volume.suv import suv_factors

__all__ = ["metadata_of", "ngff_of"]

#: 1 knew stacks of axes (z, y, x) only, all of them regular.
FORMAT = 2


def metadata_of(stack: Stack, table: AttributeTable, *, photometrics: set[str]) -> dict[str, Any]:
    """The ``hounsfield`` attribute, without digest and provenance.

    Parameters
    ----------
    table
        Attributes of the instances.
    photometrics
        PhotometricInterpretation of the values, as decoded; one, or they make no volume.

    Raises
    ------
    GeometryError
        The frames of a film are of several colour spaces.
    """
    header = stack.header
    if len(photometrics) != 1:
        raise GeometryError("the frames are of several colour spaces")
    metadata: dict[str, Any] = {
        "format": FORMAT,
        "axes": list(stack.axes),
        "shape": list(stack.shape),
        "dtype": header.dtype,
        **_place(stack),
        "stacked": stack.apart.to_dict() if stack.apart else None,
        "rescale": {
            "slope": _once([item.slope for item in stack.slices]),
            "intercept": _once([item.intercept for item in stack.slices]),
            "type": header.rescale_type or "",
            # Only where there is one, so that the digests of others stay what they are.
            **({"lut": "ModalityLUTSequence"} if header.has_lut else {}),
        },
        "Modality": header.Modality,
        "PhotometricInterpretation": next(iter(photometrics)),
        "PixelPaddingValue": header.padding[0],
        "PixelPaddingRangeLimit": header.padding[1],
        "StudyInstanceUID": header.StudyInstanceUID,
        "SeriesInstanceUID": header.SeriesInstanceUID,
        "FrameOfReferenceUID": header.FrameOfReferenceUID,
        "SOPInstanceUIDs": [item.sop_instance_uid for item in stack.slices],
        "frames": [item.frame for item in stack.slices],
    }
    if header.Modality == "PT":
        metadata["suv"] = suv_factors(table.dataset(0), _acquired(table))
    return metadata


def ngff_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The ``ome`` attribute: nothing that the ``hounsfield`` attribute does not say."""
    axes, affine = metadata.get("axes", "zyx"), metadata["affine_lps"]
    if affine is not None:
        scale = dict(zip("zyx", metadata["spacing_zyx_mm"], strict=True))
        origin = {name: row[3] for name, row in zip("xyz", affine, strict=False)}
        return multiscales(axes, scale, origin)
    spacing, seconds = metadata["spacing_yx_mm"], metadata["frame_seconds"]
    scale = dict(zip("yx", spacing, strict=True)) if spacing else {}
    if seconds is not None:
        scale["t"] = seconds
    return multiscales(axes, scale, {}, seconds=seconds is not None)


def _place(stack: Stack) -> dict[str, Any]:
    """Where the voxels are: in the patient, or on a picture alone."""
    if stack.geometry is not None:
        return _in_patient(stack.geometry)
    picture = stack.header.picture
    assert picture is not None
    return {
        "affine_lps": None,
        "spacing_yx_mm": None if picture.spacing_yx is None else list(picture.spacing_yx),
        "spacing_source": picture.spacing_source,
        "frame_seconds": picture.frame_seconds,
    }


def _in_patient(geometry: StackGeometry) -> dict[str, Any]:
    place = {
        "affine_lps": geometry.affine.tolist(),
        "spacing_zyx_mm": list(geometry.spacing_zyx),
        "spacing_source": geometry.spacing_source,
        "gantry_tilt_degrees": round(geometry.tilt_degrees, 6),
        "regular": geometry.regular,
    }
    if not geometry.regular:
        place["positions_lps"] = geometry.positions.tolist()
    return place


def _once(values: list[float]) -> list[float]:
    """One value for all slices where they agree, else one a slice."""
    return values[:1] if len(set(values)) == 1 else values


def _acquired(table: AttributeTable) -> list[str]:
    """AcquisitionDate and AcquisitionTime of each instance."""
    return [
        _text(own.elements, table.shared.elements, "00080022")
        + _text(own.elements, table.shared.elements, "00080032")
        for own in table.instances
    ]


def _text(own: JsonDataset, shared: JsonDataset, tag: str) -> str:
    values = (own.get(tag) or shared.get(tag) or {}).get("Value")
    return str(values[0]) if values else ""
