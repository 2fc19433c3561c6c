"""A patient who is erased is nowhere; others are as they were; what was done is on record."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from sqlalchemy import delete, select

from hounsfield.catalog.models import (
    Delivery,
    Erasure,
    Product,
    Snapshot,
    SnapshotMember,
    Study,
    utc_now,
)
from hounsfield.datasets import load_snapshot
from hounsfield.errors import (
    ConfigError,
    IntegrityError,
    NotFound,
    ObjectLocked,
    OnHold,
    StudyLocked,
)
from hounsfield.pacs.inbox import Inbox
from hounsfield.settings import Settings, StoreSettings
from hounsfield.site import Site
from hounsfield.stages.dispose import Grounds
from hounsfield.stages.erase import (
    APPROVALS,
    DECISIONS,
    SUPERSEDED,
    certify_erasure,
    decide_erasure,
    erase,
)
from hounsfield.stages.hold import set_hold
from hounsfield.stages.infer import forget_if_erased
from hounsfield.stages.ingest import find_studies, retrieve_study
from hounsfield.stages.migrate import Move, move
from hounsfield.stages.receive import admit_landed
from hounsfield.stages.remove import remove_study
from hounsfield.stages.scrub import due, scrub
from hounsfield.stages.traces import Trace, traces
from hounsfield.tracking import Tracker
from hounsfield.tracking.lineage import prediction_lineage
from tests.s3 import MakeBucket, on_every_s3
from tests.stages.conftest import RUN, STUDY, FakePacs, instances, on_both
from tests.stages.erasing import OFFICER, approve, ask, half_of_a_move, plan_of, whole
from tests.stages.kept import (
    ADA,
    ERASING,
    PLACES,
    keep,
    keep_study,
    keep_two_patients,
    remains,
)
from tests.stages.test_receive import land


def moved_away_and_back(site: Site, study_key: str) -> None:
    """A study that a store with versions held for a while."""
    held = site.catalog.latest(study_key, "raw")
    for source, target in (("hot", "warm"), ("warm", "hot")):
        move(site, Move(held.product_id, study_key, "raw", held.bytes, source, target), run=RUN)


@on_every_s3
@pytest.mark.parametrize("locks", [False, True])
def test_old_versions_go_too_but_for_what_a_lock_keeps(
    locks: bool,
    tmp_path: Path,
    tracker: Tracker,
    make_bucket: MakeBucket,
    s3_client: Any,
    s3_options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (*ERASING, "snapshot"):
        monkeypatch.setattr(f"hounsfield.stages.{module}.tracker_of", lambda _: tracker)
    bucket = make_bucket(ObjectLockEnabledForBucket=True)  # which has versions, then
    root = f"s3://{bucket}/raw"
    made = Settings.load({"HOUNSFIELD_HOME": str(tmp_path), "HOUNSFIELD_WARM_RAW": root})
    lock = {"lock_mode": "GOVERNANCE", "lock_days": 10} if locks else {}
    stores = {root: StoreSettings(options=s3_options, **lock)}
    site = Site(made.model_copy(update={"site": made.site.model_copy(update={"stores": stores})}))
    site.set_up()
    ada, bea, _ = keep_two_patients(site, tracker, RUN)
    for study in (ada, bea):
        moved_away_and_back(site, study.study_key)
    assert not any(zone.files() for zone in site.places() if zone.root == root)

    def held() -> set[str]:
        versions = s3_client.list_object_versions(Bucket=bucket)
        every = (*versions.get("Versions", ()), *versions.get("DeleteMarkers", ()))
        return {one["Key"].split("/")[1] for one in every}

    assert held() == {ada.study_key, bea.study_key}
    case = ask(site, ada.patient_key)
    approve(site, case)
    if locks:
        until = (utc_now() + timedelta(days=10)).date()
        with pytest.raises(ObjectLocked, match=f"keeps [0-9]+ versions .*, until {until}T"):
            erase(site, case, run=OFFICER)
        assert not any(zone.files() for zone in site.places() if zone.root == root)
        assert remains(site, ada.study_key) == [], "all that no lock keeps is gone"
        kept = {
            row.kind for row in site.catalog.all(select(Product)) if row.study_key != bea.study_key
        }
        assert kept == {"raw"} and site.vault.knows(ada.study_key), "by which it is found again"
        due_now = [product for batch in due(site, 1) for product in batch]
        counts = scrub(site, due_now, run=RUN)
        told = "what is hidden is not called lost each night"
        assert (counts["whole"], counts["going"]) == (len(PLACES), 1), told
        with pytest.raises(IntegrityError, match=r"[0-9]+ in zone warm-raw"):
            certify_erasure(site, case, run=OFFICER)
        unlock(s3_client, bucket)
    erase(site, case, run=OFFICER)
    assert certify_erasure(site, case, run=OFFICER)["uri"]
    assert held() == {bea.study_key}


def unlock(client: Any, bucket: str) -> None:
    """As if the days had passed; an end that is past already S3 does not take."""
    until = utc_now() + timedelta(seconds=3)
    for one in client.list_object_versions(Bucket=bucket)["Versions"]:
        client.put_object_retention(
            Bucket=bucket,
            Key=one["Key"],
            VersionId=one["VersionId"],
            Retention={"Mode": "GOVERNANCE", "RetainUntilDate": until},
            BypassGovernanceRetention=True,
        )
    time.sleep(5)


@on_both
def test_nothing_of_the_patient_is_left_and_all_of_the_other(
    site: Site, patients: tuple[Study, Study, str], tracker: Tracker
) -> None:
    ada, bea, _ = patients
    before = remains(site, bea.study_key)
    assert remains(site, ada.study_key), "the search finds what is there"
    certificate = whole(site, ada.patient_key)
    assert remains(site, ada.study_key) == []
    snapshots = {name for name in before if "datasets/snapshots" in name}
    assert set(before) - snapshots <= set(remains(site, bea.study_key))
    assert not site.vault.knows(ada.study_key) and site.vault.knows(bea.study_key)
    assert not tracker.predictions_of(ada.study_key) and tracker.predictions_of(bea.study_key)
    with pytest.raises(NotFound):
        site.catalog.study(ada.study_key)
    assert set(certificate["looked"].values()) == {0}
    assert certificate["studies"] == [ada.study_key]
    assert certificate["decision"]["by"] == "officer"


def test_each_deletion_has_one_tombstone(site: Site, patients: tuple[Study, Study, str]) -> None:
    ada = patients[0]
    certificate = whole(site, ada.patient_key)
    stones = site.catalog.tombstones(case=certificate["erasure_id"])
    assert len({(stone.kind, stone.uri) for stone in stones}) == len(stones)
    assert all(stone.deleted_at and stone.approved_by == "officer" for stone in stones)
    kinds = {stone.kind for stone in stones}
    assert kinds >= {"raw", "deid", "volume", "label", "objects", "prediction", "review"}
    assert kinds >= {"candidate", "landing", "staging", "draft", "page", "files", "snapshot"}
    assert kinds >= {"study"}
    assert site.audit.verify() is not None


def test_snapshots_are_superseded_and_their_models_listed(
    site: Site, patients: tuple[Study, Study, str], tracker: Tracker
) -> None:
    ada, bea, digest = patients
    split = {m.study_key: m.split for m in load_snapshot(site, digest).members}
    certificate = whole(site, ada.patient_key)
    with site.catalog.read() as session:
        old = session.get(Snapshot, digest)
    assert old is not None and old.state == SUPERSEDED
    successor = load_snapshot(site, old.successor)
    assert {m.study_key: m.split for m in successor.members} == {
        bea.study_key: split[bea.study_key]
    }
    rows = site.catalog.all(select(SnapshotMember.study_key))
    assert set(rows) == {bea.study_key}
    with pytest.raises(NotFound, match=SUPERSEDED):
        load_snapshot(site, digest)
    (listed,) = certificate["snapshots"]
    assert listed["successor"] == old.successor
    (version,) = tracker.trained_on(digest)
    assert certificate["models"] == listed["models"] == [version.label]


def test_results_in_the_pacs_are_listed_and_stay(
    site: Site, patients: tuple[Study, Study, str]
) -> None:
    ada = patients[0]
    (delivery,) = site.catalog.deliveries(ada.study_key)
    (listed,) = whole(site, ada.patient_key)["results"]
    assert listed["SOPInstanceUID"] == delivery.SOPInstanceUID
    assert listed["destination"] == "pacs"


@pytest.mark.parametrize(
    ("state", "attempts", "may_be_there"),
    [
        ("sending", 0, False),
        ("sending", 1, True),
        ("failed", 2, True),
        ("refused", 1, False),
        ("sent", 1, True),
    ],
)
def test_what_was_sent_and_not_answered_for_is_listed(
    site: Site,
    patients: tuple[Study, Study, str],
    state: str,
    attempts: int,
    may_be_there: bool,
) -> None:
    """The PACS may have taken it before the line was cut, or the run killed."""
    with site.catalog.write() as session:
        session.query(Delivery).update({"state": state, "attempts": attempts})
    listed = whole(site, patients[0].patient_key)["results"]
    assert [row["state"] for row in listed] == [state] * may_be_there


def test_what_mlflow_is_told_meanwhile_it_forgets(
    site: Site, patients: tuple[Study, Study, str], tracker: Tracker
) -> None:
    """By a task that asked the catalog before the patient was erased."""
    ada, bea, _ = patients
    (prediction,) = site.catalog.predictions(ada.study_key)
    told = prediction_lineage(site, prediction.prediction_id, tracker=tracker)
    whole(site, ada.patient_key)
    tracker.log_prediction(told)
    with pytest.raises(NotFound, match="was erased"):
        forget_if_erased(site, ada.study_key, tracker)
    assert not tracker.predictions_of(ada.study_key)
    forget_if_erased(site, bea.study_key, tracker)
    assert tracker.predictions_of(bea.study_key)


def test_the_certificate_names_no_patient(site: Site, patients: tuple[Study, Study, str]) -> None:
    certificate = whole(site, patients[0].patient_key)
    folder = Path(site.zone("evidence").root) / "erasures" / certificate["erasure_id"]
    for path in folder.iterdir():
        for word in (ADA.PatientID, ADA.IssuerOfPatientID, ADA.StudyInstanceUID, ADA.StudyDate):
            assert word not in path.read_text(), path.name


@pytest.mark.parametrize("moment", ["before", "after the plan", "after the approval"])
def test_a_legal_hold_stops_it_with_its_reason(
    site: Site, patients: tuple[Study, Study, str], moment: str
) -> None:
    ada = patients[0]
    before = remains(site, ada.study_key)
    if moment == "before":
        set_hold(site, ada.study_key, "matter 17", run=RUN)
        with pytest.raises(OnHold, match="matter 17"):
            ask(site, ada.patient_key)
    else:
        case = ask(site, ada.patient_key)
        if moment == "after the approval":
            approve(site, case)
        set_hold(site, ada.patient_key, "matter 17", run=RUN)
        with pytest.raises(OnHold, match="matter 17"):
            approve(site, case) if moment == "after the plan" else erase(site, case, run=OFFICER)
    assert remains(site, ada.study_key) == before
    assert not site.catalog.tombstones()


def test_nothing_goes_without_an_approval(site: Site, patients: tuple[Study, Study, str]) -> None:
    ada = patients[0]
    before = remains(site, ada.study_key)
    case = ask(site, ada.patient_key)
    with pytest.raises(ConfigError, match="asked"):
        erase(site, case, run=OFFICER)
    assert approve(site, case, "Reject")["state"] == "rejected"
    with pytest.raises(ConfigError, match="rejected"):
        erase(site, case, run=OFFICER)
    with pytest.raises(IntegrityError, match="left"):
        certify_erasure(site, case, run=OFFICER)
    assert remains(site, ada.study_key) == before
    trail = [entry.action for entry in site.audit.entries(ada.patient_key)]
    assert trail == ["erasure.ask", "erasure.rejected"]


def test_what_came_after_the_approval_a_person_has_to_see(
    site: Site, patients: tuple[Study, Study, str]
) -> None:
    ada = patients[0]
    case = ask(site, ada.patient_key)
    approve(site, case)
    keep_study(site, "st-late", ada.patient_key)
    keep(site, "raw", "st-late")
    with pytest.raises(ConfigError, match="nobody approved"):
        erase(site, case, run=OFFICER)
    assert not site.catalog.tombstones()
    assert ask(site, ada.patient_key) == case, "it is the same erasure"
    with pytest.raises(ConfigError, match="asked"):
        erase(site, case, run=OFFICER)
    assert "st-late" in whole(site, ada.patient_key)["studies"]


def test_an_approval_is_of_the_plan_that_the_person_saw(
    site: Site, patients: tuple[Study, Study, str]
) -> None:
    """Two officers ask for the same; what the one sees, the other does not."""
    ada = patients[0]
    case = ask(site, ada.patient_key)
    seen = plan_of(site, case)
    keep_study(site, "st-late", ada.patient_key)
    assert ask(site, ada.patient_key) == case, "it is the same erasure"
    with pytest.raises(NotFound, match="planned anew"):
        approve(site, case, seen=seen)
    with pytest.raises(ConfigError, match="asked"):
        erase(site, case, run=OFFICER)
    approve(site, case, seen=plan_of(site, case))
    assert approve(site, case)["state"] == "approved", "said twice, as after a kill"


def test_what_the_first_officer_decided_stands(
    site: Site, patients: tuple[Study, Study, str]
) -> None:
    """Both were asked about the same plan; the certificate names who approved."""
    case = ask(site, patients[0].patient_key)
    approve(site, case)
    with pytest.raises(NotFound, match="another person has decided: it is approved"):
        approve(site, case, "Reject")
    seen = plan_of(site, case)
    decide_erasure(site, case, "Erase", APPROVALS[1], plan=seen, approver="second", run=OFFICER)
    (row,) = site.catalog.all(select(Erasure))
    assert (row.state, row.approved_by, row.approved_why) == ("approved", "officer", APPROVALS[0])


@on_both
def test_of_two_officers_at_once_one_decides(
    site: Site, patients: tuple[Study, Study, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = ask(site, patients[0].patient_key)
    append, both = type(site.audit).append, Barrier(2, timeout=60)

    def together(*args: Any, **told: Any) -> Any:
        entry = append(*args, **told)
        both.wait()
        return entry

    monkeypatch.setattr(type(site.audit), "append", together)
    seen = plan_of(site, case)

    def decided(decision: str, why: str) -> str:
        try:
            told = decide_erasure(
                site, case, decision, why, plan=seen, approver=decision, run=OFFICER
            )
        except NotFound as error:
            return error.what
        return str(told["state"])

    with ThreadPoolExecutor(2) as pool:
        told = set(pool.map(decided, DECISIONS, (APPROVALS[0], APPROVALS[3])))
    (row,) = site.catalog.all(select(Erasure))
    assert told == {row.state, f"another person has decided: it is {row.state}"}
    assert DECISIONS[row.approved_by] == row.state


@on_both
def test_a_plan_that_changes_while_it_is_approved_is_not(
    site: Site, patients: tuple[Study, Study, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = patients[0]
    case = ask(site, ada.patient_key)
    append = type(site.audit).append

    def overtaken(*args: Any, **told: Any) -> Any:
        monkeypatch.setattr(type(site.audit), "append", append)
        keep_study(site, "st-late", ada.patient_key)
        assert ask(site, ada.patient_key) == case
        return append(*args, **told)

    monkeypatch.setattr(type(site.audit), "append", overtaken)
    with pytest.raises(NotFound, match="planned anew"):
        approve(site, case)
    (row,) = site.catalog.all(select(Erasure))
    assert (row.state, row.approved_by) == ("asked", "")


def test_two_who_plan_at_once_have_one_erasure(
    site: Site, patients: tuple[Study, Study, str]
) -> None:
    with site.catalog.lock(patients[0].patient_key, "another run"), pytest.raises(StudyLocked):
        ask(site, patients[0].patient_key)
    assert not site.catalog.all(select(Erasure))


def test_a_hold_that_comes_meanwhile_keeps_a_study_without_products(
    site: Site, patients: tuple[Study, Study, str]
) -> None:
    ada = patients[0]
    with site.catalog.write() as session:
        session.execute(delete(Product).where(Product.study_key == ada.study_key))
    set_hold(site, ada.patient_key, "matter 17", run=RUN)
    before = remains(site, ada.study_key)
    with pytest.raises(OnHold, match="matter 17"):
        remove_study(site, ada.study_key, Grounds("erase_patient", "asked for"), (), RUN)
    assert remains(site, ada.study_key) == before


@pytest.mark.parametrize("decision", ["Erase", "Reject"])
def test_what_is_done_nobody_decides_any_more(
    site: Site, patients: tuple[Study, Study, str], decision: str
) -> None:
    whole(site, patients[0].patient_key)
    (case,) = site.catalog.all(select(Erasure))
    with pytest.raises(NotFound, match="is done"):
        approve(site, case.erasure_id, decision)
    (after,) = site.catalog.all(select(Erasure))
    assert after.state == "done"


def test_the_other_pseudonyms_of_the_patient_are_found(
    site: Site, patients: tuple[Study, Study, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a rotation of the key the same person has another."""
    ada = patients[0]
    other = "pt-of-another-key"
    keep_study(site, "st-other", other)
    ring = type(site.keys)
    keys = ring.patient_keys

    def both(self: Any, patient_id: str, issuer: str = "") -> list[str]:
        assert (patient_id, issuer) == (ADA.PatientID, ADA.IssuerOfPatientID)
        return [*keys(self, patient_id, issuer), other]

    monkeypatch.setattr(ring, "patient_keys", both)
    certificate = whole(site, ada.patient_key)
    assert certificate["studies"] == sorted([ada.study_key, "st-other"])
    assert other in certificate["patient_keys"]


def test_what_the_pacs_still_has_does_not_come_back(
    site: Site, patients: tuple[Study, Study, str], pacs: FakePacs
) -> None:
    assert ADA.StudyInstanceUID == STUDY, "it is the study that the PACS has"
    window = (utc_now(), utc_now())
    assert find_studies(site, "pacs", *window, run=RUN) == [patients[0].study_key]
    whole(site, patients[0].patient_key)
    assert find_studies(site, "pacs", *window, run=RUN) == []
    assert not site.vault.knows(patients[0].study_key)


def test_what_the_pacs_corrected_comes_when_it_is_pushed_after_an_erasure(
    site: Site,
    tracker: Tracker,
    pacs: FakePacs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The way that the runbook of `ingest` names for a correction under the same UIDs."""
    for module in ERASING:
        monkeypatch.setattr(f"hounsfield.stages.{module}.tracker_of", lambda _: tracker)
    pacs.give("1.2.3.1", "wrong")
    (key,) = find_studies(site, "pacs", utc_now(), utc_now(), run=RUN)
    retrieve_study(site, key, run=RUN)
    assert b"wrong" in instances(site, key)["1.2.3.1"]
    whole(site, site.catalog.study(key).patient_key)
    with Inbox(tmp_path / "landing") as inbox:
        land(inbox, key, "1.2.3.1", "corrected")
        assert admit_landed(site, inbox, key, "pacs", run=RUN)["status"] == "new"
    (content,) = instances(site, key).values()
    assert b"corrected" in content
    assert site.catalog.study(key).state == "received"
    assert find_studies(site, "pacs", utc_now(), utc_now(), run=RUN) == [], "late ones are pushed"


def test_nobody_is_nobody(site: Site, patients: tuple[Study, Study, str]) -> None:
    with pytest.raises(NotFound, match="nothing is here"):
        ask(site, "pt-nobody")
    whole(site, patients[0].patient_key)
    with pytest.raises(NotFound, match="nothing is here"):
        ask(site, patients[0].patient_key)
    (case,) = site.catalog.all(select(Erasure))
    assert case.state == "done" and case.certificate


def test_a_draft_is_found_till_the_last_of_it_is_gone(
    site: Site, patients: tuple[Study, Study, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def drafts() -> list[Trace]:
        found = traces(site, patients[0].study_key, landed=())
        return [one for one in found if one.kind == "draft"]

    def dying(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(LocalFileSystem, "rm", dying)
        drafts()[0].remove()
    assert [one.files for one in drafts()] == [2]
    drafts()[0].remove()
    assert not drafts()


def test_the_half_of_a_move_goes_too(site: Site, patients: tuple[Study, Study, str]) -> None:
    """A move to a local tier that is killed leaves its files under a name of their own."""
    left = half_of_a_move(site, site.catalog.latest(patients[0].study_key, "raw"))
    other = half_of_a_move(site, site.catalog.latest(patients[1].study_key, "raw"))
    whole(site, patients[0].patient_key)
    assert not left() and other()


def test_the_half_of_a_move_whose_product_no_row_names_goes_too(
    site: Site, patients: tuple[Study, Study, str]
) -> None:
    held = site.catalog.latest(patients[0].study_key, "raw")
    left = half_of_a_move(site, held)
    with site.catalog.write() as session:
        session.execute(delete(Product).where(Product.product_id == held.product_id))
    stones = whole(site, patients[0].patient_key)["deleted"]
    assert "staging" in {one["kind"] for one in stones}
    assert not left()
