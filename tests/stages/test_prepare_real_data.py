"""Real DICOM through ``prepare``: whole series become volumes, damaged files a reason."""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
import sqlite3
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import select

from hounsfield.catalog.models import Product, QuarantineItem, Study
from hounsfield.dicom.reading import find_files, read_header
from hounsfield.errors import HounsfieldError, PermanentError, UnreadableFile
from hounsfield.pacs import InstanceRef
from hounsfield.pacs.client import EntrySink, FetchReport
from hounsfield.records import InstanceEntry, RunContext
from hounsfield.settings import Settings
from hounsfield.site import Site
from hounsfield.stages.chunk import VOLUME, chunk
from hounsfield.stages.deidentify import deidentify
from hounsfield.stages.gate import gate
from hounsfield.stages.ingest import retrieve_study
from hounsfield.stages.produce import open_product
from hounsfield.stages.release import release
from hounsfield.stages.review import REASONS, decide, open_review
from hounsfield.stages.validate import validate
from hounsfield.vault import Identity
from hounsfield.volume import Volume
from tests.stages.conftest import FakePacs
from tests.volume.agreement import compare_with_dcm2niix, compare_with_simpleitk

pytestmark = pytest.mark.data

RUN = RunContext(dag_id="prepare", run_id="r1", task_id="t")

#: Studies, as folders of their series: each is whole, and each of its series a volume.
WHOLE = {
    "ct_head_phantom": ["ct_head_phantom"],
    "mr_knee": ["mr_knee_t1", "mr_knee_t2"],
    "mr_brain_flair": ["mr_brain_flair"],
    "mr_fruit_ge": ["mr_fruit_ge"],
    "pt_nema_phantom_1": ["pt_nema_phantom_1"],
}
#: Folder → why its series is no volume. They are prepared all the same.
WITHOUT_VOLUME = {
    "enh_mr_emri/emri_small.dcm": "states no position",
    "obj_ecg": "a waveform",
}
#: Damaged file → what its quarantine entry says. Anything else of the folders may be mended.
DAMAGED = {
    "bad_pydicom/MR_truncated.dcm": "shorter than the header announces",
    "bad_pydicom/badVR.dcm": "the pixel data does not decode",
    "bad_pydicom/emri_small_jpeg_2k_lossless_too_short.dcm": "has no pixel data",
    "bad_pydicom/empty_charset_LEI.dcm": "has no place in a study",
    "bad_pydicom/meta_missing_tsyntax.dcm": "has no place in a study",
    "bad_pydicom/nested_priv_SQ.dcm": "has no place in a study",
    "bad_pydicom/no_meta.dcm": "is not DICOM",
    "bad_pydicom/no_meta_group_length.dcm": "has no place in a study",
    "bad_pydicom/priv_SQ.dcm": "has no place in a study",
    "bad_pydicom/rtplan_truncated.dcm": "it stops early or breaks the encoding rules",
    "bad_pydicom/UN_sequence.dcm": "has no place in a study",
    "bad_orthanc/2026-05-06-Deeply-Nested-Sequence.dcm": "breaks the encoding rules",
    "bad_orthanc/2026-05-26-oob-monochrome-46341.dcm": "shorter than the header announces",
    "bad_orthanc/MultiframeWindowing.dcm": "without Modality",
}
#: Of the same folders: odd, but a study can be made of them.
ODD = (
    "bad_pydicom/ExplVR_LitEndNoMeta.dcm",
    "bad_pydicom/J2K_pixelrep_mismatch.dcm",
    "bad_pydicom/bad_sequence.dcm",
    "bad_pydicom/explicit_VR-UN.dcm",
)

#: Attributes whose values name a patient, a person or a place.
IDENTIFYING = (
    "PatientName",
    "PatientID",
    "OtherPatientIDs",
    "AccessionNumber",
    "InstitutionName",
    "InstitutionAddress",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "FrameOfReferenceUID",
)


@dataclass
class FolderPacs(FakePacs):
    """A PACS that has files as they are, even such as no PACS takes."""

    files: list[Path] = field(default_factory=list)

    def entries(self) -> Iterator[tuple[Path, InstanceEntry, InstanceRef]]:
        for path in self.files:
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            try:
                header = read_header(path)
            except UnreadableFile:
                header = None
            uids = [
                str(header.get(name, "") if header else "") or f"2.25.{int(digest[:24], 16)}"
                for name in ("SOPInstanceUID", "SeriesInstanceUID", "SOPClassUID")
            ]
            modality = str(header.get("Modality", "") if header else "")
            entry = InstanceEntry(
                SOPInstanceUID=uids[0],
                SOPClassUID=uids[2],
                TransferSyntaxUID="",
                path=f"{digest}.dcm",
                size=len(content),
                sha256=digest,
            )
            yield path, entry, InstanceRef(uids[0], uids[1], uids[2], modality)

    def find_instances(self, study_instance_uid: str) -> tuple[InstanceRef, ...]:
        return tuple(ref for _, _, ref in self.entries())

    def fetch_study(
        self,
        study_instance_uid: str,
        folder: Path,
        *,
        only: Collection[str] | None = None,
        sink: EntrySink | None = None,
    ) -> FetchReport:
        came = list(self.entries())
        for path, entry, _ in came:
            shutil.copyfile(path, folder / entry.path)
            if sink is not None:
                sink(entry)
        return FetchReport(tuple(entry for _, entry, _ in came), len(came), ())


@dataclass(frozen=True)
class Prepared:
    """A study that went as far as it could."""

    site: Site
    study_key: str
    files: list[Path]
    error: HounsfieldError | None
    log: str

    @property
    def study(self) -> Study:
        return self.site.catalog.study(self.study_key)

    @property
    def sentences(self) -> dict[str, str]:
        """The last of each stage."""
        return {event.stage: event.sentence for event in self.site.catalog.timeline(self.study_key)}

    @property
    def quarantined(self) -> list[QuarantineItem]:
        query = select(QuarantineItem).where(QuarantineItem.study_key == self.study_key)
        return list(self.site.catalog.all(query))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One for all studies of this file, as in a hospital."""
    home = tmp_path_factory.mktemp("site")
    variables = {"HOUNSFIELD_HOME": str(home), "HOUNSFIELD_CONFIRM_SECONDS": "0"}
    made = Site(Settings.load(variables))
    made.set_up()
    return made


@pytest.fixture(scope="module")
def prepare(site: Site, real_data: Path) -> Callable[..., Prepared]:
    """Sends files, named by folder or path, through ingest and all stages of ``prepare``."""

    def send(*names: str) -> Prepared:
        files = [path for name in names for path in find_files(real_data / name)]
        uid = f"2.25.{int(hashlib.sha256(repr(names).encode()).hexdigest()[:24], 16)}"
        study_key = site.pseudonyms.study_key(uid)
        site.vault.put(study_key, "", Identity(uid, "", "", "20200101", "pacs"), run=RUN)
        lines: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger().addHandler(handler)
        error = None
        try:
            with pytest.MonkeyPatch.context() as patch:
                pacs = FolderPacs(files=files)
                patch.setattr("hounsfield.stages.ingest.client_of", lambda *_: pacs)
                patch.setattr(logging.getLogger(), "level", logging.INFO)
                for stage in (retrieve_study, validate, deidentify, gate, review, release, chunk):
                    stage(site, study_key, run=RUN)
        except HounsfieldError as raised:
            error = raised
        finally:
            logging.getLogger().removeHandler(handler)
        return Prepared(site, study_key, files, error, "\n".join(lines))

    return send


def review(site: Site, study_key: str, *, run: RunContext) -> None:
    """Where the gate is in doubt, somebody who releases."""
    if open_review(site, study_key) is not None:
        answer = {"decision": "Release", "why": REASONS[3]}
        decide(site, study_key, answer, reviewer="officer", run=run)


def assert_told_without_phi(done: Prepared) -> None:
    """Each stage left a sentence; nothing that names the patient is told anywhere."""
    for sentence in [*done.sentences.values(), *(item.reason for item in done.quarantined)]:
        assert re.fullmatch(r"[^\n]{5,}[.)]", sentence), sentence
        assert "Traceback" not in sentence
    home = done.site.settings.home
    with sqlite3.connect(home / "databases" / "catalog.db") as database:
        told = ["\n".join(database.iterdump()), done.log, str(done.error)]
    pages = (home / "docs").rglob("*.html")
    told += [page.read_text() for page in pages if done.study_key in str(page)]
    everything = "\n".join(told).upper()
    words = {word for path in done.files for word in identifying_words(path)}
    assert not [word for word in words if word.upper() in everything]


def identifying_words(path: Path) -> Iterator[str]:
    try:
        header = read_header(path)
    except UnreadableFile:
        return
    for element in header.iterall():
        if element.keyword in IDENTIFYING and element.value:
            words = re.split(r"[\^=\\]+", str(element.value))
            yield from (word.strip() for word in words if _tells(word.strip()))


def _tells(word: str) -> bool:
    """Short ones ("CT", "1") stand in any text; one phantom is called Patient."""
    return len(word) > 4 and word != "Patient"


# Whole studies.


@pytest.fixture(scope="module", params=WHOLE)
def whole(
    request: pytest.FixtureRequest, prepare: Callable[..., Prepared]
) -> tuple[list[str], Prepared]:
    folders = WHOLE[request.param]
    return folders, prepare(*folders)


@pytest.mark.server
def test_whole_series_become_volumes_where_they_are_in_the_patient(
    whole: tuple[list[str], Prepared],
    real_data: Path,
    tmp_path: Path,
    need_program: Callable[[str], str],
) -> None:
    folders, done = whole
    site = done.site
    assert done.error is None
    query = select(Product).where(Product.study_key == done.study_key, Product.kind == "volume")
    volumes = {product.series_key: product for product in site.catalog.all(query)}
    assert len(volumes) == len(folders)
    for name in folders:
        (tmp_path / name).mkdir()
        header = read_header(next(find_files(real_data / name)))
        product = volumes[site.pseudonyms.uid(header.SeriesInstanceUID)]
        with open_product(site, product) as folder:
            volume = Volume.open(folder / VOLUME)
            volume.verify()
            compare_with_simpleitk(name, real_data / name, volume)
            program = need_program("dcm2niix")
            compare_with_dcm2niix(name, real_data / name, volume, program, tmp_path / name)
        assert volume.sop_instance_uids
        new = {
            site.pseudonyms.uid(read_header(path).SOPInstanceUID)
            for path in find_files(real_data / name)
        }
        assert set(volume.sop_instance_uids) == new


def test_the_life_of_a_whole_study_is_told(whole: tuple[list[str], Prepared]) -> None:
    _, done = whole
    assert (done.study.state, done.study.reason) == ("prepared", "")
    stages = ["ingest", "validate", "deidentify", "gate", "release", "chunk"]
    assert list(done.sentences) == stages
    assert done.sentences["gate"].startswith("Passed: nothing found")
    assert {event.state for event in done.site.catalog.timeline(done.study_key)} == {"done"}
    assert done.quarantined == []
    assert_told_without_phi(done)


@pytest.mark.parametrize("name", WITHOUT_VOLUME)
def test_what_is_no_volume_is_prepared_with_the_reason(
    name: str, prepare: Callable[..., Prepared]
) -> None:
    done = prepare(name)
    assert done.error is None
    assert done.study.state == "prepared"
    assert done.sentences["chunk"].startswith("0 volumes; 1 without: ")
    assert WITHOUT_VOLUME[name] in done.sentences["chunk"]
    assert_told_without_phi(done)


# Damaged files.


def test_every_damaged_file_is_in_the_table(real_data: Path) -> None:
    there = {
        path.relative_to(real_data).as_posix()
        for folder in ("bad_pydicom", "bad_orthanc")
        for path in find_files(real_data / folder)
    }
    assert there == {*DAMAGED, *ODD}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_ends_in_quarantine(name: str, prepare: Callable[..., Prepared]) -> None:
    done = prepare(name)
    assert isinstance(done.error, PermanentError)
    assert done.study.state == "quarantined"
    (item,) = done.quarantined
    assert DAMAGED[name] in item.reason
    assert item.reason == done.study.reason == done.sentences["validate"]
    assert list(done.sentences) == ["ingest", "validate"]
    assert_told_without_phi(done)


@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_is_prepared(name: str, prepare: Callable[..., Prepared]) -> None:
    done = prepare(name)
    assert done.error is None
    assert done.study.state == "prepared"
    assert_told_without_phi(done)


def test_one_damaged_slice_refuses_its_study(
    real_data: Path, prepare: Callable[..., Prepared], tmp_path: Path
) -> None:
    """And the raw zone keeps it, byte for byte, for whoever looks into it."""
    paths = sorted(find_files(real_data / "mr_brain_flair"))
    for path in paths:
        shutil.copyfile(path, tmp_path / path.name)
    (tmp_path / paths[7].name).write_bytes(paths[7].read_bytes()[:-1000])
    done = prepare(str(tmp_path))
    assert isinstance(done.error, PermanentError)
    assert done.study.state == "quarantined"
    assert "slice" in done.quarantined[0].reason
    raw = done.site.catalog.latest(done.study_key, "raw")
    with open_product(done.site, raw) as folder:
        kept = {path.read_bytes() for path in (folder / "instances").iterdir()}
    assert kept == {path.read_bytes() for path in tmp_path.iterdir()}
    assert_told_without_phi(done)
