"""A retrieval that breaks, dies or is told to wait goes on where it was."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from hounsfield.catalog.models import Product
from hounsfield.errors import PacsUnavailable
from hounsfield.pacs import DimseClient
from hounsfield.pacs.client import EntrySink, FetchReport
from hounsfield.records import InstanceEntry
from hounsfield.site import Site
from hounsfield.stages.arrival import Arrival
from hounsfield.stages.ingest import find_studies, retrieve_study
from hounsfield.vault import Identity
from tests.pacs.contract.servers import orthanc
from tests.pacs.proxy import CuttingProxy
from tests.pacs.studies import write_study
from tests.stages.conftest import RUN, FakePacs, instances
from tests.stages.test_ingest import DAY

FORK = multiprocessing.get_context("fork")
SLICES = 12
#: Enough for the C-FIND responses of the study, and for some of its 12 instances of 8 KiB.
LIMIT = 60_000


@pytest.fixture
def key(site: Site, pacs: FakePacs) -> str:
    for number in range(SLICES):
        pacs.give(f"1.2.3.{number}", f"slice {number}")
    (found,) = find_studies(site, "pacs", *DAY, run=RUN)
    return found


def test_what_came_before_it_broke_is_not_fetched_again(
    site: Site, pacs: FakePacs, key: str
) -> None:
    pacs.breaks_after = 5
    for left in (SLICES, SLICES - 5):
        with pytest.raises(PacsUnavailable, match="broke"):
            retrieve_study(site, key, run=RUN)
        assert len(pacs.asked[-1]) == left
    assert not site.catalog.all(select(Product)), "half a study is no study"
    assert retrieve_study(site, key, run=RUN)["status"] == "new"
    assert len(pacs.asked[-1]) == 2
    assert set(instances(site, key)) == set(pacs.listed)
    assert not (Path(site.settings.site.zones["raw"]) / ".staging" / key).exists()


def test_a_killed_retrieval_keeps_what_had_come(
    site: Site, pacs: FakePacs, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Arrival.take

    def dying(self: Arrival, entry: InstanceEntry) -> None:
        take(self, entry)
        if len(self.entries) == 7:
            os.kill(os.getpid(), signal.SIGKILL)

    settings = site.settings

    def retrieve() -> None:
        retrieve_study(Site(settings), key, run=RUN)

    with monkeypatch.context() as patch:
        patch.setattr(Arrival, "take", dying)
        process = FORK.Process(target=retrieve)
        process.start()
        process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert retrieve_study(site, key, run=RUN)["status"] == "new"
    assert [len(asked) for asked in pacs.asked] == [SLICES - 7]
    assert set(instances(site, key)) == set(pacs.listed)


@pytest.mark.parametrize("torn", [b"", b'\n{"SOPInst', b"\n[1, 2]", b"\n\xff\xfe"])
def test_a_journal_that_was_torn_is_read_as_far_as_it_goes(tmp_path: Path, torn: bytes) -> None:
    arrival = Arrival(tmp_path, lambda: 1.0)
    for number in range(3):
        (arrival.instances / f"{number}.dcm").write_bytes(b"x")
        arrival.take(entry_of(number))
    with (tmp_path / "arrived.jsonl").open("ab") as file:
        file.write(torn)
    (arrival.instances / "1.dcm").unlink()  # Its file did not reach the disk.
    (arrival.instances / ".abc.part").write_bytes(b"half")
    again = Arrival(tmp_path, lambda: 1.0)
    assert [entry.path for entry in again.entries] == ["0.dcm", "2.dcm"]
    assert sorted(path.name for path in again.instances.iterdir()) == ["0.dcm", "2.dcm"]
    (again.instances / "3.dcm").write_bytes(b"x")
    again.take(entry_of(3))
    paths = [entry.path for entry in Arrival(tmp_path, lambda: 1.0).entries]
    assert paths == ["0.dcm", "2.dcm", "3.dcm"]


@pytest.mark.parametrize("notes", ["", "{", "[]", '{"since": 1}', '{"": {"since": 1, "no": 2}}'])
def test_notes_that_cannot_be_read_start_anew(tmp_path: Path, notes: str) -> None:
    Arrival(tmp_path, lambda: 1.0).note("said")
    assert Arrival(tmp_path, lambda: 5.0).age_of("said") == 4
    (tmp_path / "waiting.json").write_text(notes)
    assert Arrival(tmp_path, lambda: 5.0).age_of("said") is None


def test_each_source_is_waited_for_by_itself(tmp_path: Path) -> None:
    Arrival(tmp_path, lambda: 1.0, "archive").note("one")
    modality = Arrival(tmp_path, lambda: 2.0, "modality")
    assert not modality.changed("two")
    modality.note("two")
    archive = Arrival(tmp_path, lambda: 5.0, "archive")
    assert (archive.age_of("one"), archive.changed("two")) == (4, True)


def test_a_clock_that_is_set_back_confirms_nothing(tmp_path: Path) -> None:
    Arrival(tmp_path, lambda: 100.0).note("said")
    assert Arrival(tmp_path, lambda: 50.0).age_of("said") is None


def entry_of(number: int) -> InstanceEntry:
    return InstanceEntry(f"1.2.{number}", "1", "2", f"{number}.dcm", 1, f"{number}")


class Counted(DimseClient):
    """Counts what lands."""

    landed: list[str]

    def fetch_study(
        self,
        study_instance_uid: str,
        folder: Path,
        *,
        only: Collection[str] | None = None,
        sink: EntrySink | None = None,
    ) -> FetchReport:
        def counting(entry: InstanceEntry) -> None:
            self.landed.append(entry.SOPInstanceUID)
            if sink is not None:
                sink(entry)

        return super().fetch_study(study_instance_uid, folder, only=only, sink=counting)


@pytest.mark.server
def test_a_pacs_that_goes_away_and_comes_back(
    site: Site,
    tmp_path: Path,
    need_program: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In mid-retrieval: the next try fetches the rest, and nothing but the rest."""
    uid, paths = write_study(tmp_path / "study", slices=SLICES)
    key = site.pseudonyms.study_key(uid)
    site.vault.put(key, "", Identity(uid, "", "", "20240301", "pacs"), run=RUN)
    landed: list[str] = []
    with orthanc(tmp_path, need_program("Orthanc")) as running:
        server = running.dimse
        server.client().store(paths)
        with CuttingProxy(server.port, LIMIT) as proxy:
            use(monkeypatch, server.peer(port=proxy.port), landed)
            with pytest.raises(PacsUnavailable):
                retrieve_study(site, key, run=RUN)
            assert proxy.cuts
        first = len(landed)
        assert 0 < first < SLICES
        assert not site.catalog.all(select(Product))
        use(monkeypatch, server.peer(), landed)
        assert retrieve_study(site, key, run=RUN)["status"] == "new"
    assert len(landed) == len(set(landed)) == SLICES, "each came once"
    assert set(instances(site, key)) == set(landed)


def use(monkeypatch: pytest.MonkeyPatch, peer: Any, landed: list[str]) -> None:
    client = Counted(peer)
    client.landed = landed
    monkeypatch.setattr("hounsfield.stages.ingest.client_of", lambda *_: client)
