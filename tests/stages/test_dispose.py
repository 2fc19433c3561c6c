"""What is deleted leaves one tombstone, whatever kills the deletion; what is held stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hounsfield.catalog.models import Label, OpenMove, Tombstone
from hounsfield.dicom.reading import read_header
from hounsfield.errors import ConfigError, NotFound, ObjectLocked, OnHold, StudyLocked
from hounsfield.site import Site
from hounsfield.stages import dispose as dispose_stage
from hounsfield.stages.deidentify import deidentify
from hounsfield.stages.dispose import Grounds, bury, discard, dispose, past_locks
from hounsfield.stages.hold import lift_hold, set_hold
from hounsfield.stages.migrate import Move, move
from hounsfield.stages.produce import open_product
from hounsfield.store import Zone
from tests.quality.conftest import ct_slice, save
from tests.stages.conftest import RUN, STUDY
from tests.stages.erasing import LATER, landed, sweep
from tests.stages.kept import ADA, keep, keep_study
from tests.stages.received import receive, write_slices
from tests.stages.test_late_images import rotated

GROUNDS = Grounds(rule="raw-10-years", why="kept for 10 years", approved_by="officer", case="c1")


@pytest.fixture
def studies(site: Site) -> Site:
    keep_study(site, "st-a", "pt-a")
    keep_study(site, "st-b", "pt-b")
    return site


def test_a_deletion_leaves_what_why_by_which_rule_and_who(studies: Site) -> None:
    product = keep(studies, "raw", "st-a")
    dispose(studies, product, GROUNDS, run=RUN)
    assert studies.catalog.product(product.product_id) is None
    assert not studies.zone("raw").has("st-a/raw")
    (stone,) = studies.catalog.tombstones(study_key="st-a")
    assert (stone.kind, stone.digest, stone.uri) == ("raw", product.digest, product.uri)
    assert (stone.rule, stone.why) == ("raw-10-years", "kept for 10 years")
    assert (stone.approved_by, stone.case, stone.actor) == ("officer", "c1", RUN.actor)
    assert stone.bytes == product.bytes and stone.deleted_at is not None
    assert [entry.action for entry in studies.audit.entries("st-a")] == ["product.delete"]


def test_a_label_is_asked_for_no_more(studies: Site) -> None:
    product = keep(studies, "label", "st-a")
    studies.catalog.put(
        Label(
            label_id="l1",
            series_key=product.series_key,
            kind="nodule",
            uri=product.uri,
            digest=product.digest,
            source="reader 1",
        )
    )
    dispose(studies, product, GROUNDS, run=RUN)
    with studies.catalog.read() as session:
        assert session.get(Label, "l1") is None


@pytest.mark.parametrize("subject", ["st-a", "pt-a"])
def test_what_is_on_hold_stays_and_says_why(studies: Site, subject: str) -> None:
    product = keep(studies, "raw", "st-a")
    hold = set_hold(studies, subject, "matter 17", run=RUN)
    with pytest.raises(OnHold, match="matter 17"):
        dispose(studies, product, GROUNDS, run=RUN)
    assert studies.zone("raw").has("st-a/raw")
    assert not studies.catalog.tombstones()
    lift_hold(studies, hold.id, "matter 17 is closed", run=RUN)
    dispose(studies, product, GROUNDS, run=RUN)
    assert not studies.zone("raw").has("st-a/raw")
    trail = [(entry.action, entry.purpose) for entry in studies.audit.entries(subject)]
    assert trail[:2] == [("hold.set", "matter 17"), ("hold.lift", "matter 17 is closed")]


def test_what_the_pipeline_replaces_no_hold_keeps(studies: Site) -> None:
    """Else a study on hold could not be released."""
    set_hold(studies, "st-a", "matter 17", run=RUN)
    candidate = keep(studies, "candidate", "st-a")
    discard(studies, candidate, "the candidate is released", run=RUN)
    (stone,) = studies.catalog.tombstones()
    assert (stone.kind, stone.rule) == ("candidate", "replaced")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_on_the_way_it_goes_on_with_the_same_tombstone(
    studies: Site, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    product, other = keep(studies, "raw", "st-a"), keep(studies, "raw", "st-b")
    remove = Zone.delete

    def dying(zone: Zone, relative: str) -> None:
        if moment == "after":
            remove(zone, relative)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Zone, "delete", dying)
        with pytest.raises(KeyboardInterrupt):
            dispose(studies, product, GROUNDS, run=RUN)
    (stone,) = studies.catalog.tombstones()
    assert stone.deleted_at is None, "the deletion is on record, and not done"
    dispose(studies, product, GROUNDS, run=RUN)
    (same,) = studies.catalog.tombstones()
    assert same.id == stone.id and same.deleted_at is not None
    assert not studies.zone("raw").has("st-a/raw")
    assert studies.catalog.product(other.product_id) is not None
    assert studies.zone("raw").has("st-b/raw")


def test_what_lies_in_a_tier_that_is_no_more_is_not_said_to_be_deleted(studies: Site) -> None:
    """A move that was not finished may have left it there, and nobody can look."""
    product = keep(studies, "raw", "st-a")
    studies.catalog.put(OpenMove(product_id=product.product_id, source="hot", target="ice"))
    with pytest.raises(NotFound, match="no tier ice"):
        dispose(studies, product, GROUNDS, run=RUN)
    assert studies.zone("raw").has("st-a/raw") and not studies.catalog.tombstones()


@pytest.mark.parametrize("begun", ["by an expiry", "by an erasure"])
def test_what_another_rule_began_is_in_the_case_of_an_erasure(
    studies: Site, monkeypatch: pytest.MonkeyPatch, begun: str
) -> None:
    """Its certificate lists the tombstones of its case."""
    product = keep(studies, "raw", "st-a")
    expiry = Grounds("ten years", "kept for 3650 days")
    first, then = (expiry, GROUNDS) if begun == "by an expiry" else (GROUNDS, expiry)

    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Zone, "delete", dying)
        with pytest.raises(KeyboardInterrupt):
            dispose(studies, product, first, run=RUN)
    dispose(studies, product, then, run=RUN)
    (stone,) = studies.catalog.tombstones()
    assert (stone.rule, stone.case) == (GROUNDS.rule, GROUNDS.case) and stone.deleted_at


@pytest.mark.parametrize("moment", ["lock", "_open"])
def test_two_who_delete_at_once_leave_one_tombstone(
    studies: Site, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """For the same reason both may: who was killed finds its own lock."""
    product = keep(studies, "raw", "st-a")
    owner: Any = studies.catalog if moment == "lock" else dispose_stage
    slow = getattr(owner, moment)

    def overtaken(*args: Any) -> Any:
        monkeypatch.setattr(owner, moment, slow)
        dispose(studies, product, GROUNDS, run=RUN)
        return slow(*args)

    monkeypatch.setattr(owner, moment, overtaken)
    dispose(studies, product, GROUNDS, run=RUN)
    (stone,) = studies.catalog.tombstones()
    assert stone.deleted_at and stone.kind == "raw"


def test_what_was_moved_since_it_was_listed_is_said_to_be_deleted_where_it_was(
    studies: Site,
) -> None:
    product = keep(studies, "raw", "st-a")
    move(studies, Move(product.product_id, "st-a", "raw", product.bytes, "hot", "warm"), run=RUN)
    dispose(studies, product, GROUNDS, run=RUN)
    (stone,) = studies.catalog.tombstones()
    assert stone.tier == "warm" and stone.uri == studies.tier("warm", "raw").uri("st-a/raw")


@pytest.mark.parametrize(
    ("ends", "told"), [(["2036", "2037", "2035"], "2037"), (["2036", "", "2037"], "")]
)
def test_of_several_locks_the_one_that_wants_a_person_is_told(ends: list[str], told: str) -> None:
    """A right that is missing can be given today."""
    with pytest.raises(ObjectLocked) as kept, past_locks() as past:
        for until in ends:
            with past():
                raise ObjectLocked("a lock keeps it", until=until)
    assert kept.value.until == told


def test_what_is_made_anew_and_deleted_again_has_two(studies: Site) -> None:
    for _ in range(2):
        discard(studies, keep(studies, "candidate", "st-a"), "made anew", run=RUN)
    assert len(studies.catalog.tombstones(study_key="st-a")) == 2


def test_what_is_no_product_leaves_one_too(studies: Site) -> None:
    gone: list[str] = []
    stone = Tombstone(study_key="st-a", kind="landing", uri="landing/st-a", bytes=7)
    bury(studies, stone, lambda: gone.append("all"), GROUNDS)
    (found,) = studies.catalog.tombstones(case="c1")
    assert gone and (found.kind, found.bytes) == ("landing", 7) and found.deleted_at


def test_a_hold_on_a_patient_keeps_each_of_its_studies(studies: Site) -> None:
    keep_study(studies, "st-c", "pt-a")
    one = set_hold(studies, "pt-a", "matter 17", run=RUN)
    two = set_hold(studies, "st-c", "matter 18", run=RUN)
    held = {key: studies.catalog.study(key).legal_hold for key in ("st-a", "st-b", "st-c")}
    assert held == {"st-a": True, "st-b": False, "st-c": True}
    assert [row.why for row in studies.catalog.holds_on("st-c")] == ["matter 17", "matter 18"]
    lift_hold(studies, one.id, "closed", run=RUN)
    assert not studies.catalog.study("st-a").legal_hold
    assert studies.catalog.study("st-c").legal_hold, "the second hold stands"
    lift_hold(studies, two.id, "closed", run=RUN)
    assert not studies.catalog.study("st-c").legal_hold


def test_a_hold_wants_a_subject_and_a_reason(studies: Site) -> None:
    with pytest.raises(NotFound):
        set_hold(studies, "pt-nobody", "matter 17", run=RUN)
    with pytest.raises(ConfigError):
        set_hold(studies, "pt-a", " ", run=RUN)
    with pytest.raises(NotFound):
        lift_hold(studies, 1, "closed", run=RUN)
    assert not studies.catalog.holds()


def test_only_what_goes_for_good_goes_in_every_version(
    studies: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is replaced need not: a store with locks would refuse it for years."""
    purged: list[str] = []
    monkeypatch.setattr(Zone, "purge", lambda zone, relative: purged.append(relative))
    discard(studies, keep(studies, "candidate", "st-a"), "made anew", run=RUN)
    assert not purged and not studies.zone("quarantine").has("st-a/candidate/candidate")
    dispose(studies, keep(studies, "raw", "st-a"), GROUNDS, run=RUN)
    assert set(purged) == {"st-a/raw"}


def test_what_a_move_works_on_is_not_deleted_under_it(studies: Site) -> None:
    """Its copy would be put in place after all places were emptied."""
    product = keep(studies, "raw", "st-a")
    with studies.catalog.lock(product.product_id, "a move"), pytest.raises(StudyLocked):
        dispose(studies, product, GROUNDS, run=RUN)
    assert studies.zone("raw").has("st-a/raw") and not studies.catalog.tombstones()
    dispose(studies, product, GROUNDS, run=RUN)
    assert not studies.zone("raw").has("st-a/raw")


@pytest.mark.parametrize("is_set", ["before the rotation", "before the study", "after the study"])
def test_a_hold_on_a_patient_outlasts_a_rotation_of_the_key(site: Site, is_set: str) -> None:
    landed(site, "1.2.3.1", STUDY)
    sweep(site)
    first = site.pseudonyms.patient_key(ADA.PatientID, ADA.IssuerOfPatientID)
    if is_set == "before the rotation":
        set_hold(site, first, "matter 17", run=RUN)
    site = rotated(site)
    if is_set == "before the study":
        set_hold(site, first, "matter 17", run=RUN)
    landed(site, "1.2.3.2", LATER)
    sweep(site)
    later = site.catalog.study(site.pseudonyms.study_key(LATER))
    if is_set == "after the study":
        set_hold(site, first, "matter 17", run=RUN)
    assert later.patient_key != first
    assert site.catalog.study(later.study_key).legal_hold
    with pytest.raises(OnHold, match="matter 17"):
        dispose(site, site.catalog.latest(later.study_key, "raw"), GROUNDS, run=RUN)
    for hold in site.catalog.holds():
        lift_hold(site, hold.id, "closed", run=RUN)
    assert not site.catalog.study(later.study_key).legal_hold


def test_a_patient_whose_issuer_comes_later_is_one_and_on_hold_still(
    site: Site, tmp_path: Path
) -> None:
    key = receive(site, slices := write_slices(tmp_path / "in"))
    before = site.catalog.study(key).patient_key
    set_hold(site, before, "matter 17", run=RUN)
    late = ct_slice(4)
    late.IssuerOfPatientID = "ST ODILE"
    receive(site, [*slices, save(late, tmp_path / "in" / "late.dcm")])
    study = site.catalog.study(key)
    assert study.legal_hold and study.patient_key != before
    deidentify(site, key, run=RUN)
    with open_product(site, site.catalog.latest(key, "candidate")) as folder:
        outputs = [read_header(path) for path in folder.rglob("*.dcm")]
    assert [one.PatientID for one in outputs] == [study.patient_key] * 5
