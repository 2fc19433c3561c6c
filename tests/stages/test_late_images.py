"""Late images, end to end: another revision, prepared and read again, and a report that says so."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from hounsfield.dicom.writing import write_dataset
from hounsfield.errors import NotYet
from hounsfield.pacs import DimseClient
from hounsfield.pacs.inbox import Inbox
from hounsfield.pacs.qrscp import QrscpServer
from hounsfield.pseudonyms import rotate_key
from hounsfield.settings import Settings
from hounsfield.site import Site
from hounsfield.stages.announce import Airflow
from hounsfield.stages.build_results import build_results
from hounsfield.stages.chunk import chunk
from hounsfield.stages.confirm import confirm
from hounsfield.stages.deidentify import deidentify
from hounsfield.stages.deliver import deliver
from hounsfield.stages.gate import gate
from hounsfield.stages.infer import run_model
from hounsfield.stages.ingest import find_studies, retrieve_study
from hounsfield.stages.produce import open_product
from hounsfield.stages.receive import Receiver
from hounsfield.stages.release import release
from hounsfield.stages.validate import validate
from tests.quality.conftest import ct_slice
from tests.stages.conftest import RUN, with_source
from tests.stages.test_concurrency import run_bundle, tracker_of
from tests.stages.test_ingest import DAY
from tests.stages.test_receive import Api

pytestmark = pytest.mark.server

ALL, WITHHELD = 60, 3
UID = str(ct_slice(0).StudyInstanceUID)
WINDOW = tuple(moment.replace(year=2024, month=1) for moment in DAY)


@pytest.fixture
def server(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[QrscpServer]:
    with QrscpServer(tmp_path / "qrscp", free_port()) as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, server: QrscpServer, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Its PACS is real; its model and its MLflow are stand-ins."""
    variables = {
        "HOUNSFIELD_HOME": str(tmp_path / "home"),
        "HOUNSFIELD_PACS_AE": "QRSCP",
        "HOUNSFIELD_PACS_PORT": str(server.port),
    }
    made = Site(Settings.load(variables))
    made.set_up()
    for module in ("infer", "confirm"):
        monkeypatch.setattr(f"hounsfield.stages.{module}.tracker_of", tracker_of)
        monkeypatch.setattr(f"hounsfield.stages.{module}.prediction_lineage", lambda *_, **__: None)
    monkeypatch.setattr("hounsfield.stages.infer.run_bundle", run_bundle)
    return made


def write(folder: Path, numbers: range) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{number}.dcm" for number in numbers]
    for number, path in zip(numbers, paths, strict=True):
        write_dataset(ct_slice(number), path)
    return paths


def prepare(site: Site, key: str) -> int:
    """What the Dag `prepare` does; how many slices the volume has."""
    for stage in (validate, deidentify, gate, release, chunk):
        stage(site, key, run=RUN)
    return int(site.catalog.latest(key, "volume").detail["shape"][0])


def infer(site: Site, key: str) -> Dataset:
    """What the Dag `infer` does for one model; its report."""
    volume = site.catalog.latest(key, "volume")
    job = {"model": "lung_nodule", "version": "1", "role": "champion"}
    job |= {"volume": volume.product_id, "series_key": volume.series_key}
    prediction = run_model(site, key, job, run=RUN)["prediction_id"]
    product = build_results(site, key, prediction, run=RUN)["product_id"]
    deliver(site, key, product, run=RUN)
    confirm(site, key, product, run=RUN)
    return report(site, product)


def report(site: Site, product_id: str) -> Dataset:
    product = site.catalog.product(product_id)
    assert product is not None
    with open_product(site, product) as folder:
        return dcmread(folder / "sr.dcm")


def predecessors(document: Dataset) -> list[tuple[str, str, str]]:
    """Study, series and instance of each document that a report takes the place of."""
    return [
        (
            str(study.StudyInstanceUID),
            str(series.SeriesInstanceUID),
            str(one.ReferencedSOPInstanceUID),
        )
        for study in document.get("PredecessorDocumentsSequence", ())
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    ]


def names(document: Dataset) -> tuple[str, str, str]:
    return UID, str(document.SeriesInstanceUID), str(document.SOPInstanceUID)


def test_pulled(
    site: Site,
    server: QrscpServer,
    tmp_path: Path,
    need_program: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = with_source(site, confirm_after_seconds=0.0)
    pacs = DimseClient(server.peer())
    pacs.store(write(tmp_path / "most", range(ALL - WITHHELD)))
    (key,) = find_studies(site, "pacs", *WINDOW, run=RUN)
    assert retrieve_study(site, key, run=RUN)["status"] == "new"
    assert prepare(site, key) == ALL - WITHHELD
    first = infer(site, key)
    assert predecessors(first) == []
    assert retrieve_study(site, key, run=RUN)["status"] == "unchanged", "our results are no images"

    pacs.store(write(tmp_path / "late", range(ALL - WITHHELD, ALL)))
    assert retrieve_study(site, key, run=RUN)["status"] == "revised"
    assert prepare(site, key) == ALL
    second = infer(site, key)
    assert second.SOPInstanceUID != first.SOPInstanceUID
    assert predecessors(second) == [names(first)]

    assert infer(site, key) == second, "cleared, and run again"
    monkeypatch.setattr("hounsfield.stages.produce.code_version", lambda *_: "the next release")
    again = build_results(site, key, site.catalog.predictions(key)[-1].prediction_id, run=RUN)
    assert report(site, again["product_id"]) == second, "though it is itself delivered by now"
    reports = [row for row in site.catalog.deliveries(key) if row.kind == "sr"]
    assert [row.state for row in reports] == ["confirmed", "confirmed"]
    listed = {ref.SOPInstanceUID for ref in pacs.find_instances(UID)}
    assert {row.SOPInstanceUID for row in reports} <= listed
    assert len(listed) == ALL + 4, "two reports and two segmentations, each once"

    path = tmp_path / "sr.dcm"
    second.save_as(path, enforce_file_format=True)
    said = subprocess.run(
        [need_program("dciodvfy"), str(path)], capture_output=True, text=True, check=False
    )
    assert "ComprehensiveSR" in said.stderr + said.stdout
    assert "Error" not in said.stderr + said.stdout


def test_pushed(site: Site, tmp_path: Path) -> None:
    """Quiet, then three more: Airflow hears of the partition twice."""
    key = site.pseudonyms.study_key(UID)
    api = Api()
    try:
        with Inbox(tmp_path / "landing") as inbox:
            airflow = Airflow(api.url, "made-by-hand")
            receiver = Receiver(site, inbox, "pacs", airflow, quiet_seconds=0)
            push(inbox, key, range(ALL - WITHHELD))
            receiver.sweep()
            assert prepare(site, key) == ALL - WITHHELD
            first = infer(site, key)
            push(inbox, key, range(ALL - WITHHELD, ALL))
            receiver.sweep()
            assert prepare(site, key) == ALL
            second = infer(site, key)
    finally:
        api.stop()
    assert [event["partition_key"] for event in api.events] == [key, key]
    assert predecessors(second) == [names(first)]
    assert site.catalog.latest(key, "raw").detail == {"completeness": "quiet"}


def push(inbox: Inbox, key: str, numbers: range) -> None:
    for number in numbers:
        dataset = ct_slice(number)
        meta, buffer = dataset.file_meta, BytesIO()
        del dataset.file_meta
        dcmwrite(buffer, dataset, implicit_vr=False, little_endian=True)
        part = inbox.part(
            sop_class_uid=str(meta.MediaStorageSOPClassUID),
            sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
            transfer_syntax_uid=str(meta.TransferSyntaxUID),
        )
        part.write(buffer.getvalue())
        inbox.land(key, part)


def test_a_key_is_rotated_in_between(site: Site, server: QrscpServer, tmp_path: Path) -> None:
    """What is here keeps its names, to the report that takes the place of another."""
    pacs = DimseClient(server.peer())
    pacs.store(write(tmp_path / "most", range(ALL - WITHHELD)))
    (key,) = find_studies(site, "pacs", *WINDOW, run=RUN)
    retrieve_study(with_source(site, confirm_after_seconds=0.0), key, run=RUN)
    prepare(site, key)
    first = infer(site, key)

    site = with_source(rotated(site), confirm_after_seconds=0.0)
    assert site.pseudonyms.study_key(UID) != key

    late = ct_slice(0)
    late.StudyInstanceUID, late.SOPInstanceUID = f"{UID}.7", f"{UID}.8"
    late.file_meta.MediaStorageSOPInstanceUID = late.SOPInstanceUID
    write_dataset(late, tmp_path / "other.dcm")
    rest = write(tmp_path / "late", range(ALL - WITHHELD, ALL))
    pacs.store([*rest, tmp_path / "other.dcm"])
    new = site.pseudonyms.study_key(f"{UID}.7")
    assert set(find_studies(site, "pacs", *WINDOW, run=RUN)) == {key, new}
    assert retrieve_study(site, key, run=RUN)["status"] == "revised"
    assert prepare(site, key) == ALL
    assert predecessors(infer(site, key)) == [names(first)]

    retrieve_study(site, new, run=RUN)
    before, after = (site.catalog.study(one) for one in (key, new))
    assert (before.key_version, after.key_version) == (1, 2)
    assert before.patient_key != after.patient_key
    assert site.vault.open(new, purpose="test", run=RUN).StudyInstanceUID == f"{UID}.7"


def rotated(site: Site) -> Site:
    """The site with one key more, in use; after a restart, so to say."""
    settings = site.settings
    newer = settings.site.model_copy(update={"key_version": rotate_key(settings.site.key_file)})
    return Site(settings.model_copy(update={"site": newer}))


def test_withheld_by_a_real_pacs_while_it_is_asked(
    site: Site, server: QrscpServer, tmp_path: Path
) -> None:
    """They come after the first asking, and before the second."""
    site = with_source(site, confirm_after_seconds=600.0)
    clock = [1_700_000_000.0]
    pacs = DimseClient(server.peer())
    pacs.store(write(tmp_path / "most", range(ALL - WITHHELD)))
    (key,) = find_studies(site, "pacs", *WINDOW, run=RUN, now=lambda: clock[0])
    with pytest.raises(NotYet):
        retrieve_study(site, key, run=RUN, now=lambda: clock[0])
    clock[0] += 600
    pacs.store(write(tmp_path / "late", range(ALL - WITHHELD, ALL)))
    with pytest.raises(NotYet):
        retrieve_study(site, key, run=RUN, now=lambda: clock[0])
    clock[0] += 600
    assert retrieve_study(site, key, run=RUN, now=lambda: clock[0])["status"] == "new"
    assert site.catalog.study(key).instance_count == ALL
