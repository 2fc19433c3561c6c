"""Validating one study, or every study of a folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from pydicom.filereader import dcmread

from hounsfield.dicom.reading import find_files
from hounsfield.dicom.table import instance_table
from hounsfield.quality.docs import write_page
from hounsfield.quality.engine import Batch, Validated, run_checks
from hounsfield.quality.places import Place, places
from hounsfield.quality.report import Problem, ValidationReport
from hounsfield.quality.suites import Severity, Suites, load_suites

__all__ = ["NO_STUDY", "validate_folder", "validate_study"]

_log = logging.getLogger(__name__)

#: Stands for a study key in the report on files that belong to no study.
NO_STUDY = "no-study"

_EMPTY = Problem(
    code="empty-study",
    reason="there are no files",
    where="the study",
    remedy="fetch the study again",
)


def validate_study(
    paths: Iterable[Path], *, suites: Path, study_key: str, docs: Path | None = None
) -> ValidationReport:
    """Runs the suites over the files of one study.

    Parameters
    ----------
    paths
        The files of the study, in an order that a person can repeat: files that belong to
        no series are named by their place in it.
    suites
        Folder of the suites, ``configs/quality``.
    study_key
        The study's pseudonym: what the report and its page are called.
    docs
        Folder in which the study's Data Docs page is written; None for no page.

    Returns
    -------
    ValidationReport
        Also where the study is refused: to raise, and to quarantine, is the stage's part.

    Raises
    ------
    ConfigError
        A suite is not one.
    StoreUnavailable
        A file could not be read at all.
    """
    loaded = load_suites(suites)
    files = list(paths)
    table = instance_table(files)
    validated = run_checks(_batches(table, loaded)) if files else []
    report = _report(table, validated, loaded, study_key)
    if docs is not None:
        report = write_page(docs, report, validated)
    _log.info(
        "Study %s: %s; %d instances, %d checks, %d errors, %d warnings.",
        study_key,
        report.outcome,
        report.instances,
        report.checks,
        len(report.errors),
        len(report.warnings),
    )
    return report


def validate_folder(
    source: Path, *, suites: Path, study_key: Callable[[str], str], docs: Path | None = None
) -> Iterator[ValidationReport]:
    """Validates each study found under a folder, whatever its layout.

    Parameters
    ----------
    source
        A folder, or one file.
    study_key
        Gives the pseudonym of a StudyInstanceUID.

    Yields
    ------
    ValidationReport
        One a study, in the order in which their first files come; last, as `NO_STUDY`, one
        on the files that name no study, if there are any. What is not DICOM is left out with
        a warning there, and counted.
    """
    studies: dict[str, list[Path]] = {}
    for path in find_files(source):
        studies.setdefault(_study_instance_uid(path), []).append(path)
    strays = studies.pop("", [])
    for uid, paths in studies.items():
        yield validate_study(paths, suites=suites, study_key=study_key(uid), docs=docs)
    if strays:
        yield _validate_strays(strays, suites)


def _validate_strays(paths: list[Path], suites: Path) -> ValidationReport:
    table = instance_table(paths, decode=False)
    nameless = [path for path, is_dicom in zip(paths, table["is_dicom"], strict=True) if is_dicom]
    if nameless:
        report = validate_study(nameless, suites=suites, study_key=NO_STUDY)
    else:
        report = ValidationReport(NO_STUDY, (), (), 0, 0, 0, load_suites(suites).digest)
    foreign = len(paths) - len(nameless)
    if not foreign:
        return report
    left_out = Problem(
        code="not-dicom",
        reason=f"{foreign} files are not DICOM" if foreign > 1 else "1 file is not DICOM",
        where="the folder",
        remedy="none is needed, they are left out",
        count=foreign,
    )
    return replace(report, warnings=(*report.warnings, left_out))


def _study_instance_uid(path: Path) -> str:
    """Empty where a file does not tell: it is not DICOM, or nameless."""
    try:
        header = dcmread(
            path, stop_before_pixels=True, force=True, specific_tags=["StudyInstanceUID"]
        )
        return str(header.get("StudyInstanceUID") or "").strip(" \0")
    except Exception:  # pydicom raises whatever the bytes lead it to
        return ""


def _batches(table: pd.DataFrame, suites: Suites) -> list[Batch]:
    """The study, and each series by kind and modality: a report within a CT is no slice."""
    batches = [Batch("Study", table, suites.of_study(), is_study=True)]
    total = int(table["series"].max())
    grouped = table[table["series"] > 0].fillna({"Modality": ""})
    for key, members in grouped.groupby(["series", "kind", "Modality"], sort=True):
        series, kind, modality = key
        rows = table.loc[members.index].sort_values("slice")
        title = f"Series {series} of {total}: {modality or 'no modality'}, {kind}"
        batches.append(Batch(title, rows, suites.of_series(str(kind), str(modality) or None)))
    return [batch for batch in batches if batch.checks]


def _report(
    table: pd.DataFrame, validated: Sequence[Validated], suites: Suites, study_key: str
) -> ValidationReport:
    errors = _problems(table, validated, "error")
    warnings = _problems(table, validated, "warning")
    if not len(table):
        errors.append(_EMPTY)
    # Two suites may judge one fact differently: the stricter one stands.
    refused = {(problem.code, problem.series) for problem in errors}
    return ValidationReport(
        study_key=study_key,
        errors=tuple(errors),
        warnings=tuple(p for p in warnings if (p.code, p.series) not in refused),
        instances=len(table),
        series=int(table["series"].max()) if len(table) else 0,
        checks=sum(len(each.batch.checks) for each in validated),
        suites_digest=suites.digest,
    )


def _problems(
    table: pd.DataFrame, validated: Sequence[Validated], severity: Severity
) -> list[Problem]:
    """One problem for each reason and place: attributes that fail alike are listed in one."""
    alike: dict[tuple[str, str, str, Place], list[str]] = {}
    found = [(each.batch, failure) for each in validated for failure in each.failures]
    for batch, (check, ordinals) in found:
        if check.severity != severity:
            continue
        for place in places(
            table, batch.rows, ordinals, is_study=batch.is_study, measure=check.measure
        ):
            key = (check.code, check.reason, check.remedy, place)
            alike.setdefault(key, []).append(check.attribute)
    return [
        Problem(
            code=code,
            reason=_filled(reason, attributes, place.value),
            where=place.text,
            remedy=remedy,
            series=place.series,
            modality=place.modality,
            count=place.count,
        )
        for (code, reason, remedy, place), attributes in alike.items()
    ]


def _filled(reason: str, attributes: Sequence[str], value: str) -> str:
    return reason.replace("{attribute}", ", ".join(attributes)).replace("{value}", value)
