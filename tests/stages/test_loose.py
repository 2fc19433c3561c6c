"""What waits and is not admitted is erased with its patient, and nobody else's."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import CTImageStorage
from sqlalchemy import select

from hounsfield.catalog.models import (
    Hold,
    QuarantineItem,
    Study,
    utc_now,
)
from hounsfield.errors import ConfigError, IntegrityError, NotFound, ObjectLocked, OnHold
from hounsfield.pacs.commitment import Transaction, Transactions
from hounsfield.pacs.known import Known
from hounsfield.site import Site
from hounsfield.stages.erase import (
    certify_erasure,
    erase,
)
from hounsfield.stages.ingest import retrieve_study
from hounsfield.stages.loose import Loose, loose_instances
from hounsfield.tracking import Tracker
from hounsfield.vault import Identity
from tests.stages.conftest import RUN, FakePacs
from tests.stages.erasing import LATER, OFFICER, approve, ask, landed, lock, place, sweep, whole
from tests.stages.kept import (
    ADA,
    BEA,
    ERASING,
    keep,
    keep_study,
)


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


def test_no_row_leads_to_what_a_lock_keeps_of_an_instance_set_apart(
    site: Site, patients: tuple[Study, Study, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bea, _ = patients
    second = place(Path(site.zone("quarantine").root) / bea.study_key, "1.2.3.5")
    item = {"stage": "receive", "code": "collision", "reason": "r", "digest": "d"}
    site.catalog.put(QuarantineItem(study_key=bea.study_key, uri=str(second), **item))
    case = ask(site, ada.patient_key)
    approve(site, case)
    with monkeypatch.context() as patch, pytest.raises(ObjectLocked):
        lock(patch, "quarantine", bea)
        erase(site, case, run=OFFICER)
    erase(site, case, run=OFFICER)
    assert certify_erasure(site, case, run=OFFICER)
    assert str(second) not in site.catalog.all(select(QuarantineItem.uri))


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
