"""What is committed to is here: in the landing folder, or in the newest revision."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from hounsfield.pacs.inbox import Inbox
from hounsfield.pacs.known import Known
from hounsfield.site import Site
from hounsfield.stages.holdings import Holdings
from hounsfield.stages.receive import admit_landed
from tests.stages.conftest import RUN, STUDY, encoded

ONE, TWO, NONE = "1.2.3.1", "1.2.3.2", "1.2.3.9"
CLASS = str(CTImageStorage)


@pytest.fixture
def inbox(site: Site, tmp_path: Path) -> Iterator[Inbox]:
    with Inbox(tmp_path / "landing") as made:
        yield made


@pytest.fixture
def key(site: Site) -> str:
    return site.pseudonyms.study_key(STUDY)


def land(inbox: Inbox, key: str, uid: str) -> None:
    part = inbox.part(
        sop_class_uid=CLASS, sop_instance_uid=uid, transfer_syntax_uid=ExplicitVRLittleEndian
    )
    part.write(encoded(uid, "one").getvalue())
    inbox.land(key, part)


def test_what_landed_and_what_was_taken_is_held(site: Site, inbox: Inbox, key: str) -> None:
    holdings = Holdings(site, inbox)
    assert holdings([ONE]) == {}
    land(inbox, key, ONE)
    assert holdings([ONE, TWO, NONE]) == {ONE: CLASS}
    admit_landed(site, inbox, key, "pacs", run=RUN)
    assert inbox.landed(key) == []
    land(inbox, key, TWO)
    assert holdings([ONE, TWO, NONE]) == {ONE: CLASS, TWO: CLASS}


def test_what_is_damaged_in_the_landing_folder_is_not_held(
    site: Site, inbox: Inbox, key: str
) -> None:
    land(inbox, key, ONE)
    (path,) = inbox.landed(key)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert Holdings(site, inbox)([ONE]) == {}


def test_what_the_disk_gives_no_more_is_not_held(site: Site, inbox: Inbox, key: str) -> None:
    land(inbox, key, ONE)
    (path,) = inbox.landed(key)
    land(inbox, key, TWO)
    path.unlink()
    path.symlink_to("/proc/self/mem")  # The kernel gives EIO for it, as for a bad sector.
    assert Holdings(site, inbox)([ONE, TWO]) == {TWO: CLASS}


def test_what_cannot_be_read_just_now_is_not_said_to_be_lost(
    site: Site, inbox: Inbox, key: str
) -> None:
    """Its sender would be told that we never had it; the report waits."""
    land(inbox, key, ONE)
    (path,) = inbox.landed(key)
    path.unlink()
    path.symlink_to(path.name)  # The kernel gives ELOOP, as it may EMFILE.
    with pytest.raises(OSError, match="symbolic"):
        Holdings(site, inbox)([ONE])


def test_what_is_lost_from_the_raw_zone_is_not_held(site: Site, inbox: Inbox, key: str) -> None:
    land(inbox, key, ONE)
    land(inbox, key, TWO)
    admit_landed(site, inbox, key, "pacs", run=RUN)
    zone, relative = site.locate(site.catalog.latest(key, "raw").uri)
    holdings = Holdings(site, inbox)
    with zone.open(relative) as folder:
        path = next((folder / "instances").iterdir())
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-1])
        assert len(holdings([ONE, TWO])) == 1
        path.unlink()
        assert len(holdings([ONE, TWO])) == 1
    for name in ("product.json", "manifest.json"):
        (folder / name).unlink()
    assert holdings([ONE, TWO]) == {}, "no revision to look at: nothing is promised"


def test_instances_are_known_for_a_while(tmp_path: Path) -> None:
    known = Known(tmp_path / "known.db")
    known.note("st-a", (f"1.2.{number}" for number in range(1200)))
    known.note("st-b", ["1.3"])
    assert known.studies_of([f"1.2.{number}" for number in range(1200)]) == {"st-a"}
    assert known.studies_of({"1.3", "1.2.7", "9"}) == {"st-a", "st-b"}
    assert known.studies_of([]) == set()
    known.forget(1)
    assert known.studies_of(["1.3"]) == {"st-b"}
    known.forget(-1)
    assert known.studies_of(["1.3"]) == set()
