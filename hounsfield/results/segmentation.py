"""A prediction's mask as a DICOM Segmentation (PS3.3 A.51; LABELMAP: A.90)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from hounsfield.errors import GeometryError, HounsfieldError, ModelError
from hounsfield.records import Prediction, Segment
from hounsfield.results.coding import algorithm_family, concept, own_coding_schemes
from hounsfield.results.evidence import as_read
from hounsfield.results.identity import identity_of, plain, seal, short_digest
from hounsfield.results.outputs import OutputSettings
from hounsfield.results.sources import SourceImages

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription

__all__ = ["build_seg", "frame_of_reference", "segment_numbers", "tracking", "without_traces"]

logger = logging.getLogger(__name__)

# Distinct on grey, also for the colour-blind (Okabe and Ito, 2008); one a segment, in turn.
_COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0))


def build_seg(
    prediction: Prediction,
    mask: npt.NDArray[np.uint8],
    sources: Sequence[Dataset] | SourceImages,
    *,
    uid: Callable[[str], str],
    when: datetime,
    settings: OutputSettings | None = None,
    affine: npt.NDArray[np.float64] | None = None,
    frames: Sequence[int] | None = None,
) -> Dataset | None:
    """The SEG of a prediction, in the original patient and study.

    The same arguments give the same bytes: UIDs are derived, and `when` is the only clock.

    Parameters
    ----------
    prediction
        Its segments say what the values of the mask mean.
    mask
        Label values, uint8, axes (z, y, x), on the grid of `sources`; 0 is background.
    sources
        The identified source dataset of each slice, in the volume's order (see
        ``SourceImages.read``). Pixel data need not be there.
    uid
        Derives a UID from a text, such as ``Pseudonyms.uid``.
    when
        When the prediction was made: the content date and time.
    affine
        The volume's 4×4 affine; where given, each slice is checked against it.
    frames
        Of multi-frame sources: the zero-based frame of each slice, as ``Volume.frames``.

    Returns
    -------
    Dataset or None
        A dataset as a reader of the file has it; None where the mask is empty, since a SEG
        must have a frame.

    Raises
    ------
    GeometryError
        The mask or the affine does not fit the source images.
    ModelError
        A value of the mask has no segment, or a code is not whole.
    """
    images = sources if isinstance(sources, SourceImages) else SourceImages.read(sources, frames)
    settings = settings or OutputSettings()
    if affine is not None:
        images.check_against(affine)
    labels = _numbered(prediction, mask, images)
    if not labels.any():
        logger.info("The mask of %s is empty: there is no SEG.", prediction.study_key)
        return None
    with without_traces("segmentation"):
        return _build(prediction, labels, images, uid, when, settings)


def segment_numbers(prediction: Prediction) -> dict[int, int]:
    """SegmentNumber by label value: 1, 2, … in the order of the values, as PS3.3 C.8.20 wants."""
    values = sorted(segment.number for segment in prediction.segments)
    if len(set(values)) < len(values) or (values and values[0] < 1):
        raise ModelError("the prediction's segments are not numbered 1 and up, each once")
    return {value: number for number, value in enumerate(values, 1)}


def tracking(prediction: Prediction, index: int, uid: Callable[[str], str]) -> tuple[str, str]:
    """TrackingID and TrackingUID of a finding: the same in the SEG and in the SR."""
    name = f"{prediction.model} {prediction.findings[index].label} {index + 1}"
    return plain(name), uid(f"tracking|{prediction.prediction_id}|{index}")


def frame_of_reference(images: SourceImages, uid: Callable[[str], str]) -> str:
    """The source's FrameOfReferenceUID, or one of its series where it has none."""
    stated = str(images.header.get("FrameOfReferenceUID") or "").strip()
    return stated or uid(f"frame-of-reference|{images.header.SeriesInstanceUID}")


@contextmanager
def without_traces(what: str) -> Iterator[None]:
    """Keeps what highdicom logs and raises to itself: both may quote original UIDs."""
    library = logging.getLogger("highdicom")
    level = library.level
    library.setLevel(logging.CRITICAL + 1)
    try:
        yield
    except HounsfieldError:
        raise
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        # The place is told instead of the message, which may quote a UID.
        last = extract_tb(error.__traceback__)[-1]
        raise ModelError(
            f"the {what} could not be built: {type(error).__name__} in "
            f"{Path(last.filename).name} line {last.lineno}",
            remedy="compare the prediction's codes and the source's header with the Standard",
        ) from None
    finally:
        library.setLevel(level)


def _numbered(
    prediction: Prediction, mask: npt.NDArray[np.uint8], images: SourceImages
) -> npt.NDArray[np.uint8]:
    """The mask with SegmentNumbers for label values."""
    if mask.shape != images.shape:
        raise GeometryError(f"the mask is {mask.shape}, the source images are {images.shape}")
    numbers = segment_numbers(prediction)
    counts = np.bincount(mask.ravel(), minlength=256)
    table = np.zeros(counts.size, dtype=np.uint8)
    for value, number in numbers.items():
        table[value] = number
    strangers = [int(v) for v in np.flatnonzero(counts[1:]) + 1 if v not in numbers]
    if strangers:
        raise ModelError(f"the mask holds label values without a segment: {strangers[:8]}")
    if all(value == number for value, number in numbers.items()):
        return mask
    return table[mask]


def _build(
    prediction: Prediction,
    labels: npt.NDArray[np.uint8],
    images: SourceImages,
    uid: Callable[[str], str],
    when: datetime,
    settings: OutputSettings,
) -> Dataset:
    from highdicom.seg import Segmentation

    kind = settings.segmentation.type
    identity = identity_of(images.header)
    seed = f"seg|{prediction.prediction_id}|{kind}|{short_digest(identity)}"
    descriptions = _descriptions(prediction, uid)
    built = Segmentation(
        source_images=images.stand_ins(frame_of_reference(images, uid)),
        pixel_array=labels,
        segmentation_type=kind,
        segment_descriptions=descriptions,
        series_instance_uid=uid(f"{seed}|series"),
        series_number=settings.segmentation.series_number,
        sop_instance_uid=uid(seed),
        instance_number=1,
        manufacturer=settings.manufacturer,
        manufacturer_model_name=plain(prediction.model),
        software_versions=plain(prediction.version),
        device_serial_number=settings.device_serial_number,
        omit_empty_frames=True,
        content_label=_code_string(prediction.model),
        content_description=plain(prediction.disclaimer),
        content_creator_name="",
        content_qualification="RESEARCH",
        coding_schemes=own_coding_schemes(),
        series_description=series_description(prediction, "SEG"),
    )
    _fix_dimension(built, uid(f"{seed}|dimension"))
    _restore_references(built, images)
    seal(built, identity, when)
    return as_read(built)


def series_description(prediction: Prediction, kind: str) -> str:
    """SeriesDescription: what a radiologist sees in the list of series, and the warning."""
    warning = " - NOT FOR DIAGNOSTIC USE"
    name = plain(f"{prediction.model} {prediction.version} {kind}", 64 - len(warning))
    return name + warning


def _descriptions(prediction: Prediction, uid: Callable[[str], str]) -> list[SegmentDescription]:
    numbers = segment_numbers(prediction)
    ordered = sorted(prediction.segments, key=lambda segment: segment.number)
    return [_description(prediction, one, numbers[one.number], uid) for one in ordered]


def _description(
    prediction: Prediction, segment: Segment, number: int, uid: Callable[[str], str]
) -> SegmentDescription:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription

    findings = [i for i, f in enumerate(prediction.findings) if f.segment == segment.number]
    # A segment that outlines several findings tracks none of them.
    name, identifier = tracking(prediction, findings[0], uid) if len(findings) == 1 else (None,) * 2
    regions: Any = [concept(segment.anatomic_region)] if segment.anatomic_region else None
    return SegmentDescription(
        segment_number=number,
        segment_label=plain(segment.label) or f"Segment {number}",
        segmented_property_category=concept(segment.category),
        segmented_property_type=concept(segment.type),
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=plain(prediction.model),
            family=algorithm_family(prediction),
            version=plain(prediction.version),
            source="Hounsfield",
            parameters={"algorithm": plain(prediction.algorithm, 1024)},
        ),
        tracking_id=name,
        tracking_uid=identifier,
        anatomic_regions=regions,
        display_color=CIELabColor.from_rgb(*_COLOURS[(number - 1) % len(_COLOURS)]),
    )


def _fix_dimension(built: Dataset, organization_uid: str) -> None:
    """Replaces the one UID that highdicom draws by lot."""
    for item in built.DimensionOrganizationSequence:
        item.DimensionOrganizationUID = organization_uid
    for item in built.DimensionIndexSequence:
        item.DimensionOrganizationUID = organization_uid


def _restore_references(built: Dataset, images: SourceImages) -> None:
    """Of multi-frame sources: from places in the volume back to instances and their frames."""
    if not images.is_multi_frame:
        return
    # highdicom shares an item among the segments of a slice: each is to be changed once.
    items = {
        id(source): source
        for frame in built.PerFrameFunctionalGroupsSequence
        for derivation in frame.get("DerivationImageSequence") or ()
        for source in derivation.SourceImageSequence
    }
    for source in items.values():
        origin = images.slices[int(source.ReferencedFrameNumber) - 1]
        source.ReferencedSOPInstanceUID = origin.SOPInstanceUID
        source.ReferencedFrameNumber = origin.frame_number
    references = []
    for uid in dict.fromkeys(one.SOPInstanceUID for one in images.slices):
        reference = Dataset()
        reference.ReferencedSOPClassUID = str(images.header.SOPClassUID)
        reference.ReferencedSOPInstanceUID = uid
        references.append(reference)
    built.SourceImageSequence = references
    built.ReferencedSeriesSequence[0].ReferencedInstanceSequence = references


def _code_string(text: str) -> str:
    """A CS of 16 characters at most (PS3.5 6.2)."""
    kept = "".join(c if c.isalnum() else "_" for c in plain(text).upper())
    return kept[:16].strip("_") or "SEGMENTATION"
