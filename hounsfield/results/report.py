"""A prediction as a Structured Report: TID 1500 "Measurement Report" (PS3.16 Annex A).

The SOP class is Comprehensive SR. It carries all that is needed (references to segments and
images, coordinates on an image), and more systems store and show it than Comprehensive 3D SR,
which differs by coordinates in space alone. OHIF wants the title "Imaging Measurement Report",
an Image Library and an Imaging Measurements container, each with something in it, and content
below each number (its getSopClassHandlerModule.ts reads them unasked): all four are here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage

from hounsfield.errors import GeometryError, ModelError
from hounsfield.records import Code, Finding, Measurement, Prediction
from hounsfield.results.coding import (
    ABSENT,
    CERTAINTY,
    COMMENT,
    PERCENT,
    PRESENCE,
    QUALITATIVE_EVALUATIONS,
    algorithm_family,
    concept,
    own_coding_schemes,
    procedure_of,
)
from hounsfield.results.evidence import as_read
from hounsfield.results.identity import identity_of, plain, seal, short_digest
from hounsfield.results.location import Locator
from hounsfield.results.outputs import OutputSettings
from hounsfield.results.segmentation import (
    frame_of_reference,
    series_description,
    tracking,
    without_traces,
)
from hounsfield.results.sources import SourceImages

if TYPE_CHECKING:
    from highdicom.sr import AlgorithmIdentification, MeasurementReport

__all__ = ["Predecessor", "build_sr"]

_MAX_TEXT = 1024


@dataclass(frozen=True, slots=True)
class Predecessor:
    """A report of ours in the same study, whose place a new one takes.

    Named in its Predecessor Documents Sequence (0040,A360), PS3.3 Section C.17.2.3. Both UIDs
    are derived and ours: no PHI.
    """

    SOPInstanceUID: str
    SeriesInstanceUID: str

    def as_dataset(self, study_instance_uid: str) -> Dataset:
        """As much of the document as a reference to it needs."""
        document = Dataset()
        document.SOPClassUID = ComprehensiveSRStorage
        document.SOPInstanceUID = self.SOPInstanceUID
        document.SeriesInstanceUID = self.SeriesInstanceUID
        document.StudyInstanceUID = study_instance_uid
        return document


def build_sr(
    prediction: Prediction,
    mask: npt.NDArray[np.uint8] | None,
    sources: Sequence[Dataset] | SourceImages,
    seg: Dataset | None,
    *,
    uid: Callable[[str], str],
    when: datetime,
    settings: OutputSettings | None = None,
    predecessor: Predecessor | None = None,
    frames: Sequence[int] | None = None,
) -> Dataset:
    """The SR of a prediction, in the original patient and study.

    One measurement group a finding: coded, measured, located, tracked, with its certainty.
    No findings make a valid document that says so.

    Parameters
    ----------
    mask
        Label values, uint8, axes (z, y, x); chooses the key slice of a finding. May be None.
    sources
        The identified source dataset of each slice, as for ``build_seg``; so is `frames`.
    seg
        The SEG of the same prediction, or None; findings then lie on regions of images.
    uid
        Derives a UID from a text, such as ``Pseudonyms.uid``.
    when
        When the prediction was made: the content date and time.
    predecessor
        The SR whose place this one takes. Another predecessor makes another object.

    Returns
    -------
    Dataset
        A dataset as a reader of the file has it; same arguments, same bytes.

    Raises
    ------
    GeometryError
        The mask does not fit the source images.
    ModelError
        A code is not whole, or a measured value is not a number.
    """
    images = sources if isinstance(sources, SourceImages) else SourceImages.read(sources, frames)
    if mask is not None and mask.shape != images.shape:
        raise GeometryError(f"the mask is {mask.shape}, the source images are {images.shape}")
    settings = settings or OutputSettings()
    locator = Locator(prediction, images, mask, seg)
    with without_traces("report"):
        content = _Content(prediction, locator, uid, settings).report()
        return _document(content, prediction, images, seg, predecessor, uid, when, settings)


def _document(
    content: MeasurementReport,
    prediction: Prediction,
    images: SourceImages,
    seg: Dataset | None,
    predecessor: Predecessor | None,
    uid: Callable[[str], str],
    when: datetime,
    settings: OutputSettings,
) -> Dataset:
    from highdicom.sr import ComprehensiveSR

    identity = identity_of(images.header)
    study = str(images.header.StudyInstanceUID)
    related = [str(one.SOPInstanceUID) if one else "" for one in (seg, predecessor)]
    seed = "|".join(["sr", prediction.prediction_id, *related, short_digest(identity)])
    evidence = images.instances(frame_of_reference(images, uid))
    built = ComprehensiveSR(
        evidence=evidence if seg is None else [*evidence, seg],
        content=content,
        series_instance_uid=uid(f"{seed}|series"),
        series_number=settings.report.series_number,
        sop_instance_uid=uid(seed),
        instance_number=1,
        manufacturer=settings.manufacturer,
        manufacturer_model_name=plain(prediction.model),
        software_versions=plain(prediction.version),
        device_serial_number=settings.device_serial_number,
        is_complete=True,
        is_final=False,
        is_verified=False,
        previous_versions=[predecessor.as_dataset(study)] if predecessor else None,
        series_description=series_description(prediction, "report"),
        content_qualification="RESEARCH",
        coding_schemes=own_coding_schemes(),
    )
    seal(built, identity, when)
    return as_read(built)


@dataclass(frozen=True)
class _Content:
    """Builds the content tree. Each method is a part of TID 1500, in its order."""

    prediction: Prediction
    locator: Locator
    uid: Callable[[str], str]
    settings: OutputSettings

    def report(self) -> MeasurementReport:
        from highdicom.sr import (
            LanguageOfContentItemAndDescendants,
            MeasurementReport,
            ObservationContext,
        )

        options = self.settings.report
        language = concept(Code(options.language, "RFC5646", options.language_meaning))
        report = MeasurementReport(
            observation_context=ObservationContext(observer_device_context=self._observer()),
            procedure_reported=procedure_of(self.locator.images.header),
            imaging_measurements=self._groups(),
            language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(language),
            referenced_images=self._key_images(),
        )
        report[0].ContentSequence.append(self._remarks())
        return report

    def _observer(self) -> Any:
        """TID 1004: the device that says this."""
        from highdicom.sr import DeviceObserverIdentifyingAttributes, ObserverContext
        from pydicom.sr.codedict import codes

        prediction = self.prediction
        return ObserverContext(
            observer_type=codes.DCM.Device,
            observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
                uid=self.uid(f"device|{prediction.model}|{prediction.version}"),
                name=plain(prediction.model),
                manufacturer_name=self.settings.manufacturer,
                model_name=plain(f"{prediction.model} {prediction.version}"),
                serial_number=self.settings.device_serial_number,
            ),
        )

    def _key_images(self) -> list[Dataset]:
        """TID 1600: the slices that show the findings best, the middle one where there are none."""
        images, locator = self.locator.images, self.locator
        keys = {locator.key_slice(finding) for finding in self.prediction.findings}
        slices = sorted(z for z in keys if z is not None) or [len(images.slices) // 2]
        unique = {images.slices[z].SOPInstanceUID: z for z in slices}
        reference = frame_of_reference(images, self.uid)
        return [images.stand_in(z, reference) for z in unique.values()]

    def _groups(self) -> list[Any]:
        """TID 1410, 1411 and 1501: what was found, what was measured, what was not found."""
        groups = [self._finding(i, f) for i, f in enumerate(self.prediction.findings)]
        if self.prediction.measurements:
            groups.append(self._volume(self.prediction.measurements))
        if not self.prediction.findings:
            groups.extend(self._absences())
        return groups or [self._volume(())]

    def _finding(self, index: int, finding: Finding) -> Any:
        from highdicom.sr import FindingSite

        name, identifier = tracking(self.prediction, index, self.uid)
        return self._group(
            name,
            identifier,
            finding,
            finding_type=concept(finding.type),
            finding_sites=[FindingSite(concept(finding.site))] if finding.site else None,
            measurements=self._measurements(_with_certainty(finding)),
        )

    def _group(self, name: str, identifier: str, place: Finding | None, **content: Any) -> Any:
        """A measurement group in the template that can say where it was measured."""
        from highdicom.sr import (
            MeasurementsAndQualitativeEvaluations,
            PlanarROIMeasurementsAndQualitativeEvaluations,
            TrackingIdentifier,
            VolumetricROIMeasurementsAndQualitativeEvaluations,
        )

        common = content | {
            "tracking_identifier": TrackingIdentifier(uid=identifier, identifier=name),
            "algorithm_id": self._algorithm(),
        }
        segment = self.locator.segment(place) if place else None
        if segment is not None:
            return VolumetricROIMeasurementsAndQualitativeEvaluations(
                referenced_segment=segment, **common
            )
        region = self.locator.region(place) if place else None
        if region is not None:
            return PlanarROIMeasurementsAndQualitativeEvaluations(
                referenced_region=region, **common
            )
        return MeasurementsAndQualitativeEvaluations(**common)

    def _volume(self, measurements: Iterable[Measurement]) -> Any:
        """What was measured on the volume as a whole; on its segment where it has just one."""
        segments = self.prediction.segments
        content: dict[str, Any] = {"measurements": self._measurements(measurements)}
        if len(segments) != 1 or self.prediction.findings:
            return self._whole("volume", **content)
        only = segments[0]
        place = Finding(only.label, only.type, segment=only.number)
        return self._whole("volume", place, finding_type=concept(only.type), **content)

    def _absences(self) -> list[Any]:
        """What the model looks for and did not find: only where its mask shows that."""
        from highdicom.sr import QualitativeEvaluation

        absent = QualitativeEvaluation(concept(PRESENCE), concept(ABSENT))
        return [
            self._whole(
                f"segment {segment.number}",
                finding_type=concept(segment.type),
                qualitative_evaluations=[absent],
            )
            for segment in self.prediction.segments
            if self.locator.is_empty(segment.number)
        ]

    def _whole(self, what: str, place: Finding | None = None, **content: Any) -> Any:
        identifier = self.uid(f"tracking|{self.prediction.prediction_id}|{what}")
        return self._group(plain(f"{self.prediction.model} {what}"), identifier, place, **content)

    def _measurements(self, measurements: Iterable[Measurement]) -> list[Any]:
        from highdicom.sr import Measurement as Num

        return [
            Num(
                name=concept(one.name),
                value=_finite(one),
                unit=concept(one.unit),
                # Said of each number, since OHIF fails on a number with nothing below it.
                algorithm_id=self._algorithm(brief=True),
            )
            for one in measurements
        ]

    def _algorithm(self, *, brief: bool = False) -> AlgorithmIdentification:
        """TID 4019; `brief` gives what is mandatory: name and version."""
        from highdicom.sr import AlgorithmIdentification

        prediction = self.prediction
        name, version = plain(prediction.model), plain(prediction.version)
        if brief:
            return AlgorithmIdentification(name=name, version=version)
        return AlgorithmIdentification(
            name=name,
            version=version,
            parameters=[plain(prediction.algorithm, _MAX_TEXT)] if prediction.algorithm else None,
            family=algorithm_family(prediction),
            manufacturer=self.settings.manufacturer,
        )

    def _remarks(self) -> Any:
        """TID 1500 row 12: the disclaimer and the result in words."""
        from highdicom.sr import ContainerContentItem, ContentSequence, TextContentItem

        result = _in_words(self.prediction)
        container = ContainerContentItem(
            name=concept(QUALITATIVE_EVALUATIONS), relationship_type="CONTAINS"
        )
        container.ContentSequence = ContentSequence(
            TextContentItem(
                name=concept(COMMENT), value=plain(text, _MAX_TEXT), relationship_type="CONTAINS"
            )
            for text in ("NOT FOR DIAGNOSTIC USE. " + self.prediction.disclaimer, result)
        )
        return container


def _in_words(prediction: Prediction) -> str:
    count = len(prediction.findings)
    if count:
        return f"{count} finding{'s' * (count > 1)}."
    return "No findings; see the measurements." if prediction.measurements else "No findings."


def _with_certainty(finding: Finding) -> Iterable[Measurement]:
    yield from finding.measurements
    if finding.confidence is not None:
        yield Measurement(CERTAINTY, 100 * finding.confidence, PERCENT)


def _finite(measurement: Measurement) -> float:
    if not math.isfinite(measurement.value):
        raise ModelError(
            f"the measurement {plain(measurement.name.meaning)} is not a finite number",
            remedy="a model leaves out what it cannot measure",
        )
    # Seven digits are what a float32 pipeline knows; more would only suggest accuracy.
    return float(f"{measurement.value:.7g}")
