"""The contract on Orthanc, by DIMSE and by DICOMweb."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread

from hounsfield.errors import NotYet
from hounsfield.pacs import Commitment
from hounsfield.pacs.commit import report_handlers
from hounsfield.pacs.inbox import Intake
from hounsfield.pacs.receive import listening
from tests.pacs.contract import servers
from tests.pacs.contract.servers import (
    MOVE_TITLE,
    TIMEOUTS,
    RunningDimse,
    RunningOrthanc,
    RunningWeb,
)
from tests.pacs.contract.suite import DimseContract, PacsContract, day
from tests.pacs.receiving import settings_of, study_key
from tests.pacs.studies import write_study


@pytest.fixture(scope="class")
def orthanc(
    tmp_path_factory: pytest.TempPathFactory, need_program: Callable[[str], str]
) -> Iterator[RunningOrthanc]:
    program = need_program("Orthanc")
    with servers.orthanc(tmp_path_factory.mktemp("orthanc"), program) as running:
        yield running


@pytest.mark.server
class TestOrthanc(DimseContract):
    commits = True
    says_to_an_object_of_no_study = "busy"  # 0xA700, though it will never pass

    @pytest.fixture(scope="class")
    def server(self, orthanc: RunningOrthanc) -> RunningDimse:
        return orthanc.dimse

    def test_a_cap_that_it_tells_of(self, server: RunningDimse, tmp_path: Path) -> None:
        """It lists five at once, and says that it cut; our own cap is far above."""
        studies = [write_study(tmp_path, 1, date="20240501", time=f"{h:02}0000") for h in range(12)]
        client = server.client(max_results=500)
        client.store([path for _, files in studies for path in files])
        found = [s.StudyInstanceUID for s in client.find_studies(day("20240501"))]
        assert found == [uid for uid, _ in studies]

    def test_it_reports_to_the_receiver(self, server: RunningDimse, tmp_path: Path) -> None:
        """Where that listens under our AE title, and nobody waits for the report."""
        said: queue.Queue[tuple[str, Commitment]] = queue.Queue()
        settings = settings_of(tmp_path / "landing", server.move_port)
        door = listening(
            Intake(settings.landing),
            settings.but(ae_title=MOVE_TITLE),
            study_key=study_key,
            handlers=report_handlers(lambda *report: said.put(report)),
        )
        client = server.client(
            calling_ae_title=MOVE_TITLE,
            reports_to_receiver=True,
            timeouts=replace(TIMEOUTS, commitment=0.1),
        )
        _, files = write_study(tmp_path, 2)
        client.store(files[:1])
        pairs = [(d.SOPClassUID, d.SOPInstanceUID) for d in map(dcmread, files)]
        with door:
            with pytest.raises(NotYet):
                client.commit(pairs)
            ae_title, commitment = said.get(timeout=30)
        assert (ae_title, commitment.committed) == (server.ae_title, {pairs[0][1]})
        assert set(commitment.failed) == {pairs[1][1]}


@pytest.mark.server
class TestOrthancByDicomweb(PacsContract):
    takes_private_classes = True
    says_to_an_object_of_no_study = "refused"

    @pytest.fixture(scope="class")
    def server(self, orthanc: RunningOrthanc) -> RunningWeb:
        return orthanc.web

    def test_a_cap_that_it_does_not_tell_of(self, server: RunningWeb, tmp_path: Path) -> None:
        """It lists six at once, on all pages together, without a word; our cap is far above."""
        studies = [
            write_study(tmp_path, 1, date="20240501", time=time, patient=f"P{number:02}")
            for number, time in enumerate(["", *(f"{h:02}0000" for h in range(12)), ""])
        ]
        client = server.client(max_results=500)
        client.store([path for _, files in studies for path in files])
        found = [s.StudyInstanceUID for s in client.find_studies(day("20240501"))]
        assert sorted(found) == sorted(uid for uid, _ in studies)

    def test_the_same_files_as_by_dimse(
        self, server: RunningWeb, orthanc: RunningOrthanc, tmp_path: Path
    ) -> None:
        uid, files = write_study(tmp_path / "in", 3)
        server.client().store(files)
        web = server.client().fetch_study(uid, tmp_path / "web")
        dimse = orthanc.dimse.client().fetch_study(uid, tmp_path / "dimse")
        assert set(web.entries) == set(dimse.entries)
