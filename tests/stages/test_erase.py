"""A patient who is erased is nowhere; others are as they were; what was done is on record."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from fsspec.implementations.local import LocalFileSystem
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from sqlalchemy import select

from hounsfield.catalog.models import (
    Delivery,
    Erasure,
    Event,
    Hold,
    Prediction,
    Product,
    QuarantineItem,
    Series,
    Snapshot,
    SnapshotMember,
    Study,
    utc_now,
)
from hounsfield.datasets import load_snapshot
from hounsfield.errors import ConfigError, IntegrityError, NotFound, OnHold
from hounsfield.pacs.commitment import Transaction, Transactions
from hounsfield.pacs.inbox import Inbox
from hounsfield.pacs.known import Known
from hounsfield.pacs.landing import write_instance
from hounsfield.records import RunContext
from hounsfield.settings import Settings, StoreSettings
from hounsfield.site import Site
from hounsfield.stages.erase import (
    APPROVALS,
    SUPERSEDED,
    certify_erasure,
    decide_erasure,
    erase,
    plan_erasure,
)
from hounsfield.stages.hold import set_hold
from hounsfield.stages.infer import forget_if_erased
from hounsfield.stages.ingest import find_studies, retrieve_study
from hounsfield.stages.loose import Loose, loose_instances
from hounsfield.stages.migrate import Move, move
from hounsfield.stages.receive import Receiver
from hounsfield.stages.snapshot import snapshot
from hounsfield.stages.traces import Trace, traces
from hounsfield.tracking import Tracker
from hounsfield.tracking.lineage import prediction_lineage
from hounsfield.vault import Identity
from tests.s3 import MakeBucket
from tests.stages.conftest import RUN, STUDY, FakePacs, encoded, on_both
from tests.stages.kept import (
    ADA,
    BEA,
    ERASING,
    PLACES,
    keep,
    keep_study,
    keep_two_patients,
    remains,
)

OFFICER = RunContext(actor="admin", dag_id="erase_patient", run_id="r1", task_id="erase")


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    root = tmp_path_factory.mktemp("mlflow")
    return Tracker(f"sqlite:///{root}/mlflow.db", str(root / "artifacts"))


@pytest.fixture
def patients(
    site: Site, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> tuple[Study, Study, str]:
    for module in (*ERASING, "snapshot"):
        monkeypatch.setattr(f"hounsfield.stages.{module}.tracker_of", lambda _: tracker)
    return keep_two_patients(site, tracker, RUN)


def ask(site: Site, patient_key: str) -> str:
    why, who = "the patient asks for it", "the patient"
    told = plan_erasure(site, patient_key, why=why, requested_by=who, run=OFFICER)
    return str(told["erasure_id"])


def approve(site: Site, case: str, decision: str = "Erase") -> dict[str, Any]:
    return decide_erasure(site, case, decision, APPROVALS[0], approver="officer", run=OFFICER)


def whole(site: Site, patient_key: str) -> dict[str, Any]:
    """Asked, approved, done; gives the certificate."""
    case = ask(site, patient_key)
    approve(site, case)
    erase(site, case, run=OFFICER)
    told = certify_erasure(site, case, run=OFFICER)
    return json.loads((Path(told["uri"]) / "certificate.json").read_bytes())


def moved_away_and_back(site: Site, study_key: str) -> None:
    """A study that a store with versions held for a while."""
    held = site.catalog.latest(study_key, "raw")
    for source, target in (("hot", "warm"), ("warm", "hot")):
        move(site, Move(held.product_id, study_key, "raw", held.bytes, source, target), run=RUN)


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
    lock = {"lock_mode": "COMPLIANCE", "lock_days": 10} if locks else {}
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
        with pytest.raises(OnHold, match="an object lock keeps"):
            erase(site, case, run=OFFICER)
        assert not any(zone.files() for zone in site.places() if zone.root == root)
        with pytest.raises(IntegrityError, match=r"[0-9]+ in zone warm-raw"):
            certify_erasure(site, case, run=OFFICER)
        return
    erase(site, case, run=OFFICER)
    assert certify_erasure(site, case, run=OFFICER)["uri"]
    assert held() == {bea.study_key}


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


def test_nobody_is_nobody(site: Site, patients: tuple[Study, Study, str]) -> None:
    with pytest.raises(NotFound, match="nothing is here"):
        ask(site, "pt-nobody")
    whole(site, patients[0].patient_key)
    with pytest.raises(NotFound, match="nothing is here"):
        ask(site, patients[0].patient_key)
    (case,) = site.catalog.all(select(Erasure))
    assert case.state == "done" and case.certificate


LATER = "1.2.826.0.1.3680043.8.498.3"  # a study that nobody has admitted yet


def place(folder: Path, uid: str, study: str = LATER, patient: Identity = ADA) -> Path:
    """An instance as it lies in a folder that takes them."""
    folder.mkdir(parents=True, exist_ok=True)
    of = {"PatientID": patient.PatientID, "IssuerOfPatientID": patient.IssuerOfPatientID}
    entry = write_instance(
        folder,
        encoded(uid, "one", StudyInstanceUID=study, **of),
        sop_class_uid=CTImageStorage,
        sop_instance_uid=uid,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    return folder / entry.path


def landed(site: Site, uid: str, study: str = LATER, patient: Identity = ADA) -> Path:
    folder = site.settings.home / "landing" / site.pseudonyms.study_key(study)
    path = place(folder, uid, study, patient)
    return path.rename(path.with_stem(blake3(path.read_bytes()).hexdigest()))


def sweep(site: Site) -> None:
    with Inbox(site.settings.home / "landing") as inbox:
        Receiver(site, inbox, "pacs", None, quiet_seconds=0).sweep()


def test_what_is_pushed_and_not_admitted_goes_too(
    site: Site, patients: tuple[Study, Study, str]
) -> None:
    ada, later = patients[0], site.pseudonyms.study_key(LATER)
    path = landed(site, "1.2.3.1")
    whole_ = site.settings.home / "landing" / ".incoming" / f".{later}.{path.stem}.f.whole"
    whole_.parent.mkdir(exist_ok=True)
    whole_.hardlink_to(path)  # as a receiver leaves it that is killed
    certificate = whole(site, ada.patient_key)
    assert certificate["studies"] == sorted([ada.study_key, later])
    assert not path.exists() and not whole_.exists() and not path.parent.exists()
    assert {"landing", "study"} <= {
        one["kind"] for one in certificate["deleted"] if one["study_key"] == later
    }
    sweep(site)
    assert not site.catalog.all(select(Study).where(Study.patient_key == ada.patient_key))


def test_requests_for_commitment_that_wait_name_the_patient_no_more(
    site: Site, patients: tuple[Study, Study, str]
) -> None:
    """Of what was admitted and of what only landed; what else they ask about stays."""
    ada, landing = patients[0], site.settings.home / "landing"
    landed(site, "1.2.3.1")
    Known(landing / ".known.db").note(ada.study_key, ["1.2.3.2"])
    waiting = Transactions(landing)
    for uids in (["1.2.3.1"], ["1.2.3.2"], ["1.2.3.1", "1.2.3.2", "1.2.3.9"]):
        references = tuple((CTImageStorage, uid) for uid in uids)
        waiting.add(Transaction(f"1.9.{len(uids)}{uids[0]}", "MODALITY", references, time.time()))
    whole(site, ada.patient_key)
    (left,) = waiting.all()
    assert [uid for _, uid in left.references] == ["1.2.3.9"]


def test_who_leaves_out_the_issuer_is_the_patient_of_the_study(
    site: Site, patients: tuple[Study, Study, str]
) -> None:
    """Of what waits beside it, or of what is here of the study."""
    ada, without = patients[0], replace(ADA, IssuerOfPatientID="")
    landed(site, "1.2.3.1")
    paths = [
        landed(site, "1.2.3.2", patient=without),
        landed(site, "1.2.3.3", study=ADA.StudyInstanceUID, patient=without),
    ]
    other = landed(site, "1.2.3.4", study="1.2.826.0.1.3680043.8.498.4", patient=without)
    whole(site, ada.patient_key)
    assert not any(path.exists() for path in paths)
    assert other.exists(), "of another hospital, for all that is known"


def test_a_patient_of_whom_nothing_is_admitted_is_found(site: Site, tracker: Tracker) -> None:
    path = landed(site, "1.2.3.1")
    patient = site.pseudonyms.patient_key(ADA.PatientID, ADA.IssuerOfPatientID)
    with pytest.MonkeyPatch.context() as patch:
        for module in ERASING:
            patch.setattr(f"hounsfield.stages.{module}.tracker_of", lambda _: tracker)
        site.catalog.put(Hold(subject=patient, why="matter 17", set_by="officer"))
        with pytest.raises(OnHold, match="matter 17"):
            ask(site, patient)
        assert path.exists()
        with site.catalog.write() as session:
            session.query(Hold).update({"lifted_at": utc_now()})
        assert whole(site, patient)["studies"] == [site.pseudonyms.study_key(LATER)]
    assert not path.exists()
    (read, *_) = [one for one in site.audit.entries("loose instances")]
    assert read.purpose == "erasure: the patient asks for it"


def test_a_pull_that_is_not_finished_goes_too(
    site: Site, patients: tuple[Study, Study, str], pacs: FakePacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = site.pseudonyms.study_key(LATER)
    site.vault.put(later, "", Identity(LATER, "", "", "20260303", "pacs"), run=RUN)
    staged = Path(site.zone("raw").root) / ".staging" / later
    path = place(staged / "instances", "1.2.3.1")
    (staged / "arrived.jsonl").write_text("{}")
    certificate = whole(site, patients[0].patient_key)
    assert later in certificate["studies"]
    assert not path.exists() and not staged.exists() and not site.vault.knows(later)
    with pytest.raises(NotFound):
        retrieve_study(site, later, run=RUN)


def test_of_a_landed_study_of_two_patients_the_other_loses_nothing(
    site: Site, patients: tuple[Study, Study, str]
) -> None:
    ada, bea, _ = patients
    mixed = landed(site, "1.2.3.1"), landed(site, "1.2.3.2", patient=BEA)
    own = landed(site, "1.2.3.3", ADA.StudyInstanceUID, BEA)
    strange = landed(site, "1.2.3.4", BEA.StudyInstanceUID, ADA)
    second = place(Path(site.zone("quarantine").root) / bea.study_key, "1.2.3.5")
    item = {"stage": "receive", "code": "collision", "reason": "r", "digest": "d"}
    site.catalog.put(QuarantineItem(study_key=bea.study_key, uri=str(second), **item))
    certificate = whole(site, ada.patient_key)
    assert certificate["studies"] == [ada.study_key]
    assert [path.exists() for path in (*mixed, own, strange, second)] == [
        False, True, True, False, False
    ]  # fmt: skip
    assert str(second) not in site.catalog.all(select(QuarantineItem.uri))
    assert not site.catalog.is_erased(site.pseudonyms.study_key(LATER))
    sweep(site)
    rows = site.catalog.all(select(Study.patient_key))
    assert rows and set(rows) == {bea.patient_key}
    erase(site, certificate["erasure_id"], run=OFFICER)
    assert len(site.catalog.all(select(Study))) == len(rows)


def test_what_lands_while_it_is_erased_is_looked_at_first(
    site: Site, patients: tuple[Study, Study, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is acknowledged, so it may be the only one there is."""
    case = ask(site, patients[0].patient_key)
    approve(site, case)
    late: list[Path] = []

    def looked(*args: Any, **options: Any) -> list[Loose]:
        found = loose_instances(*args, **options)
        late.append(landed(site, "1.2.3.1", ADA.StudyInstanceUID, BEA))
        return found

    with monkeypatch.context() as patch:
        patch.setattr("hounsfield.stages.belongings.loose_instances", looked)
        erase(site, case, run=OFFICER)
    assert late and late[0].exists()
    assert certify_erasure(site, case, run=OFFICER)["uri"] and late[0].exists()


def test_a_study_admitted_since_as_the_others_is_not_touched(
    site: Site, patients: tuple[Study, Study, str]
) -> None:
    ada, bea, _ = patients
    path = landed(site, "1.2.3.1")
    case = ask(site, ada.patient_key)
    approve(site, case)
    later = site.pseudonyms.study_key(LATER)
    keep_study(site, later, bea.patient_key)
    product = keep(site, "raw", later)
    erase(site, case, run=OFFICER)
    certify_erasure(site, case, run=OFFICER)
    assert not path.exists()
    assert site.catalog.study(later) and site.zone("raw").has(site.locate(product.uri)[1])


def test_no_certificate_while_something_has_landed_since(
    site: Site, patients: tuple[Study, Study, str]
) -> None:
    ada = patients[0]
    case = ask(site, ada.patient_key)
    approve(site, case)
    erase(site, case, run=OFFICER)
    path = landed(site, "1.2.3.1")
    with pytest.raises(IntegrityError, match="1 in the landing folder"):
        certify_erasure(site, case, run=OFFICER)
    with pytest.raises(ConfigError, match="nobody approved"):
        erase(site, case, run=OFFICER)
    assert path.exists()
    assert ask(site, ada.patient_key) == case
    whole(site, ada.patient_key)
    assert not path.exists()


def test_what_waits_and_names_nobody_is_in_the_certificate(
    site: Site, patients: tuple[Study, Study, str]
) -> None:
    nameless, rubbish = landed(site, "1.2.3.1", patient=Identity("", "", "", "", "")), "st-rubbish"
    (site.settings.home / "landing" / rubbish).mkdir()
    (site.settings.home / "landing" / rubbish / "a.dcm").write_text("no DICOM")
    kept = " ".join(whole(site, patients[0].patient_key)["kept"])
    assert nameless.exists()
    named = sorted((site.pseudonyms.study_key(LATER), rubbish))
    assert f"look at these: {', '.join(named)}." in kept
    assert patients[1].study_key not in kept


def test_a_landing_folder_that_may_not_be_read_is_in_the_certificate(
    site: Site, patients: tuple[Study, Study, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hounsfield.stages.erase.os.access", lambda *_: False)
    kept = " ".join(whole(site, patients[0].patient_key)["kept"])
    assert "The landing folder of a receiver is not within reach" in kept


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
    ada = patients[0]
    held = site.catalog.latest(ada.study_key, "raw")
    zone, relative = site.locate(held.uri)
    warm = site.tier("warm", "raw")
    with zone.open(relative) as folder, warm.assembly(relative) as half:
        half.put(folder / "data.bin", "data.bin", zone.product(relative).files["data.bin"][1])
    assert any(ada.study_key in name for name in warm.files(".staging"))
    assert "staging" in {one["kind"] for one in whole(site, ada.patient_key)["deleted"]}
    assert not any(ada.study_key in name for name in warm.files(".staging"))


MIXED = "1.2.826.0.1.3680043.8.498.4"


def admitted(site: Site, *patients: Identity) -> tuple[Study, list[bytes]]:
    """A study of one instance of each patient, as it is before validation; gives them, too."""
    paths = [landed(site, f"1.2.3.{n}", MIXED, one) for n, one in enumerate(patients, start=5)]
    contents = [path.read_bytes() for path in paths]
    sweep(site)
    return site.catalog.study(site.pseudonyms.study_key(MIXED)), contents


def held_of(site: Site, study_key: str) -> list[bytes]:
    """The instances in all revisions of a study."""
    return [path.read_bytes() for path in Path(site.zone("raw").root).glob(f"{study_key}/**/*.dcm")]


@pytest.mark.parametrize("first", [ADA, BEA])
@pytest.mark.parametrize("state", ["received", "quarantined"])
def test_of_a_study_of_two_patients_the_other_loses_nothing(
    site: Site, patients: tuple[Study, Study, str], first: Identity, state: str
) -> None:
    ada, bea, _ = patients
    mixed, contents = admitted(site, first, BEA if first is ADA else ADA)
    of_bea = contents[first is ADA]
    assert sorted(held_of(site, mixed.study_key)) == sorted(contents)
    site.catalog.set_state(mixed.study_key, state)
    certificate = whole(site, ada.patient_key)
    assert certificate["studies"] == [ada.study_key]
    assert held_of(site, mixed.study_key) == [of_bea]
    assert site.catalog.study(mixed.study_key).patient_key == bea.patient_key
    assert site.catalog.study(mixed.study_key).state == "received"
    opened = site.vault.open(mixed.study_key, purpose="test", run=RUN)
    assert opened.PatientID == BEA.PatientID
    (stone,) = site.catalog.tombstones(study_key=mixed.study_key)
    assert stone.kind == "raw" and stone.case == certificate["erasure_id"]
    with pytest.raises(NotFound):
        ask(site, ada.patient_key)


def killed_while_parting(site: Site, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest has a revision of its own by then, and the old ones are there still."""

    def dying(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("hounsfield.stages.mixed.dispose", dying)
        erase(site, case, run=OFFICER)


def test_a_parting_that_is_killed_goes_on(
    site: Site, patients: tuple[Study, Study, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed, contents = admitted(site, ADA, BEA)
    case = ask(site, patients[0].patient_key)
    approve(site, case)
    killed_while_parting(site, case, monkeypatch)
    keep(site, "deid", mixed.study_key)  # It is the other's now, and prepared meanwhile.
    site.catalog.set_state(mixed.study_key, "prepared")
    with pytest.raises(IntegrityError, match="1 in studies of several patients"):
        certify_erasure(site, case, run=OFFICER)
    erase(site, case, run=OFFICER)
    certify_erasure(site, case, run=OFFICER)
    assert held_of(site, mixed.study_key) == [contents[1]]


def test_a_hold_on_a_study_of_two_patients_stops_it(
    site: Site, patients: tuple[Study, Study, str]
) -> None:
    mixed, contents = admitted(site, BEA, ADA)
    set_hold(site, mixed.study_key, "matter 17", run=RUN)
    with pytest.raises(OnHold, match="matter 17"):
        ask(site, patients[0].patient_key)
    assert len(held_of(site, mixed.study_key)) == len(contents)


def test_who_leaves_out_the_issuer_is_no_other_patient(
    site: Site, patients: tuple[Study, Study, str]
) -> None:
    nameless = Identity("", ADA.PatientID, "", "", "")
    mixed, _ = admitted(site, ADA, nameless)
    assert mixed.study_key in whole(site, patients[0].patient_key)["studies"]
    assert not held_of(site, mixed.study_key)


def prepared(site: Site, study: Study, digest: str) -> None:
    """Makes one of each kind of a revision that validation passed."""
    series_key = f"se-{study.study_key}"
    site.catalog.put(
        Event(study_key=study.study_key, stage="validate", state="done", digest=digest),
        Event(study_key=study.study_key, stage="infer", state="done"),
        Series(series_key=series_key, study_key=study.study_key, modality="CT", instance_count=1),
        Prediction(
            prediction_id="p",
            study_key=study.study_key,
            series_key=series_key,
            model="lungs",
            version="1",
            volume_digest="0",
            product_id="p",
        ),
    )
    for kind in PLACES:
        if kind != "raw":
            keep(site, kind, study.study_key)
    site.catalog.set_state(study.study_key, "reported")


@pytest.mark.parametrize("erased", [ADA, BEA])
@pytest.mark.parametrize("state", ["received", "quarantined", "reported"])
def test_of_a_valid_study_that_got_images_of_another_the_other_loses_nothing(
    site: Site, patients: tuple[Study, Study, str], erased: Identity, state: str
) -> None:
    """Whatever a run that was in flight when they came made of its state."""
    mixed, of_ada = admitted(site, ADA)
    prepared(site, mixed, site.catalog.latest(mixed.study_key, "raw").digest)
    together = keep_snapshot_of(site)
    of_bea = [landed(site, "1.2.3.9", MIXED, BEA).read_bytes()]
    sweep(site)
    site.catalog.set_state(mixed.study_key, state)
    ours, theirs = (of_ada, of_bea) if erased is ADA else (of_bea, of_ada)
    assert {*ours, *theirs} == set(held_of(site, mixed.study_key))
    certificate = whole(site, patients[erased is BEA].patient_key)
    assert set(held_of(site, mixed.study_key)) == set(theirs)
    made = {product.kind for product in site.catalog.all(select(Product).filter_by(**of(mixed)))}
    rows = [*site.catalog.predictions(mixed.study_key), *site.catalog.timeline(mixed.study_key)]
    if erased is BEA:
        assert made == {*PLACES}
        assert {"infer", "validate"} <= {row.stage for row in rows if isinstance(row, Event)}
        return
    assert made == {"raw"}
    assert {type(row) for row in rows} == {Event}
    assert "infer" not in {row.stage for row in rows}
    assert together in {row["digest"] for row in certificate["snapshots"]}
    assert not site.catalog.all(select(SnapshotMember).filter_by(**of(mixed)))
    assert site.catalog.study(mixed.study_key).patient_key == patients[1].patient_key
    assert not site.catalog.is_erased(mixed.study_key)


def test_a_parting_that_is_killed_leaves_what_was_made_of_the_other_meanwhile(
    site: Site, patients: tuple[Study, Study, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed, _ = admitted(site, ADA)
    prepared(site, mixed, site.catalog.latest(mixed.study_key, "raw").digest)
    of_bea = landed(site, "1.2.3.9", MIXED, BEA).read_bytes()
    sweep(site)
    case = ask(site, patients[0].patient_key)
    approve(site, case)
    killed_while_parting(site, case, monkeypatch)
    prepared(site, mixed, site.catalog.latest(mixed.study_key, "raw").digest)
    erase(site, case, run=OFFICER)
    certify_erasure(site, case, run=OFFICER)
    assert held_of(site, mixed.study_key) == [of_bea]
    assert site.catalog.latest(mixed.study_key, "deid")
    assert site.catalog.predictions(mixed.study_key)


def of(study: Study) -> dict[str, str]:
    return {"study_key": study.study_key}


def keep_snapshot_of(site: Site) -> str:
    """A snapshot with all that there is; gives its digest."""
    return str(snapshot(site, name="all", cohort={"modality": "CT"}, run=RUN)["digest"])
