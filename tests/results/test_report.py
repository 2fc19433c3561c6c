"""What was found, how sure, how large, where, by what, and that it is no diagnosis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from hounsfield.errors import ModelError
from hounsfield.records import Code, Finding, Measurement, Prediction
from hounsfield.results import (
    OutputSettings,
    Predecessor,
    SourceImages,
    build_seg,
    build_sr,
    part10,
)
from tests.results.made_up import (
    NODULES,
    SCT,
    SEGMENTS,
    SHAPE,
    UID,
    VOLUME,
    WHEN,
    labels,
    multi_frame,
    predict,
    stack,
)

PERCENT = Code("%", "UCUM", "Percent")
EMPHYSEMA = Measurement(Code("EI", "99HOUNSFIELD", "Emphysema index"), 12.5, PERCENT)


def report(prediction: Prediction | None = None, *, with_seg: bool = True, **more: Any) -> Dataset:
    prediction, sources = prediction or predict(), more.pop("sources", None) or stack()
    mask = more.pop("mask", labels())
    seg = build_seg(prediction, mask, sources, uid=UID, when=WHEN) if with_seg else None
    return build_sr(prediction, mask, sources, seg, uid=UID, when=WHEN, **more)


def items(parent: Dataset, meaning: str) -> list[Dataset]:
    return [i for i in parent.get("ContentSequence", ()) if meaning_of(i) == meaning]


def meaning_of(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence") or [Dataset()]
    return str(names[0].get("CodeMeaning", ""))


def groups(document: Dataset) -> list[Dataset]:
    (container,) = items(document, "Imaging Measurements")
    return items(container, "Measurement Group")


def walk(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", ()):
        yield child
        yield from walk(child)


def texts(document: Dataset) -> list[str]:
    return [str(i.TextValue) for i in walk(document) if i.ValueType == "TEXT"]


def numbers(group: Dataset) -> dict[str, tuple[float, str]]:
    return {
        meaning_of(i): (
            float(i.MeasuredValueSequence[0].NumericValue),
            i.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue,
        )
        for i in group.ContentSequence
        if i.ValueType == "NUM"
    }


def test_each_finding_is_coded_measured_tracked_and_identified() -> None:
    document = report()
    first, second = groups(document)
    assert items(first, "Finding")[0].ConceptCodeSequence[0].CodeValue == "27925004"
    assert items(first, "Finding Site")[0].ConceptCodeSequence[0].CodeMeaning == "Lung"
    assert numbers(first) == {
        "Volume": (523.6, "mm3"),
        "Diameter": (10.0, "mm"),
        "Certainty of Finding": (93.0, "%"),
    }
    assert "Certainty of Finding" not in numbers(second)
    tracked = [items(group, "Tracking Unique Identifier")[0].UID for group in (first, second)]
    assert tracked == [UID("tracking|pr-7|0"), UID("tracking|pr-7|1")]
    assert items(first, "Algorithm Name")[0].TextValue == "lung_nodule"
    assert items(first, "Algorithm Version")[0].TextValue == "3"


def test_findings_lie_on_their_own_frames_of_a_shared_segment() -> None:
    prediction, mask, sources = predict(), labels(), stack()
    seg = build_seg(prediction, mask, sources, uid=UID, when=WHEN)
    assert seg is not None
    document = build_sr(prediction, mask, sources, seg, uid=UID, when=WHEN)
    places = []
    for group in groups(document):
        reference = items(group, "Referenced Segment")[0].ReferencedSOPSequence[0]
        assert reference.ReferencedSOPInstanceUID == seg.SOPInstanceUID
        assert "ReferencedSegmentNumber" not in reference  # frames or segments, never both
        frames = [
            seg.PerFrameFunctionalGroupsSequence[n - 1] for n in reference.ReferencedFrameNumber
        ]
        places.append(
            sorted(float(f.PlanePositionSequence[0].ImagePositionPatient[2]) for f in frames)
        )
    z = [float(one.ImagePositionPatient[2]) for one in sources]
    assert places == [z[1:3], z[4:6]]


def test_without_a_seg_a_finding_is_a_region_on_its_fullest_slice() -> None:
    mask = labels()
    mask[1, 2, 3] = 0  # slice 2 now holds more of the first nodule
    sources = stack()
    group = groups(report(with_seg=False, mask=mask, sources=sources))[0]
    (region,) = items(group, "Image Region")
    assert region.GraphicType == "POLYLINE"
    corners = np.reshape(region.GraphicData, (-1, 2))
    assert (corners.min(axis=0).tolist(), corners.max(axis=0).tolist()) == ([3, 2], [6, 5])
    image = region.ContentSequence[0].ReferencedSOPSequence[0]
    assert image.ReferencedSOPInstanceUID == sources[2].SOPInstanceUID


@pytest.mark.parametrize("kind", ["axial", "flipped", "oblique", "gantry-tilted"])
def test_a_centre_is_a_point_on_the_right_pixel(kind: str) -> None:
    sources, (z, y, x) = stack(kind), (4, 8, 2)
    row, column = np.array(sources[0].ImageOrientationPatient, float).reshape(2, 3)
    centre = np.array(sources[z].ImagePositionPatient, float) + x * 0.6 * row + y * 0.7 * column
    finding = Finding("Nodule", SCT["nodule"], centroid_lps=tuple(centre))
    group = groups(report(predict(findings=(finding,)), with_seg=False, sources=sources))[0]
    (region,) = items(group, "Image Region")
    assert region.GraphicType == "POINT"
    np.testing.assert_allclose(region.GraphicData, (x + 0.5, y + 0.5), atol=1e-4)
    image = region.ContentSequence[0].ReferencedSOPSequence[0]
    assert image.ReferencedSOPInstanceUID == sources[z].SOPInstanceUID


def test_a_region_on_a_multi_frame_image_names_the_frame() -> None:
    images = SourceImages.read([multi_frame()], list(range(SHAPE[0]))[::-1])
    group = groups(report(with_seg=False, sources=images))[0]
    image = items(group, "Image Region")[0].ContentSequence[0].ReferencedSOPSequence[0]
    assert image.ReferencedFrameNumber == SHAPE[0] - 1  # slice 1 of the reversed volume


def test_what_is_measured_on_the_whole_volume_has_its_own_group() -> None:
    document = report(predict(measurements=(EMPHYSEMA,)))
    assert numbers(groups(document)[-1]) == {"Emphysema index": (12.5, "%")}


def test_a_measurement_of_the_only_segment_lies_on_it() -> None:
    mask = (labels() == 2).astype(np.uint8)
    lung = replace(SEGMENTS[1], number=1)
    document = report(predict((), (lung,), measurements=(EMPHYSEMA,)), mask=mask)
    (group,) = groups(document)
    assert numbers(group) == {"Emphysema index": (12.5, "%")}
    reference = items(group, "Referenced Segment")[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSegmentNumber == 1
    assert "No findings; see the measurements." in texts(document)


def test_no_findings_are_said_in_words_and_in_codes() -> None:
    mask = labels()
    mask[mask == 1] = 0
    document = report(predict(findings=()), mask=mask)
    assert "No findings." in texts(document)
    # Of the two segments only the nodule is absent: the lung is in the mask.
    (group,) = groups(document)
    assert items(group, "Finding")[0].ConceptCodeSequence[0].CodeMeaning == "Nodule"
    assert items(group, "Presence of property")[0].ConceptCodeSequence[0].CodeMeaning == "Absent"


def test_no_findings_and_no_mask_is_still_a_document() -> None:
    document = build_sr(predict(findings=()), None, stack(), None, uid=UID, when=WHEN)
    assert len(groups(document)) == 1
    assert "No findings." in texts(document)


def test_the_disclaimer_and_the_device_are_in_the_document() -> None:
    document = report()
    (remarks,) = items(document, "Qualitative Evaluations")
    assert remarks.ContentSequence[0].TextValue == (
        "NOT FOR DIAGNOSTIC USE. A demonstration - trained on phantoms."
    )
    assert "NOT FOR DIAGNOSTIC USE" in document.SeriesDescription
    assert document.ContentQualification == "RESEARCH"
    assert items(document, "Observer Type")[0].ConceptCodeSequence[0].CodeMeaning == "Device"
    assert items(document, "Device Observer Model Name")[0].TextValue == "lung_nodule 3"
    assert (document.CompletionFlag, document.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert document.PreliminaryFlag == "PRELIMINARY"


def test_the_language_is_configured() -> None:
    settings = OutputSettings.model_validate(
        {"report": {"language": "de", "language_meaning": "German"}}
    )
    (language,) = items(report(settings=settings), "Language of Content Item and Descendants")
    assert language.ConceptCodeSequence[0].CodeValue == "de"


def test_the_procedure_is_the_sources_own_where_it_says_one() -> None:
    procedure = Dataset()
    procedure.CodeValue, procedure.CodingSchemeDesignator = "24627-2", "LN"
    procedure.CodeMeaning = "CT chest"
    named = report(sources=stack(ProcedureCodeSequence=[procedure]))
    assert items(named, "Procedure reported")[0].ConceptCodeSequence[0].CodeValue == "24627-2"
    assert items(report(), "Procedure reported")[0].ConceptCodeSequence[0].CodeValue == "25045-6"


def test_what_ohif_reads_unasked_is_there() -> None:
    for document in (report(), report(predict(findings=()))):
        assert document.ConceptNameCodeSequence[0].CodeValue == "126000"
        assert items(document, "Image Library")[0].ContentSequence
        assert groups(document)
        for group in groups(document):
            assert all(i.ContentSequence for i in group.ContentSequence if i.ValueType == "NUM")


def test_evidence_names_every_source_and_the_seg() -> None:
    sources = stack()
    document = report(sources=sources)
    referenced = {
        item.ReferencedSOPInstanceUID
        for study in document.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert referenced > {one.SOPInstanceUID for one in sources}
    assert len(referenced) == len(sources) + 1


def test_a_predecessor_is_named_and_gives_another_object() -> None:
    first = report()
    predecessor = Predecessor(str(first.SOPInstanceUID), str(first.SeriesInstanceUID))
    second = report(predecessor=predecessor)
    (study,) = second.PredecessorDocumentsSequence
    assert study.StudyInstanceUID == first.StudyInstanceUID
    (series,) = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == first.SeriesInstanceUID
    (reference,) = series.ReferencedSOPSequence
    assert reference.ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert reference.ReferencedSOPClassUID == first.SOPClassUID
    assert second == report(predecessor=predecessor), "the same again is the same object"
    assert second.SOPInstanceUID != first.SOPInstanceUID


def test_highdicom_reads_the_report_back() -> None:
    from io import BytesIO

    from highdicom.sr import srread

    lung = Finding("Lung", SCT["lung"], (VOLUME,), segment=2)
    content = srread(BytesIO(part10(report(predict(findings=(NODULES[0], lung)))))).content
    found = content.get_volumetric_roi_measurement_groups()
    assert [g.tracking_uid for g in found] == [UID("tracking|pr-7|0"), UID("tracking|pr-7|1")]
    assert [g.referenced_segment.referenced_segment_numbers for g in found] == [[1], [2]]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_no_number_is_refused(value: float) -> None:
    odd = replace(NODULES[0], measurements=(replace(EMPHYSEMA, value=value),))
    with pytest.raises(ModelError, match="Emphysema index is not a finite number"):
        report(predict(findings=(odd,)))
