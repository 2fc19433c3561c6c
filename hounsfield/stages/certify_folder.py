"""Certificates for a person at a terminal: the gate over each study of a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hounsfield.deid import Profile, StudyReport
from hounsfield.deid.recipe import Recipe
from hounsfield.errors import UnreadableFile
from hounsfield.evidence import Certificate
from hounsfield.gate import GateReport, Output, inspect
from hounsfield.provenance import code_version
from hounsfield.pseudonyms import Pseudonyms
from hounsfield.records import digest_of
from hounsfield.store.product import file_digest

__all__ = ["CERTIFICATES", "FolderCertifier"]

#: Folder of the certificates in the destination, by study key.
CERTIFICATES = "certificates"
_PASSED = "written to a folder at a terminal"
_DOUBTED = "the gate is in doubt: withheld from what may be passed on"


class FolderCertifier:
    """The gate of `deidentify_folder`, and its certificates.

    A certificate is written when the study is where it tells, and an earlier one goes before
    anything is moved: whoever is killed between leaves none, rather than one that is untrue.

    Parameters
    ----------
    destination
        Where what passes goes; gets the folder `CERTIFICATES`.
    pixels
        Whether pixels were cleaned, and so have to be read again.
    need_dciodvfy
        Whether a study may not pass where that is not installed.

    Attributes
    ----------
    verdicts
        Study key → ``passed`` or ``doubtful``.
    """

    def __init__(
        self,
        destination: Path,
        profile: Profile,
        pseudonyms: Pseudonyms,
        *,
        pixels: bool,
        need_dciodvfy: bool = False,
    ) -> None:
        self.verdicts: dict[str, str] = {}
        self._destination = destination
        self._profile, self._pseudonyms, self._pixels = profile, pseudonyms, pixels
        self._need_dciodvfy = need_dciodvfy
        self._overridden = frozenset(Recipe.of(profile).overrides)

    @property
    def doubtful(self) -> list[str]:
        return [key for key, verdict in self.verdicts.items() if verdict != "passed"]

    @contextmanager
    def __call__(
        self, study_key: str, report: StudyReport, paths: list[Path], draft: Path
    ) -> Iterator[bool]:
        """Looks at one study; says whether it passed.

        Parameters
        ----------
        paths
            Its input files, in the order of the report.
        draft
            Where its outputs wait.
        """
        self._withdraw(study_key)
        if not report.written:
            yield True
            return
        outputs = [
            Output(
                paths[record.source],
                draft / record.output,
                record.pixels.boxes if record.pixels.changed else (),
                record.pixels.left,
            )
            for record in report.written
        ]
        # What nobody can read has no output, and tells of nobody.
        readable = [
            paths[record.source]
            for record in report.instances
            if record.output or record.code != UnreadableFile.code
        ]
        found = inspect(
            outputs,
            readable,
            self._profile,
            overridden=self._overridden,
            pixels=self._pixels,
            need_dciodvfy=self._need_dciodvfy,
        )
        self.verdicts[study_key] = found.verdict
        released = [output.path for output in outputs] if found.passed else []
        certificate = self._certificate(study_key, report, found, readable, released)
        yield found.passed
        certificate.write(self._destination / CERTIFICATES, name=study_key)

    @contextmanager
    def unseen(self, study_key: str, report: StudyReport, *_: object) -> Iterator[bool]:
        """Takes no look at a study, and certifies nothing."""
        self._withdraw(study_key)
        yield not report.left

    def _withdraw(self, study_key: str) -> None:
        for path in (self._destination / CERTIFICATES).glob(f"{study_key}.*"):
            path.unlink()

    def _certificate(
        self,
        study_key: str,
        report: StudyReport,
        found: GateReport,
        raw: list[Path],
        outputs: list[Path],
    ) -> Certificate:
        told = report.to_dict()
        if not found.passed:
            doubted = [{"reason": _DOUBTED}] * told["written"]
            told |= {"written": 0, "refused": told["refused"] + doubted}
        return Certificate.of(
            self._pseudonyms.project,
            study_key,
            self._profile,
            told,
            found.to_dict(),
            input_digest=digest_of(sorted(file_digest(path) for path in raw)),
            output_digest=digest_of(sorted([path.name, file_digest(path)] for path in outputs)),
            engine=code_version("hounsfield.deid", "hounsfield.dicom", "hounsfield.pseudonyms"),
            decision={"by": "nobody", "why": _PASSED if found.passed else _DOUBTED, "at": ""},
            pixels=self._pixels,
        )
