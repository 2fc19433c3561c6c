"""The catalog's verbs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from hounsfield.catalog import Catalog
from hounsfield.catalog.models import Event, Product, QuarantineItem, Study, StudyLock, utc_now
from hounsfield.errors import NotFound, StudyLocked

A, B = "st-a", "st-b"


def product(number: int, **more: object) -> Product:
    facts = {"kind": "raw", "digest": f"d{number}", "input_digest": "i", "uri": f"/{number}"}
    age = timedelta(minutes=number)
    return Product(
        product_id=f"p{number}", study_key=A, created_at=utc_now() + age, **(facts | more)
    )


def test_what_is_put_comes_back(fresh: Catalog) -> None:
    fresh.put(Study(study_key=A, patient_key="pt-a", bytes=2**40))
    row = fresh.study(A)
    assert (row.patient_key, row.bytes, row.state) == ("pt-a", 2**40, "received")


def test_put_again_replaces_what_is_named_and_keeps_the_rest(fresh: Catalog) -> None:
    """A late image makes a new revision; a legal hold stays."""
    fresh.put(Study(study_key=A, patient_key="pt-a", legal_hold=True, revision="1"))
    fresh.put(Study(study_key=A, patient_key="pt-a", revision="2"))
    row = fresh.study(A)
    assert (row.revision, row.legal_hold) == ("2", True)


def test_a_row_that_another_run_wrote_meanwhile_is_replaced(
    fresh: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL two runs may both find nothing, and then both insert."""

    def find_nothing(session: Session, row: Study) -> None:
        monkeypatch.undo()
        session.add(Study(study_key=row.study_key, patient_key=row.patient_key))

    fresh.put(Study(study_key=A, patient_key="pt-other"))
    monkeypatch.setattr(Session, "merge", find_nothing)
    fresh.put(Study(study_key=A, patient_key="pt-a"))
    assert fresh.study(A).patient_key == "pt-a"


def test_a_transaction_is_whole_or_not_at_all(fresh: Catalog) -> None:
    with pytest.raises(RuntimeError), fresh.write() as session:
        session.add(Study(study_key=A, patient_key="pt-a"))
        session.flush()
        raise RuntimeError
    with pytest.raises(NotFound, match=A):
        fresh.study(A)


def test_a_state_comes_with_its_reason(fresh: Catalog) -> None:
    fresh.put(Study(study_key=A, patient_key="pt-a"), Study(study_key=B, patient_key="pt-a"))
    fresh.set_state(A, "quarantined", "a slice is missing")
    assert (fresh.study(A).state, fresh.study(A).reason) == ("quarantined", "a slice is missing")
    assert fresh.study(B).state == "received"
    fresh.set_state(A, "prepared")
    assert fresh.study(A).reason == ""


def test_the_latest_product_is_the_newest_of_its_kind_and_input(fresh: Catalog) -> None:
    fresh.put(product(1), product(3, input_digest="j"), product(2), product(4, kind="deid"))
    assert fresh.latest(A, "raw").product_id == "p3"
    assert fresh.latest(A, "raw", input_digest="i").product_id == "p2"
    with pytest.raises(NotFound, match="no such study"):
        fresh.latest(A, "volume")
    fresh.put(Study(study_key=A, patient_key="pt-a"))
    with pytest.raises(NotFound, match="no volume"):
        fresh.latest(A, "volume")


def test_times_come_back_in_utc(fresh: Catalog) -> None:
    """SQLite forgets the zone."""
    tokyo = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=9)))
    fresh.put(Study(study_key=A, patient_key="pt-a", received_at=tokyo))
    back = fresh.study(A).received_at
    assert back == tokyo
    assert back.tzinfo == UTC


def test_the_timeline_is_in_order(fresh: Catalog) -> None:
    with fresh.write() as session:
        for stage in ("ingest", "validate", "deidentify"):
            session.add(Event(study_key=A, stage=stage, state="done"))
            session.add(Event(study_key=B, stage=stage, state="done"))
            session.flush()
    assert [e.stage for e in fresh.timeline(A)] == ["ingest", "validate", "deidentify"]


def test_a_refusal_said_twice_is_noted_once(fresh: Catalog) -> None:
    for _ in range(2):
        fresh.quarantine(A, stage="validate", code="invalid", reason="a gap", digest="d1")
    fresh.quarantine(A, stage="validate", code="invalid", reason="a gap", digest="d2")
    fresh.quarantine(B, stage="validate", code="invalid", reason="a gap", digest="d1")
    items = fresh.all(select(QuarantineItem).order_by(QuarantineItem.id))
    assert [(item.study_key, item.digest) for item in items] == [(A, "d1"), (A, "d2"), (B, "d1")]


def test_what_is_refused_no_more_is_resolved_till_it_is_refused_again(fresh: Catalog) -> None:
    def items() -> list[tuple[str, bool]]:
        rows = fresh.all(select(QuarantineItem).order_by(QuarantineItem.id))
        return [(row.reason, row.resolved) for row in rows]

    fresh.quarantine(A, stage="write back", code="refused", reason="full", digest="d1")
    fresh.quarantine(A, stage="write back", code="refused", reason="full", digest="d2")
    fresh.resolve(A, "refused", digest="d1")
    assert items() == [("full", True), ("full", False)]
    fresh.quarantine(A, stage="write back", code="refused", reason="still full", digest="d1")
    assert items() == [("still full", False), ("full", False)]


def test_what_one_source_said_no_other_takes_back(fresh: Catalog) -> None:
    for digest, source in (("d1", "here"), ("d1", "there"), ("d3", "")):
        fresh.quarantine(A, stage="s", code="c", reason="r", digest=digest, source=source)
    fresh.resolve(A, "c", source="here")
    items = fresh.all(select(QuarantineItem).where(QuarantineItem.resolved))
    found = {(item.digest, item.source) for item in items}
    assert found == {("d1", "here"), ("d3", "")}, "and what was before sources were named"


def test_what_another_stage_refused_since_is_its_own(fresh: Catalog) -> None:
    for stage in ("ingest", "validate"):
        fresh.quarantine(A, stage=stage, code="not-found", reason="r")
    assert not fresh.resolve(A, "not-found", stage="ingest")
    assert fresh.resolve(A, "not-found", stage="validate")


def test_what_is_mended_is_resolved(fresh: Catalog) -> None:
    for key, code in ((A, "incomplete-study"), (A, "invalid"), (B, "incomplete-study")):
        fresh.quarantine(key, stage="ingest", code=code, reason="3 are missing")
    assert [fresh.resolve(A, "incomplete-study") for _ in range(2)] == [True, False]
    items = fresh.all(select(QuarantineItem).where(QuarantineItem.resolved))
    assert [(item.study_key, item.code) for item in items] == [(A, "incomplete-study")]
    fresh.quarantine(A, stage="ingest", code="incomplete-study", reason="3 are missing")
    assert not fresh.all(select(QuarantineItem).where(QuarantineItem.resolved)), "open again"
    assert fresh.resolve(A, "incomplete-study", "invalid")
    items = fresh.all(select(QuarantineItem).where(QuarantineItem.resolved))
    assert {(item.study_key, item.code) for item in items} == {
        (A, "incomplete-study"),
        (A, "invalid"),
    }


def test_a_held_study_is_locked_for_others(fresh: Catalog) -> None:
    with fresh.lock(A, "run-1"):
        with pytest.raises(StudyLocked, match=A), fresh.lock(A, "run-2"):
            pass
        with fresh.lock(B, "run-2"):
            pass
    with fresh.lock(A, "run-2"):
        pass


def test_a_failure_lets_go(fresh: Catalog) -> None:
    with pytest.raises(RuntimeError), fresh.lock(A, "run-1"):
        raise RuntimeError
    assert fresh.all(select(StudyLock)) == []


def test_the_lock_of_a_holder_that_died_is_taken_when_it_expires(fresh: Catalog) -> None:
    died = StudyLock(study_key=A, holder="run-1", expires_at=utc_now() - timedelta(seconds=1))
    fresh.put(died)
    with fresh.lock(A, "run-2"):
        assert [lock.holder for lock in fresh.all(select(StudyLock))] == ["run-2"]


def test_a_retry_of_the_same_task_takes_its_own_lock(fresh: Catalog) -> None:
    fresh.put(StudyLock(study_key=A, holder="run-1", expires_at=utc_now() + timedelta(hours=1)))
    with fresh.lock(A, "run-1"):
        pass
    assert fresh.all(select(StudyLock)) == []


def test_an_old_holder_does_not_take_the_lock_of_the_next(fresh: Catalog) -> None:
    """It worked longer than it had said; another holds the study by now."""
    with fresh.lock(A, "run-1", minutes=-1), fresh.lock(A, "run-2"):
        pass
    with fresh.lock(A, "run-1", minutes=-1):
        fresh.put(StudyLock(study_key=A, holder="run-2", expires_at=utc_now() + timedelta(1)))
    assert [lock.holder for lock in fresh.all(select(StudyLock))] == ["run-2"]
