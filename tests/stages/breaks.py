"""What goes wrong with a study and beneath each task, and what becomes of the task then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from blake3 import blake3
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pynetdicom import evt

from tests.pacs.fake import FakePacs
from tests.pacs.fake_web import FakeWeb, Reply
from tests.quality.conftest import CANARIES, ct_slice
from tests.stages.tasks import NAME, OCR, UID, Study

QUOTE = " ".join((*CANARIES, UID))

Break = Callable[[Study], None]


class Broken(Exception):
    """As libraries raise it: what they were given is in its text, and in all that led to it."""


def breaks(name: str) -> Break:
    """A call that raises something that nobody knows."""

    def fail(*_: Any, **__: Any) -> Any:
        try:
            raise ValueError(QUOTE)
        except ValueError as error:
            broken = Broken(QUOTE)
            broken.add_note(QUOTE)
            raise broken from error

    return lambda study: study.patch.setattr(f"hounsfield.{name}", fail)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def no_dicom(path: Path) -> None:
    path.write_text(QUOTE)


def wrong_vr(dataset: Dataset) -> None:
    """A name where numbers belong, so that whoever converts it quotes it."""
    for keyword in ("SliceThickness", "RescaleSlope", "KVP", "SeriesNumber"):
        _put(dataset, keyword, "DS", NAME)


def wrong_patient(dataset: Dataset) -> None:
    """The same in what tells the patient and the study."""
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientAge", "StudyDate"):
        _put(dataset, keyword, "FD", NAME)


def one_name(dataset: Dataset) -> None:
    """A name that highdicom takes for unlikely, and says so."""
    dataset.PatientName = NAME


def wrong_place(dataset: Dataset) -> None:
    """The same where the geometry is read."""
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        _put(dataset, keyword, "DS", f"{NAME}\\{NAME}\\1")


def _put(dataset: Dataset, keyword: str, vr: str, text: str) -> None:
    value = (text + " " * (len(text) % 2)).encode()
    tag = Tag(tag_for_keyword(keyword) or 0)
    dataset[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)


def spoils(folder: str, how: Callable[[Path], None]) -> Break:
    """The files below a folder of the site become what cannot be read."""

    def spoil(study: Study) -> None:
        for path in study.files(folder):
            content = path.read_bytes()
            path.unlink()  # It may be a link to a file of another product.
            path.write_bytes(content)
            how(path)

    return spoil


def edits(folder: str, edit: Callable[[Dataset], None]) -> Break:
    def save_edited(path: Path) -> None:
        dataset = dcmread(path)
        edit(dataset)
        dataset.save_as(path)
        if folder == LANDING:  # as if it had come so
            path.rename(path.with_stem(blake3(path.read_bytes()).hexdigest()))

    return spoils(folder, save_edited)


def ocr_crashes(study: Study) -> None:
    def read(_: Any, **__: Any) -> Any:
        raise RuntimeError(f"cannot order the boxes of {QUOTE}")

    study.patch.setattr(OCR, lambda: read)


class Listing(FakePacs):
    """Lists the study, and refuses to send it."""

    def _get(self, event: evt.Event) -> Iterator[Any]:
        yield 1
        yield _refusal(), None


class Refusing(Listing):
    """Says no to everything, with the patient in its words."""

    def _find(self, event: evt.Event) -> Iterator[Any]:
        yield _refusal(), None


class Sending(FakePacs):
    """Sends what cannot be what it says."""

    def _get(self, event: evt.Event) -> Iterator[Any]:
        file = BytesIO()
        ct_slice(0).save_as(file, enforce_file_format=True)
        file.seek(0)
        dataset = dcmread(file)  # What was read is sent as it is.
        wrong_patient(dataset)
        yield 1
        yield 0xFF00, dataset


def _refusal(_: object = None) -> Dataset:
    answer = Dataset()
    answer.Status, answer.ErrorComment = 0xC000, f"no {NAME} {CANARIES[2]}"
    return answer


def reaches(kind: type[FakePacs]) -> Break:
    """The PACS is of this kind, and refuses what it is sent."""
    return lambda study: study.reaches(kind(answer=_refusal))


def refuses_on_the_web(study: Study) -> None:
    quoting = {"Warning": f'299 dw "{NAME} {UID}"', "X-Bad": NAME}
    web = FakeWeb(lambda _: Reply(409, quoting, QUOTE.encode()))
    study.stack.enter_context(web.running())
    study.reached(web={"url": f"http://127.0.0.1:{web.port}/dw"})


RAW, CANDIDATE, DEID, LANDING = "zones/raw", "zones/quarantine", "zones/deid", "landing"
REFUSED, LISTED = reaches(Refusing), reaches(Listing)

#: Task, what goes wrong in the world, how, and what becomes of the task.
WORLD: list[tuple[str, str, Break, str]] = [
    ("find", "refused", REFUSED, "pacs-unavailable"),
    ("find", "refused on the web", refuses_on_the_web, "pacs-unavailable"),
    ("retrieve", "refused", REFUSED, "pacs-unavailable"),
    ("retrieve", "refused late", LISTED, "pacs-unavailable"),
    ("retrieve", "refused on the web", refuses_on_the_web, "pacs-unavailable"),
    ("retrieve", "wrong patient", reaches(Sending), "done"),
    ("receive", "no DICOM", spoils(LANDING, no_dicom), "withheld"),
    ("receive", "cut", spoils(LANDING, cut), "withheld"),
    ("receive", "wrong patient", edits(LANDING, wrong_patient), "done"),
    ("validate", "cut", spoils(RAW, cut), "invalid-study"),
    ("validate", "no DICOM", spoils(RAW, no_dicom), "invalid-study"),
    ("validate", "wrong VR", edits(RAW, wrong_vr), "invalid-study"),
    ("validate", "wrong place", edits(RAW, wrong_place), "invalid-study"),
    ("validate", "wrong patient", edits(RAW, wrong_patient), "done"),
    ("deidentify", "cut", spoils(RAW, cut), "deidentification"),
    ("deidentify", "no DICOM", spoils(RAW, no_dicom), "deidentification"),
    ("deidentify", "wrong VR", edits(RAW, wrong_vr), "done"),
    ("deidentify", "wrong patient", edits(RAW, wrong_patient), "done"),
    ("deidentify", "OCR crashes", ocr_crashes, "withheld"),
    ("gate", "cut", spoils(RAW, cut), "unreadable-file"),
    ("gate", "no DICOM", spoils(CANDIDATE, no_dicom), "unreadable-file"),
    ("gate", "wrong VR", edits(CANDIDATE, wrong_vr), "done"),
    ("gate", "OCR crashes", ocr_crashes, "deidentification"),
    ("review", "no DICOM", spoils(RAW, no_dicom), "deidentification"),
    ("review", "OCR crashes", ocr_crashes, "withheld"),
    ("release", "wrong VR", edits(CANDIDATE, wrong_vr), "integrity"),
    ("chunk", "cut", spoils(DEID, cut), "unreadable-file"),
    ("chunk", "no DICOM", spoils(DEID, no_dicom), "unreadable-file"),
    ("chunk", "wrong VR", edits(DEID, wrong_vr), "done"),
    ("chunk", "wrong place", edits(DEID, wrong_place), "done"),
    ("build_results", "cut", spoils(RAW, cut), "unreadable-file"),
    ("build_results", "wrong VR", edits(RAW, wrong_vr), "geometry"),
    ("build_results", "wrong place", edits(RAW, wrong_place), "geometry"),
    ("build_results", "wrong patient", edits(RAW, wrong_patient), "model"),
    ("build_results", "one name", edits(RAW, one_name), "done"),
    ("write_back", "refused", REFUSED, "delivery-refused"),
    ("write_back", "refused on the web", refuses_on_the_web, "delivery-refused"),
    ("confirm", "refused", REFUSED, "TaskDeferred"),
    ("confirm", "refused on the web", refuses_on_the_web, "TaskDeferred"),
    ("move", "no DICOM", spoils(RAW, no_dicom), "integrity"),
    ("scrub", "no DICOM", spoils(RAW, no_dicom), "integrity"),
]
#: Task, and the call beneath it that raises what nobody knows.
UNKNOWN: list[tuple[str, str]] = [
    ("find", "pacs.dimse.DimseClient.find_studies"),
    ("find", "vault.Vault.knows"),
    ("retrieve", "pacs.dimse.DimseClient.find_instances"),
    ("validate", "stages.validate.validate_study"),
    ("deidentify", "deid.Deidentifier.study"),
    ("gate", "stages.candidate.inspect"),
    ("review", "stages.review.open_review"),
    ("review", "stages.review.parse_regions"),
    ("release", "stages.release.describe"),
    ("chunk", "volume.build._write_slab"),
    ("route", "stages.infer.route"),
    ("run_model", "stages.infer.Volume.open"),
    ("run_model", "stages.infer.prediction_lineage"),
    ("build_results", "stages.objects.build_sr"),
    ("write_back", "pacs.dimse.DimseClient.store"),
    ("confirm", "stages.confirm.prove_sent"),
    ("report", "catalog.Catalog.deliveries"),
    ("plan", "stages.migrate.tier_of"),
    ("move", "stages.migrate.transfer"),
    ("due", "catalog.Catalog.read"),
    ("scrub", "catalog.Catalog.product"),
    ("plan_expiry", "stages.expire.Retention.load"),
    ("expire", "stages.expire.plan_expiry"),
    ("plan_erasure", "stages.erase.check_hold"),
    ("erase", "stages.remove.dispose"),
    ("certify", "stages.erase.traces"),
    ("measure", "catalog.Catalog.write"),
    ("orphans", "stages.orphans.find_orphans"),
    ("audit", "audit.AuditLog.entries"),
    ("select", "catalog.Catalog.all"),
    ("snapshot", "stages.snapshot.freeze"),
    ("choose", "stages.snapshot.make_phantoms"),
    ("train", "stages.train.datalist"),
    ("train", "stages.train.train_bundle"),
    ("drift", "stages.drift.drift_frames"),
]
