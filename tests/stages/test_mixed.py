"""Of a study of several patients, what is erased of one leaves the others'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from hounsfield.catalog.models import (
    Event,
    Prediction,
    Product,
    QuarantineItem,
    Series,
    SnapshotMember,
    Study,
)
from hounsfield.errors import IntegrityError, InvalidStudy, NotFound, NotYet, ObjectLocked, OnHold
from hounsfield.pacs.known import Known
from hounsfield.site import Site
from hounsfield.stages.erase import (
    certify_erasure,
    erase,
)
from hounsfield.stages.hold import set_hold
from hounsfield.stages.snapshot import snapshot
from hounsfield.store import Zone
from hounsfield.vault import Identity
from tests.stages.conftest import RUN
from tests.stages.erasing import OFFICER, approve, ask, half_of_a_move, landed, lock, sweep, whole
from tests.stages.kept import (
    ADA,
    BEA,
    PLACES,
    keep,
)

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


def test_the_half_of_a_move_goes_with_its_revision(
    site: Site, patients: tuple[Study, Study, str]
) -> None:
    mixed, contents = admitted(site, ADA, BEA)
    left = half_of_a_move(site, site.catalog.latest(mixed.study_key, "raw"))
    whole(site, patients[0].patient_key)
    assert held_of(site, mixed.study_key) == [contents[1]] and not left()


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


def test_of_a_locked_revision_no_certificate_says_that_it_is_gone(
    site: Site, patients: tuple[Study, Study, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is hidden by then: no header tells any more that the patient is in it."""
    mixed, contents = admitted(site, ADA, BEA)
    site.catalog.quarantine(mixed.study_key, stage="validate", code=InvalidStudy.code, reason="two")
    case = ask(site, patients[0].patient_key)
    approve(site, case)
    with monkeypatch.context() as patch:
        lock(patch, "raw", mixed)
        for _ in range(2):
            with pytest.raises(ObjectLocked):
                erase(site, case, run=OFFICER)
            with pytest.raises(IntegrityError, match="1 in deletions begun"):
                certify_erasure(site, case, run=OFFICER)
    erase(site, case, run=OFFICER)
    assert certify_erasure(site, case, run=OFFICER)
    assert held_of(site, mixed.study_key) == [contents[1]]
    assert not site.catalog.all(select(QuarantineItem).filter_by(resolved=False, **of(mixed)))
    assert not Known(site.settings.home / "landing" / ".known.db").instances_of(mixed.study_key)


def prepared_before_the_other(site: Site) -> tuple[Study, bytes]:
    """A study that was prepared when it was of one patient, and an instance of the other since."""
    mixed, _ = admitted(site, ADA)
    prepared(site, mixed, site.catalog.latest(mixed.study_key, "raw").digest)
    of_other = landed(site, "1.2.3.9", MIXED, BEA).read_bytes()
    sweep(site)
    return mixed, of_other


def test_what_a_lock_keeps_of_what_was_made_keeps_no_instance(
    site: Site, patients: tuple[Study, Study, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed, of_bea = prepared_before_the_other(site)
    case = ask(site, patients[0].patient_key)
    approve(site, case)
    with monkeypatch.context() as patch, pytest.raises(ObjectLocked):
        lock(patch, "deid", mixed)
        erase(site, case, run=OFFICER)
    assert held_of(site, mixed.study_key) == [of_bea]
    erase(site, case, run=OFFICER)
    assert certify_erasure(site, case, run=OFFICER)
    assert {row.kind for row in site.catalog.all(select(Product).filter_by(**of(mixed)))} == {"raw"}


def test_all_that_has_to_be_looked_at_is_recalled_at_once(
    site: Site, patients: tuple[Study, Study, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request has a month; from an archive each study that validation refused takes two days."""
    admitted(site, ADA, BEA)
    doubtful = {row.uri for row in site.catalog.all(select(Product).filter_by(kind="raw"))}
    asked: set[str] = set()

    def away(zone: Zone, relative: str) -> None:
        asked.add(zone.uri(relative))
        raise NotYet("it is being recalled", seconds=900)

    monkeypatch.setattr(Zone, "recall", away)
    with pytest.raises(NotYet, match="products are being recalled"):
        ask(site, patients[0].patient_key)
    assert asked == doubtful and len(asked) > 1


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
    mixed, of_bea = prepared_before_the_other(site)
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
