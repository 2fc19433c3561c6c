"""What every PACS client must do with every PACS.

A subclass gives a `server` fixture, of the scope of a class, and says where its PACS is
different. Studies are told apart by their dates, so that the tests can share one server.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless, generate_uid

from hounsfield.errors import ConfigError, NotFound, PacsUnavailable
from hounsfield.pacs import (
    CommitmentNotSupported,
    MoveDestination,
    StoreOutcome,
    StudyFilter,
    Window,
    send_folder,
)
from hounsfield.pacs.client import Verdict
from hounsfield.pacs.inbox import Intake
from hounsfield.pacs.receive import listening
from hounsfield.records import InstanceEntry
from tests.pacs.contract.servers import MOVE_TITLE, RunningDimse, RunningPacs
from tests.pacs.proxy import CuttingProxy
from tests.pacs.receiving import settings_of, study_key
from tests.pacs.studies import dataset_bytes, write_study

PRIVATE_CLASS = "1.2.826.0.1.3680043.8.498.7"


def day(date: str) -> Window:
    start = datetime.strptime(date, "%Y%m%d")
    return Window(start, start + timedelta(days=1))


class PacsContract:
    """The suite."""

    tells_count: ClassVar[bool] = True
    keeps_bytes: ClassVar[bool] = True
    tells_description: ClassVar[bool] = True
    takes_private_classes: ClassVar[bool] = False
    says_to_an_object_of_no_study: ClassVar[Verdict] = "stored"
    commits: ClassVar[bool] = False

    @pytest.fixture
    def way(self) -> dict[str, str]:
        """Settings of the peer for a way to fetch."""
        return {}

    def test_it_answers(self, server: RunningPacs) -> None:
        server.client().echo()

    def test_nobody_listens(self, server: RunningPacs, free_port: Callable[[], int]) -> None:
        with pytest.raises(PacsUnavailable):
            server.client(port=free_port()).echo()

    @pytest.mark.timeout(60)
    def test_somebody_listens_and_says_nothing(self, server: RunningPacs, tmp_path: Path) -> None:
        uid, files = write_study(tmp_path, 1)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            client = server.client(port=silent.getsockname()[1], patience=0.3)
            for ask in (
                client.echo,
                lambda: list(client.find_studies(day("20240310"))),
                lambda: client.fetch_study(uid, tmp_path),
                lambda: client.store(files),
            ):
                with pytest.raises(PacsUnavailable):
                    ask()

    def test_find_by_window(self, server: RunningPacs, tmp_path: Path) -> None:
        client = server.client()
        early, files = write_study(tmp_path, 2, date="20240310", time="093000")
        late, more = write_study(tmp_path, 1, date="20240310", time="140000.5")
        other, rest = write_study(tmp_path, 1, date="20240311", time="000000")
        assert all(o.verdict == "stored" for o in client.store(files + more + rest))

        found = list(client.find_studies(day("20240310")))
        assert [s.StudyInstanceUID for s in found] == [early, late]
        noon = datetime(2024, 3, 10, 12)
        afternoon = client.find_studies(Window(noon, datetime(2024, 3, 11)))
        assert [s.StudyInstanceUID for s in afternoon] == [late]
        both = client.find_studies(Window(noon, datetime(2024, 3, 12)))
        assert [s.StudyInstanceUID for s in both] == [late, other]

    def test_find_by_modality(self, server: RunningPacs, tmp_path: Path) -> None:
        client = server.client()
        study, files = write_study(tmp_path, 1, date="20240315")
        client.store(files)
        window = day("20240315")
        wanted = client.find_studies(window, StudyFilter(frozenset({"CT", "MR"})))
        assert [s.StudyInstanceUID for s in wanted] == [study]
        assert not list(client.find_studies(window, StudyFilter(frozenset({"MR"}))))

    def test_find_by_description(self, server: RunningPacs, tmp_path: Path) -> None:
        """A PACS that does not tell descriptions gives all: a study too many is none lost."""
        client = server.client()
        head, files = write_study(tmp_path, 1, date="20240316", description="CT Head, acute")
        leg, more = write_study(tmp_path, 1, date="20240316", description="CT Leg")
        client.store(files + more)
        found = client.find_studies(day("20240316"), StudyFilter(description="(?i)head"))
        wanted = {head} if self.tells_description else {head, leg}
        assert {s.StudyInstanceUID for s in found} == wanted

    def test_result_cap(self, server: RunningPacs, tmp_path: Path) -> None:
        """A window with more studies than the cap is halved until nothing is cut off.

        No range of StudyTime has those without one, wherever in the answers they stand.
        """
        times = [f"{hour:02}{minute:02}00" for hour in range(7, 17) for minute in (0, 45)]
        studies = [
            write_study(tmp_path, 1, date=date, time=time, patient=f"P{date}{number:02}")
            for date in ("20240401", "20240402")
            for number, time in enumerate(["", *times, ""])
        ]
        assert len(studies) == 44
        server.client().store([path for _, files in studies for path in files])
        window = Window(datetime(2024, 4, 1), datetime(2024, 4, 3))
        found = [s.StudyInstanceUID for s in server.client(max_results=5).find_studies(window)]
        assert sorted(found) == sorted(uid for uid, _ in studies)
        hour = Window(datetime(2024, 4, 1), datetime(2024, 4, 1, 7, 30))
        early = [s.StudyInstanceUID for s in server.client(max_results=5).find_studies(hour)]
        assert sorted(early) == sorted(uid for uid, _ in (studies[0], studies[1], studies[21]))

    def test_more_than_the_cap_in_a_minute_and_in_a_second(
        self, server: RunningPacs, tmp_path: Path
    ) -> None:
        date, client = "20240405", server.client(max_results=2)
        times = [f"1015{second:02}" for second in (0, 1, 30, 45, 59)]
        studies = [write_study(tmp_path, 1, date=date, time=time) for time in times]
        client.store([path for _, files in studies for path in files])
        found = [s.StudyInstanceUID for s in client.find_studies(day(date))]
        assert found == [uid for uid, _ in studies]
        client.store(write_study(tmp_path, 1, date=date, time=times[2])[1])
        with pytest.raises(ConfigError, match="one second holds as many"):
            list(client.find_studies(day(date)))

    @pytest.mark.parametrize("time", ["000000", "101500"])
    def test_more_than_the_cap_in_a_second_by_patient(
        self, server: RunningPacs, tmp_path: Path, time: str
    ) -> None:
        """An archive that was imported may say midnight of all that it has."""
        date = f"20240{6 + bool(int(time))}06"
        studies = [
            write_study(tmp_path, 1, date=date, time=time, patient=f"P{date}{number:02}")
            for number in range(40)
        ]
        server.client().store([path for _, files in studies for path in files])
        found = [s.StudyInstanceUID for s in server.client(max_results=5).find_studies(day(date))]
        assert sorted(found) == sorted(uid for uid, _ in studies)

    def test_count(self, server: RunningPacs, tmp_path: Path) -> None:
        client = server.client()
        uid, files = write_study(tmp_path, slices=3, series=2, date="20240410")
        client.store(files)
        assert client.count_instances(uid) == 6
        assert len(client.find_instances(uid)) == 6
        assert len(client.find_series(uid)) == 2
        (study,) = client.find_studies(day("20240410"))
        assert study.NumberOfStudyRelatedInstances == (6 if self.tells_count else None)

    def test_unknown_study(self, server: RunningPacs, tmp_path: Path) -> None:
        client, unknown = server.client(), str(generate_uid())
        assert client.count_instances(unknown) == 0
        assert client.find_instances(unknown) == ()
        with pytest.raises(NotFound):
            client.fetch_study(unknown, tmp_path)

    def test_fetch_whole(self, server: RunningPacs, tmp_path: Path, way: dict[str, str]) -> None:
        uid, files = write_study(tmp_path / "in", slices=3, series=2)
        server.client().store(files)
        seen: list[InstanceEntry] = []
        report = server.client(**way).fetch_study(uid, tmp_path / "out", sink=seen.append)
        assert report.is_complete
        assert report.requested == 6
        assert list(report.entries) == seen
        self._check_files(report.entries, files, tmp_path / "out")

    def test_fetch_only_some(
        self, server: RunningPacs, tmp_path: Path, way: dict[str, str]
    ) -> None:
        uid, files = write_study(tmp_path / "in", slices=3, series=2)
        server.client().store(files)
        refs = server.client().find_instances(uid)
        series = refs[0].SeriesInstanceUID
        # One whole series, and one instance of the other.
        only = {r.SOPInstanceUID for r in refs if r.SeriesInstanceUID == series}
        only.add(next(r.SOPInstanceUID for r in refs if r.SeriesInstanceUID != series))
        report = server.client(**way).fetch_study(uid, tmp_path / "out", only=only)
        assert {e.SOPInstanceUID for e in report.entries} == only
        assert len(list((tmp_path / "out").iterdir())) == 4

    def test_fetch_twice_gives_the_same_files(self, server: RunningPacs, tmp_path: Path) -> None:
        uid, files = write_study(tmp_path / "in", slices=2)
        client = server.client()
        client.store(files)
        first, second = (client.fetch_study(uid, tmp_path / "out") for _ in range(2))
        assert set(first.entries) == set(second.entries)
        assert len(list((tmp_path / "out").iterdir())) == 2

    def test_store_twice(self, server: RunningPacs, tmp_path: Path) -> None:
        client = server.client()
        uid, files = write_study(tmp_path, 2)
        for _ in range(2):
            assert all(outcome.is_stored for outcome in client.store(files))
        assert client.count_instances(uid) == 2

    def test_store_datasets(self, server: RunningPacs, tmp_path: Path) -> None:
        client = server.client()
        uid, files = write_study(tmp_path, 2)
        outcomes = client.store([dcmread(path) for path in files])
        assert [o.SOPInstanceUID for o in outcomes] == [dcmread(p).SOPInstanceUID for p in files]
        assert client.count_instances(uid) == 2

    def test_store_what_is_not_dicom(self, server: RunningPacs, tmp_path: Path) -> None:
        (tmp_path / "readme.txt").write_text("not an image")
        uid, files = write_study(tmp_path, 1)
        outcomes = server.client().store([tmp_path / "readme.txt", *files])
        assert [o.verdict for o in outcomes] == ["refused", "stored"]
        assert server.client().count_instances(uid) == 1

    def test_store_a_class_that_it_does_not_know(self, server: RunningPacs, tmp_path: Path) -> None:
        """It is refused for good, and keeps nothing else from being stored."""
        uid, (path, other) = write_study(tmp_path, 2)
        dataset = dcmread(path)
        dataset.SOPClassUID = PRIVATE_CLASS
        outcomes = server.client().store([dataset, other])
        private = "stored" if self.takes_private_classes else "refused"
        assert [o.verdict for o in outcomes] == [private, "stored"]
        assert server.client().count_instances(uid) == 1 + self.takes_private_classes

    def test_store_an_object_of_no_study(self, server: RunningPacs, tmp_path: Path) -> None:
        """What the PACS says is what we say; that it is not always true, a query shows."""
        _, (path,) = write_study(tmp_path, 1)
        dataset = dcmread(path)
        del dataset.StudyInstanceUID, dataset.SeriesInstanceUID
        outcomes: list[StoreOutcome] = []
        with suppress(PacsUnavailable):
            server.client().store([dataset], sink=outcomes.append)
        assert [o.verdict for o in outcomes] == [self.says_to_an_object_of_no_study]

    def test_commit(self, server: RunningPacs, tmp_path: Path) -> None:
        """What is stored is committed to, and what is not is named; or it cannot be asked."""
        client = server.client()
        _, files = write_study(tmp_path, 3)
        client.store(files[:2])
        pairs = [(d.SOPClassUID, d.SOPInstanceUID) for d in map(dcmread, files)]
        if not self.commits:
            with pytest.raises(CommitmentNotSupported):
                client.commit(pairs)
            return
        commitment = client.commit(pairs)
        assert commitment.committed == {uid for _, uid in pairs[:2]}
        assert set(commitment.failed) == {pairs[2][1]}
        assert "no such object" in commitment.failed[pairs[2][1]]

    @pytest.mark.data
    def test_compressed_comes_back_as_it_was(
        self, server: RunningPacs, tmp_path: Path, real_data: Path
    ) -> None:
        source = next((real_data / "cr_hand_j2k").glob("*.dcm"))
        assert dcmread(source).file_meta.TransferSyntaxUID == JPEG2000Lossless
        client = server.client()
        assert [o.verdict for o in client.store([source])] == ["stored"]
        report = client.fetch_study(dcmread(source).StudyInstanceUID, tmp_path)
        (entry,) = report.entries
        assert entry.TransferSyntaxUID == JPEG2000Lossless
        assert dcmread(tmp_path / entry.path).PixelData == dcmread(source).PixelData

    def test_broken_in_mid_retrieval(self, server: RunningPacs, tmp_path: Path) -> None:
        """What came whole is kept, nothing is half, and the rest can be asked for."""
        uid, files = write_study(tmp_path / "in", slices=6)
        server.client().store(files)
        out = tmp_path / "out"
        came: list[InstanceEntry] = []
        with CuttingProxy(server.port, limit=30_000) as proxy:
            broken = server.client(port=proxy.port)
            with pytest.raises(PacsUnavailable):
                broken.fetch_study(uid, out, sink=came.append)
            assert proxy.cuts == 1
        assert 0 < len(came) < 6
        assert sorted(p.name for p in out.iterdir()) == sorted(e.path for e in came)
        had = {entry.SOPInstanceUID for entry in came}
        rest = {r.SOPInstanceUID for r in server.client().find_instances(uid)} - had
        report = server.client().fetch_study(uid, out, only=rest)
        self._check_files((*came, *report.entries), files, out)

    @pytest.mark.timeout(60)
    def test_silent_in_mid_retrieval(self, server: RunningPacs, tmp_path: Path) -> None:
        """It is not waited for without end; what came whole is kept, and nothing is half."""
        uid, files = write_study(tmp_path / "in", slices=6)
        server.client().store(files)
        out = tmp_path / "out"
        came: list[InstanceEntry] = []
        with CuttingProxy(server.port, limit=30_000, stalls=True) as proxy:
            silent = server.client(port=proxy.port, patience=2)
            with pytest.raises(PacsUnavailable):
                silent.fetch_study(uid, out, sink=came.append)
            assert proxy.cuts == 1
        assert len(came) < 6
        assert sorted(p.name for p in out.iterdir()) == sorted(e.path for e in came)
        rest = {r.SOPInstanceUID for r in server.client().find_instances(uid)}
        rest -= {entry.SOPInstanceUID for entry in came}
        report = server.client().fetch_study(uid, out, only=rest)
        self._check_files((*came, *report.entries), files, out)

    @pytest.mark.timeout(60)
    def test_silent_in_mid_store(self, server: RunningPacs, tmp_path: Path) -> None:
        """Also where so much is to be sent that no buffer takes it; a resend heals."""
        uid, (path,) = write_study(tmp_path, slices=1)
        dataset = dcmread(path)
        dataset.NumberOfFrames = 2000
        dataset.PixelData *= 2000
        dataset.save_as(path)
        with CuttingProxy(server.port, upstream_limit=100_000, stalls=True) as proxy:
            with pytest.raises(PacsUnavailable):
                server.client(port=proxy.port, patience=2).store([path])
            assert proxy.cuts
        assert all(outcome.is_stored for outcome in server.client().store([path]))
        assert server.client().count_instances(uid) == 1

    def test_broken_in_mid_store(self, server: RunningPacs, tmp_path: Path) -> None:
        """One break costs one object; the others are sent, and a resend heals."""
        uid, files = write_study(tmp_path, slices=5)
        seen: list[StoreOutcome] = []
        with CuttingProxy(server.port, upstream_limit=33_000) as proxy:
            client = server.client(port=proxy.port)
            with pytest.raises(PacsUnavailable):
                client.store(files, sink=seen.append)
        verdicts = [outcome.verdict for outcome in seen]
        assert sorted(verdicts) == ["busy", "stored", "stored", "stored", "stored"]
        assert all(outcome.is_stored for outcome in server.client().store(files))
        assert server.client().count_instances(uid) == 5

    def _check_files(
        self, entries: tuple[InstanceEntry, ...], sources: list[Path], folder: Path
    ) -> None:
        """Names and hashes are true, and the data sets are the bytes that were stored."""
        by_uid = {str(dcmread(path).SOPInstanceUID): path for path in sources}
        assert {entry.SOPInstanceUID for entry in entries} == set(by_uid)
        for entry in entries:
            path = folder / entry.path
            content = path.read_bytes()
            assert entry.path == f"{entry.sha256}.dcm"
            assert entry.sha256 == hashlib.sha256(content).hexdigest()
            assert entry.size == len(content)
            assert dcmread(path).file_meta.TransferSyntaxUID == entry.TransferSyntaxUID
            source = by_uid[entry.SOPInstanceUID]
            if self.keeps_bytes:
                assert dataset_bytes(path) == dataset_bytes(source)
            else:
                assert dcmread(path) == dcmread(source)


class DimseContract(PacsContract):
    """What is asked of DIMSE alone."""

    checks_called_ae_title: ClassVar[bool] = True

    @pytest.fixture(params=["c-get", "c-move", "auto"])
    def way(self, request: pytest.FixtureRequest) -> dict[str, str]:
        return {"get": request.param}

    def test_wrong_ae_title(self, server: RunningDimse) -> None:
        client = server.client(ae_title="SOMEBODYELSE")
        if not self.checks_called_ae_title:
            client.echo()
            return
        with pytest.raises(ConfigError):
            client.echo()

    def test_what_it_moves_to_the_receiver_is_counted(
        self, server: RunningDimse, tmp_path: Path, free_port: Callable[[], int]
    ) -> None:
        """It has that at the address of our AE title, and we listen elsewhere."""
        uid, files = write_study(tmp_path / "in", 3)
        client = server.client(get="c-move", move=MoveDestination(MOVE_TITLE, free_port()))
        client.store(files)
        settings = settings_of(tmp_path / "landing", server.move_port).but(ae_title=MOVE_TITLE)
        with listening(Intake(settings.landing), settings, study_key=study_key):
            report = client.fetch_study(uid, tmp_path / "out")
        assert (report.entries, report.elsewhere) == ((), 3)

    def test_send_a_folder(self, server: RunningDimse, tmp_path: Path) -> None:
        write_study(tmp_path / "a" / "b", 2)
        uid, _ = write_study(tmp_path / "c", 1)
        (tmp_path / "c" / "notes.txt").write_text("not an image")
        report = send_folder(server.peer(), tmp_path)
        assert (report.sent, report.not_dicom, report.unlisted, report.refused) == (3, 1, 0, {})
        assert uid in report.studies
        assert len(report.studies) == 2
