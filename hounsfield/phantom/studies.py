"""One made-up study on disk: its files, its flaw, and the truth about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from hounsfield.phantom.cases import Case
from hounsfield.phantom.headers import Visit, encoded
from hounsfield.phantom.identity import Canary
from hounsfield.phantom.lesions import Lesion
from hounsfield.phantom.pictures import dose_report, radiograph, ultrasound
from hounsfield.phantom.report import PhantomSeries, PhantomStudy
from hounsfield.phantom.tomography import SERIES_NUMBER, SIDE, Instance, ct_series, scan

__all__ = ["write_study"]

#: Half of the pixel data, which are the end of the file.
_HALF = SIDE * SIDE

#: What a hard case makes of the content of its middle slice: the files that are written.
_FLAWS: dict[str, Callable[[bytes], tuple[bytes, ...]]] = {
    "missing-slice": lambda content: (),
    "truncated-file": lambda content: (content[:-_HALF],),
    "duplicate-instance": lambda content: (content, content),
}

#: The picture that a case has besides, or instead of, a CT series.
_PICTURES: dict[str, Callable[[Visit, int], Dataset]] = {
    "dose-report": lambda visit, seed: dose_report(visit),
    "ultrasound": lambda visit, seed: ultrasound(visit),
    "radiograph": radiograph,
}

_BURNED_IN = ("dose-report", "ultrasound")


def write_study(destination: Path, case: Case, visit: Visit, seed: int) -> PhantomStudy:
    """Writes the files of `case` under `destination`.

    Parameters
    ----------
    seed
        Of the chest.
    """
    series: list[PhantomSeries] = []
    lesions: tuple[Lesion, ...] = ()
    share = None
    if case.acquisition:
        phantom = scan(case.acquisition, case.habit, seed)
        lesions, share = phantom.lesions, phantom.emphysema_share
        slices = ct_series(visit, case.acquisition, phantom)
        middle = case.acquisition.slices // 2
        names = _write_series(destination, visit, SERIES_NUMBER, slices, case.kind, middle)
        uid = visit.series_instance_uid(SERIES_NUMBER)
        written = case.acquisition.slices - (case.kind == "missing-slice")
        series.append(PhantomSeries(uid, "CT", CTImageStorage, written, names))
    if case.kind in _PICTURES:
        series.append(_write_picture(destination, visit, _PICTURES[case.kind](visit, seed)))
    return PhantomStudy(
        kind=case.kind,
        study_instance_uid=visit.study_instance_uid,
        study_date=f"{visit.start:%Y%m%d}",
        manufacturer=case.habit.manufacturer,
        expected=case.expected,
        why=case.why,
        series=tuple(series),
        lesions=lesions,
        emphysema_share=share,
        canaries=_canaries(case, visit, series),
    )


def _write_picture(destination: Path, visit: Visit, dataset: Dataset) -> PhantomSeries:
    content = encoded(dataset, ExplicitVRLittleEndian)
    instance = Instance(1, str(dataset.SOPInstanceUID), content)
    names = _write_series(destination, visit, int(dataset.SeriesNumber), [instance])
    return PhantomSeries(
        series_instance_uid=str(dataset.SeriesInstanceUID),
        modality=str(dataset.Modality),
        sop_class_uid=str(dataset.SOPClassUID),
        instances=1,
        files=names,
    )


def _write_series(
    destination: Path,
    visit: Visit,
    number: int,
    instances: Iterable[Instance],
    kind: str = "",
    flawed: int = -1,
) -> tuple[str, ...]:
    """Writes `instances`, the one at `flawed` as `kind` has it; returns relative paths."""
    folder = f"DICOM/{visit.patient.patient_id}/{visit.start:%Y%m%d}/SE{number:04d}"
    (destination / folder).mkdir(parents=True, exist_ok=True)
    names = []
    for index, instance in enumerate(instances):
        name = f"{folder}/{_file_name(visit, instance)}"
        flaw = _FLAWS.get(kind) if index == flawed else None
        copies = flaw(instance.content) if flaw else (instance.content,)
        for copy, content in enumerate(copies):
            path = f"{name}.copy" if copy else name
            (destination / path).write_bytes(content)
            names.append(path)
    return tuple(names)


def _file_name(visit: Visit, instance: Instance) -> str:
    return visit.habit.file_name.format(
        number=instance.number,
        uid=instance.sop_instance_uid,
        patient=visit.patient.drawn_name.replace(", ", "_"),
        date=f"{visit.start:%Y.%m.%d}",
    )


def _canaries(case: Case, visit: Visit, series: Iterable[PhantomSeries]) -> tuple[Canary, ...]:
    uids = (visit.study_instance_uid, *(entry.series_instance_uid for entry in series))
    drawn = case.kind in _BURNED_IN or "{patient}" in case.habit.file_name
    return (
        *visit.patient.canaries(),
        *(visit.patient.drawn_canaries() if drawn else ()),
        *(Canary("uid", uid) for uid in uids),
    )
