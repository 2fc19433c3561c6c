"""A whole folder for a person at a terminal: every file ends as an output or a reason."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeAlias
from urllib.parse import quote_from_bytes

from pydicom.filereader import dcmread

from hounsfield.deid.deidentifier import Deidentifier
from hounsfield.deid.profile import Profile
from hounsfield.deid.reports import FolderReport, InstanceRecord, StudyReport
from hounsfield.deid.table import EDITION
from hounsfield.dicom.folders import check_apart, new_part, sweep_parts, walk_files
from hounsfield.dicom.reading import is_dicomdir
from hounsfield.errors import ConfigError
from hounsfield.pseudonyms import Pseudonyms

__all__ = ["REPORT", "Gate", "deidentify_folder"]

REPORT = "report.json"
#: Called with each study's key, its report, its input files in the report's order, and the folder
#: that its outputs wait in. Says whether they may go to where they are wanted, and lasts until
#: they are there.
Gate: TypeAlias = Callable[[str, StudyReport, list[Path], Path], AbstractContextManager[bool]]

#: Of the hidden folder in the destination that outputs wait in.
_DRAFT: Final = "draft"
#: Folders in a folder that keep their own names; what nests deeper shares one, since a path ends.
_DEEPEST = 64
_NOTE = (
    "This report names the input files, so that each output can be matched to its input. "
    "File names may identify patients: it lies beside the output, and must not travel with it."
)

_IN_DOUBT = {
    "code": "in-doubt",
    "reason": "its study may still tell of its patient: a person has to look at it",
}
_LISTING = InstanceRecord(
    source=0,
    code="not-an-instance",
    reason="a DICOMDIR lists other files and names their patients; it is not an image",
)


def deidentify_folder(
    src: Path,
    dst: Path,
    *,
    profile: Profile,
    pseudonyms: Pseudonyms,
    pixels: bool = True,
    progress: Callable[[int, int], None] | None = None,
    gate: Gate | None = None,
    doubtful: Path | None = None,
) -> FolderReport:
    """Writes every readable DICOM file of `src`, de-identified, to the same layout in `dst`.

    Folder and file names become keyed pseudonyms, the same at every run. Files of one study
    are cleaned together, wherever they lie, so that what one header tells is searched in all.

    A study waits in a hidden folder of `dst`, on the same disk, until it may go there. Who is
    killed before leaves that folder, in which a patient may be named, to the next run over `dst`,
    and no ``report.json``.

    Parameters
    ----------
    dst
        Made where it does not exist; apart from `src`. Gets ``report.json``, last of all, which
        names the input files and must not travel with the output.
    pixels
        Look for burned-in text, where the profile asks for it.
    progress
        Called with (files done, files in all).
    gate
        None: outputs go to `dst` unseen, unless text was left in one.
    doubtful
        Gets the outputs that may not, for a person to look at; None: nobody does.

    Raises
    ------
    NotFound
        If `src` is not there.
    UnreadableFile
        If a folder in it cannot be listed.
    ConfigError
        If one of the folders lies in another, or somebody else's ``report.json`` in `dst`.
    """
    check_apart(src, dst)
    if doubtful is not None:
        check_apart(src, doubtful, "the input and the folder for what is in doubt")
        check_apart(dst, doubtful, "the output and the folder for what is in doubt")
    root, names = _inputs(src)
    _clear(dst / REPORT)
    sweep_parts(dst, _DRAFT)
    deidentifier = Deidentifier(profile, pseudonyms, pixels=pixels)
    entries: dict[str, dict[str, Any]] = {}

    tell = _Progress(len(names), progress)
    for study, members in _by_study(root, names).items():
        outputs = [_new_name(name, pseudonyms) for name in members]
        paths = [root / name for name in members]
        with new_part(dst / _DRAFT) as draft:
            report = deidentifier.files(paths, draft, partial(_pick, outputs), tell)
            written = {record.output for record in report.written}
            study_key = pseudonyms.study_key(study)
            with (gate or _unseen)(study_key, report, paths, draft) as passed:
                _take_back(dst, set(outputs) - (written if passed else set()))
                if (target := dst if passed else doubtful) is not None:
                    _move(written, draft, target)
        for record in report.instances:
            entry = _entry(members[record.source], record)
            entries[members[record.source]] = entry if passed else _doubted(entry)
    for name in set(names) - set(entries):
        entries[name] = _entry(name, _LISTING)
        tell()
    return _write_report(dst, deidentifier, [entries[name] for name in names])


def _clear(report: Path) -> None:
    """Takes away what an earlier run wrote, and nobody else's."""
    if report.exists() and b'"profile_digest"' not in report.read_bytes():
        raise ConfigError(
            f"the output holds a {REPORT} that tells of no de-identification",
            remedy="name another folder",
        )
    report.unlink(missing_ok=True)


class _Progress:
    """Counts files; tells whoever asked."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def __call__(self, _: int = 0) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)


def _inputs(src: Path) -> tuple[Path, list[str]]:
    """The root, and every file under it by its relative path."""
    root = src.parent if src.is_file() else src
    return root, sorted(path.relative_to(root).as_posix() for path in walk_files(src))


def _by_study(root: Path, names: list[str]) -> dict[str, list[str]]:
    """Names by study; each file that names none stands by itself. Without DICOMDIRs."""
    studies: dict[str, list[str]] = {}
    for name in names:
        if not is_dicomdir(root / name):
            studies.setdefault(_study_uid(root / name) or f"/{name}", []).append(name)
    return studies


def _study_uid(path: Path) -> str:
    try:
        dataset = dcmread(
            path, stop_before_pixels=True, force=True, specific_tags=["StudyInstanceUID"]
        )
        return str(dataset.get("StudyInstanceUID", ""))
    except Exception:  # what is wrong with it, the full read tells in words
        return ""


def _new_name(name: str, pseudonyms: Pseudonyms) -> str:
    *folders, file = map(_quoted, PurePosixPath(name).parts)
    if len(folders) > _DEEPEST:
        folders[_DEEPEST:] = ["/".join(folders[_DEEPEST:])]
    parts = [pseudonyms.text("folder", folder) for folder in folders]
    return str(PurePosixPath(*parts, pseudonyms.text("file", file) + ".dcm"))


def _quoted(part: str) -> str:
    """A name as text that differs wherever the names do: by a space at its end, by any byte."""
    return quote_from_bytes(os.fsencode(part))


def _pick(outputs: list[str], index: int, *_: str) -> str:
    return outputs[index]


@contextmanager
def _unseen(_: str, report: StudyReport, *__: object) -> Iterator[bool]:
    yield not report.left


def _take_back(dst: Path, outputs: Iterable[str]) -> None:
    """What an earlier run, of another profile or code, had let pass under these names."""
    for output in outputs:
        (dst / output).unlink(missing_ok=True)


def _move(outputs: Iterable[str], draft: Path, folder: Path) -> None:
    for output in outputs:
        target = folder / output
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(draft / output, target)


def _doubted(entry: dict[str, Any]) -> dict[str, Any]:
    """Of a file whose output may not leave; where it has been put apart, it has the same name."""
    if not entry["output"]:
        return entry
    return {**entry, **_IN_DOUBT, "output": "", "in_doubt": entry["output"]}


def _entry(name: str, record: InstanceRecord) -> dict[str, Any]:
    if not record.output:
        return {"input": name, "output": "", "code": record.code, "reason": record.reason}
    return {
        "input": name,
        "output": record.output,
        "actions": dict(sorted(record.actions.items())),
        "pixels": asdict(record.pixels),
    }


def _write_report(
    dst: Path, deidentifier: Deidentifier, entries: list[dict[str, Any]]
) -> FolderReport:
    profile, keys = deidentifier.profile, deidentifier.pseudonyms
    path = dst / REPORT
    report = FolderReport(profile.name, profile.digest, tuple(entries), path)
    body = {
        "note": _NOTE,
        "profile": profile.name,
        "profile_digest": profile.digest,
        "edition": f"PS3.15 {EDITION}",
        "key_version": keys.version,
        "key_fingerprint": keys.fingerprint,
        "written": report.written,
        "refused": report.refused,
        "files": entries,
    }
    text = json.dumps(body, indent=1, ensure_ascii=False)
    with new_part(path) as part:
        # A name that is no UTF-8 stands there with JSON's own escapes for its bytes.
        (part / REPORT).write_text(text, encoding="utf-8", errors="backslashreplace")
        (part / REPORT).replace(path)
    return report
