"""From the PACS to the raw zone: whole or not at all, and each content once."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from hounsfield.catalog.models import Delivery, Product, QuarantineItem
from hounsfield.errors import ConfigError, NotFound, NotYet, PacsUnavailable, StudyLocked
from hounsfield.records import InstanceEntry
from hounsfield.site import Site
from hounsfield.stages.ingest import find_studies, retrieve_study
from hounsfield.stages.revision import admit
from tests.quality.conftest import ct_slice, save
from tests.stages.conftest import RUN, STUDY, FakePacs, instances, with_source
from tests.stages.received import receive, screenshot

DAY = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)


def entry(uid: int, content: int) -> InstanceEntry:
    return InstanceEntry(f"1.2.{uid}", "1", "2", f"{content}.dcm", 1, f"{content}")


ARRIVALS = st.lists(st.builds(entry, st.integers(1, 4), st.integers(1, 3)), max_size=12)


@given(ARRIVALS, ARRIVALS)
def test_nothing_that_arrives_is_lost(
    held: list[InstanceEntry], arrived: list[InstanceEntry]
) -> None:
    held = list({item.SOPInstanceUID: item for item in held}.values())
    admission = admit(held, arrived)
    first = {}
    for item in (*held, *arrived):
        first.setdefault(item.SOPInstanceUID, item)
    assert admission.accepted == tuple(first.values()), "the first content of a UID is used"
    new = len(admission.accepted) - len(held)
    assert new + admission.duplicates + len(admission.collisions) == len(arrived)
    for item in admission.collisions:
        assert first[item.SOPInstanceUID].sha256 != item.sha256


@given(ARRIVALS)
def test_the_same_again_is_all_duplicates(arrived: list[InstanceEntry]) -> None:
    once = admit([], arrived)
    again = admit(once.accepted, [replace(item) for item in once.accepted])
    assert again.accepted == once.accepted
    assert again.duplicates == len(once.accepted)
    assert not again.collisions


@pytest.fixture
def key(site: Site, pacs: FakePacs) -> str:
    """A study that was found, and has three instances in two series."""
    pacs.give("1.2.3.1")
    pacs.give("1.2.3.2")
    pacs.give("1.2.4.1", series="1.2.4")
    (found,) = find_studies(site, "pacs", *DAY, run=RUN)
    return found


def test_finding_gives_keys_and_keeps_uids_in_the_vault(site: Site, pacs: FakePacs) -> None:
    keys = find_studies(site, "pacs", *DAY, run=RUN)
    assert keys == [site.pseudonyms.study_key(STUDY)]
    assert STUDY not in str(keys)
    identity = site.vault.open(keys[0], purpose="test", run=RUN)
    assert (identity.StudyInstanceUID, identity.source) == (STUDY, "pacs")


def test_days_before_are_asked_for_again(
    site: Site, pacs: FakePacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came to the PACS late is found by the next day's run."""
    windows = []
    ask = pacs.find_studies

    def watched(window: Any, *rest: Any) -> Any:
        windows.append(window)
        return ask(window, *rest)

    monkeypatch.setattr(pacs, "find_studies", watched)
    find_studies(site, "pacs", *DAY, run=RUN, looks_back=False)
    find_studies(site, "pacs", *DAY, run=RUN)
    find_studies(with_source(site, lookback_days=3), "pacs", *DAY, run=RUN)
    assert {window.end for window in windows} == {windows[0].end}
    back = [windows[0].start - window.start for window in windows]
    assert back == [timedelta(days=days) for days in (0, 1, 3)]


def test_an_unknown_source_is_named(site: Site, pacs: FakePacs) -> None:
    with pytest.raises(NotFound, match="attic"):
        find_studies(site, "attic", *DAY, run=RUN)


def test_a_new_study_comes_in_whole(site: Site, pacs: FakePacs, key: str) -> None:
    result = retrieve_study(site, key, run=RUN)
    assert result["status"] == "new"
    assert set(instances(site, key)) == set(pacs.listed)
    study = site.catalog.study(key)
    assert (study.state, study.series_count, study.instance_count) == ("received", 2, 3)
    assert study.revision == result["digest"]
    assert study.patient_key == site.pseudonyms.patient_key("LOVELACE-1815", "SWITHIN")
    identity = site.vault.open(key, purpose="test", run=RUN)
    assert (identity.PatientID, identity.IssuerOfPatientID) == ("LOVELACE-1815", "SWITHIN")


def test_whose_a_study_is_its_series_tell_together(site: Site, tmp_path: Path) -> None:
    """Not each device knows who issued the number; de-identification asks all of them, too."""
    first, second = ct_slice(0), screenshot("")
    second.IssuerOfPatientID = "SWITHIN"
    key = receive(site, [save(first, tmp_path / "0.dcm"), save(second, tmp_path / "1.dcm")])
    identity = site.vault.open(key, purpose="test", run=RUN)
    assert (identity.PatientID, identity.IssuerOfPatientID) == (first.PatientID, "SWITHIN")


def test_what_it_returns_and_tells_names_nobody(site: Site, pacs: FakePacs, key: str) -> None:
    told = json.dumps(retrieve_study(site, key, run=RUN))
    told += " ".join(event.sentence for event in site.catalog.timeline(key))
    told += site.catalog.latest(key, "raw").uri
    for secret in (STUDY, "LOVELACE", "SWITHIN", *pacs.listed):
        assert secret not in told


def test_our_own_results_are_no_new_images(site: Site, pacs: FakePacs, key: str) -> None:
    """Else each delivery would make the next ingest read the study again."""
    first = retrieve_study(site, key, run=RUN)
    pacs.give("2.25.1", "our report", series="2.25.2")
    site.catalog.put(
        Delivery(
            SOPInstanceUID="2.25.1",
            SOPClassUID="1.2",
            kind="sr",
            study_key=key,
            prediction_id="p",
            destination="pacs",
            sha256="0" * 64,
        )
    )
    again = retrieve_study(site, key, run=RUN)
    assert again == {**first, "status": "unchanged"}


def test_what_two_sources_have_is_brought_from_both(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = {"archive": FakePacs(), "modality": FakePacs()}
    one = site.settings.sources["pacs"]
    sources = {name: one.model_copy(update={"jurisdiction": name}) for name in fakes}
    site = Site(site.settings.model_copy(update={"sources": sources}))
    monkeypatch.setattr(
        "hounsfield.stages.ingest.client_of", lambda settings, _: fakes[settings.jurisdiction]
    )
    fakes["archive"].give("1.2.3.1")
    for uid in ("1.2.3.1", "1.2.3.2"):
        fakes["modality"].give(uid)
    statuses = []
    for name in ("archive", "modality", "archive"):
        (key,) = find_studies(site, name, *DAY, run=RUN)
        statuses.append(retrieve_study(site, key, name, run=RUN)["status"])
    assert statuses == ["new", "revised", "unchanged"]
    assert set(instances(site, key)) == {"1.2.3.1", "1.2.3.2"}
    assert fakes["modality"].asked == [{"1.2.3.2"}]
    assert site.vault.source_of(key) == site.catalog.study(key).source == "archive"


def test_nothing_new_is_not_fetched_again(site: Site, pacs: FakePacs, key: str) -> None:
    first = retrieve_study(site, key, run=RUN)
    again = retrieve_study(site, key, run=RUN)
    assert again == {**first, "status": "unchanged"}
    assert len(pacs.asked) == 1
    assert len(site.catalog.all(select(Product))) == 1


def test_late_images_make_a_revision_and_only_they_are_fetched(
    site: Site, pacs: FakePacs, key: str
) -> None:
    first = retrieve_study(site, key, run=RUN)
    before = instances(site, key)
    pacs.give("1.2.4.2", series="1.2.4")
    second = retrieve_study(site, key, run=RUN)
    assert second["status"] == "revised"
    assert second["digest"] != first["digest"]
    assert pacs.asked[-1] == {"1.2.4.2"}
    after = instances(site, key)
    assert {uid: after[uid] for uid in before} == before
    assert len(after) == 4


def test_what_the_pacs_no_longer_lists_stays(site: Site, pacs: FakePacs, key: str) -> None:
    """It was deleted there, while another image was added; nothing is lost here."""
    retrieve_study(site, key, run=RUN)
    del pacs.listed["1.2.3.1"]
    pacs.give("1.2.4.2", series="1.2.4")
    assert retrieve_study(site, key, run=RUN)["status"] == "revised"
    assert set(instances(site, key)) == {*pacs.listed, "1.2.3.1"}


def test_what_the_pacs_corrects_under_the_same_uid_is_not_seen(
    site: Site, pacs: FakePacs, key: str
) -> None:
    """Its list names instances, and not what is in them: the runbook of the Dag says so."""
    retrieve_study(site, key, run=RUN)
    before = instances(site, key)
    pacs.sent = [(uid, "corrected") for uid, _ in pacs.sent]
    assert retrieve_study(site, key, run=RUN)["status"] == "unchanged"
    assert instances(site, key) == before
    assert len(pacs.asked) == 1


def test_a_study_that_is_not_whole_is_waited_for(site: Site, pacs: FakePacs, key: str) -> None:
    pacs.listed["1.2.3.9"] = "1.2.3"  # listed, and never sent
    with pytest.raises(NotYet, match="1 of 3 in series 1 of 2"):
        retrieve_study(site, key, run=RUN)
    assert not site.catalog.all(select(Product))
    assert [event.state for event in site.catalog.timeline(key)] == ["waiting"]
    pacs.sent.append(("1.2.3.9", "late"))
    assert retrieve_study(site, key, run=RUN)["status"] == "new"


@pytest.mark.parametrize(
    ("description", "wanted"), [("", 1), ("[Cc]hest", 1), ("^chest$", 0), ("abdomen|pelvis", 0)]
)
def test_only_studies_of_a_description_are_found(
    site: Site, pacs: FakePacs, description: str, wanted: int
) -> None:
    pacs.description = "CT Chest, LOVELACE"
    assert len(find_studies(with_source(site, description=description), "pacs", *DAY, run=RUN)) == (
        wanted
    )


def test_a_description_that_is_no_pattern_is_told(site: Site, pacs: FakePacs) -> None:
    with pytest.raises(ConfigError, match="description"):
        find_studies(with_source(site, description="(chest"), "pacs", *DAY, run=RUN)


def test_a_source_is_asked_in_its_working_hours_only(site: Site, pacs: FakePacs, key: str) -> None:
    nightly = with_source(site, working_hours="22:00-06:00", timezone="Europe/Berlin")
    noon = datetime(2026, 3, 1, 11, tzinfo=UTC).timestamp()  # 12:00 in Berlin
    with pytest.raises(NotYet, match="working hours") as wait:
        find_studies(nightly, "pacs", *DAY, run=RUN, now=lambda: noon)
    assert wait.value.seconds == 10 * 3600
    with pytest.raises(NotYet, match="working hours"):
        retrieve_study(nightly, key, run=RUN, now=lambda: noon)
    assert not pacs.asked
    night = noon + 10 * 3600
    assert find_studies(nightly, "pacs", *DAY, run=RUN, now=lambda: night) == [key]
    assert retrieve_study(nightly, key, run=RUN, now=lambda: night)["status"] == "new"


def test_a_source_rests_after_each_study_that_is_fetched(
    site: Site, pacs: FakePacs, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []
    monkeypatch.setattr("hounsfield.stages.retrieval.time.sleep", rests.append)
    resting = with_source(site, pause_seconds=0.5)
    retrieve_study(resting, key, run=RUN)
    retrieve_study(resting, key, run=RUN)
    assert rests == [0.5], "asking alone is no burden"


def test_a_study_that_is_listed_nowhere_comes_back_later(
    site: Site, pacs: FakePacs, key: str
) -> None:
    pacs.listed.clear()
    with pytest.raises(PacsUnavailable, match="lists no instance"):
        retrieve_study(site, key, run=RUN)


def test_the_same_twice_is_kept_once(site: Site, pacs: FakePacs, key: str) -> None:
    pacs.sent += [("1.2.3.1", "one"), ("1.2.3.1", "one")]
    retrieve_study(site, key, run=RUN)
    assert len(instances(site, key)) == 3
    assert "2 came twice" in site.catalog.timeline(key)[-1].sentence
    assert not site.catalog.all(select(QuarantineItem))


@pytest.mark.parametrize("times", [1, 2])
def test_two_contents_of_one_uid_are_both_kept(
    site: Site, pacs: FakePacs, key: str, times: int
) -> None:
    """The first is used; the second lies in quarantine, where a person can compare."""
    pacs.sent += [("1.2.3.1", "two")] * times
    assert retrieve_study(site, key, run=RUN)["status"] == "new"
    kept = instances(site, key)
    assert b"one" in kept["1.2.3.1"]
    (item,) = site.catalog.all(select(QuarantineItem))
    assert (item.code, item.stage) == ("content-collision", "ingest")
    assert b"two" in Path(item.uri).read_bytes()
    assert site.catalog.study(key).state == "received"


def test_killed_before_the_catalog_knows_it_is_done_again(
    site: Site, pacs: FakePacs, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(site.catalog, "put", dying)
    with pytest.raises(KeyboardInterrupt):
        retrieve_study(site, key, run=RUN)
    monkeypatch.undo()
    monkeypatch.setattr("hounsfield.stages.ingest.client_of", lambda *_: pacs)
    assert retrieve_study(site, key, run=RUN)["status"] == "new"
    assert len(instances(site, key)) == 3
    revisions = list((Path(site.settings.site.zones["raw"]) / key).iterdir())
    assert len(revisions) == 1


def test_killed_before_it_could_announce_it_is_announced_after_all(
    site: Site, pacs: FakePacs, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The revision is there, and the run that made it told nobody."""

    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hounsfield.store.Zone.unstage", dying)
        with pytest.raises(KeyboardInterrupt):
            retrieve_study(site, key, run=RUN)
    assert site.catalog.study(key).state == "received"
    statuses = [retrieve_study(site, key, run=RUN)["status"] for _ in range(2)]
    assert statuses == ["new", "unchanged"]
    assert len(pacs.asked) == 1, "nothing is fetched twice"


def test_killed_before_airflow_heard_it_is_announced_after_all(
    site: Site, pacs: FakePacs, key: str
) -> None:
    """All was done, but the process ended before it could say so: Airflow tries again."""
    first = retrieve_study(site, key, run=RUN)
    again = replace(RUN, try_number=2)
    assert retrieve_study(site, key, run=again) == {**first, "status": "new"}
    assert retrieve_study(site, key, run=again, first_try=2)["status"] == "unchanged", "cleared"
    assert retrieve_study(site, key, run=replace(again, run_id="r2"))["status"] == "unchanged"
    assert len(pacs.asked) == 1, "nothing is fetched twice"


def test_two_runs_at_once_are_one_after_the_other(site: Site, pacs: FakePacs, key: str) -> None:
    with site.catalog.lock(key, "another run"), pytest.raises(StudyLocked):
        retrieve_study(site, key, run=RUN)
    assert retrieve_study(site, key, run=RUN)["status"] == "new"


def test_each_opening_of_the_vault_is_in_the_trail(site: Site, pacs: FakePacs, key: str) -> None:
    retrieve_study(site, key, run=RUN)
    actions = Counter(item.action for item in site.audit.entries(key))
    assert actions["vault.open"] >= 1
    assert actions["vault.put"] >= 2
    assert site.audit.verify() is not None
