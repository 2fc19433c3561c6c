"""Retention by the table: the first rule decides, holds and snapshots keep, a person approves."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from hounsfield.catalog.models import Snapshot, SnapshotMember, utc_now
from hounsfield.errors import (
    ConfigError,
    HounsfieldError,
    NotFound,
    ObjectLocked,
    OnHold,
    StoreUnavailable,
    StudyLocked,
)
from hounsfield.site import Site
from hounsfield.stages import expire as stage
from hounsfield.stages.expire import APPROVALS, Expired, Retention, decide_expiry, expire
from hounsfield.stages.hold import set_hold
from hounsfield.stages.orphans import find_orphans
from hounsfield.store import Zone
from tests.stages.conftest import RUN
from tests.stages.erasing import lock
from tests.stages.kept import keep, keep_study

NOW = utc_now()
PROJECTS = {"trial": {"jurisdiction": "DE", "ends": NOW.date() - timedelta(days=10)}}


def set_policy(monkeypatch: pytest.MonkeyPatch, *rules: dict[str, Any]) -> None:
    policy = Retention.model_validate({"projects": PROJECTS, "rules": rules})
    monkeypatch.setattr(stage.Retention, "load", lambda _: policy)


def planned(site: Site) -> list[str]:
    return [item.product_id for item in stage.plan_expiry(site, now=NOW)]


def old(site: Site, kind: str, study_key: str, days: float) -> None:
    keep(site, kind, study_key, made=NOW - timedelta(days=days))


def rule(name: str, **columns: Any) -> dict[str, Any]:
    return {"name": name, "keep_days": 30, "approval": False, **columns}


def test_the_policy_that_ships_is_one_and_deletes_nothing_young(site: Site) -> None:
    assert Retention.load(site).rules
    keep_study(site, "st-a", "pt-a")
    old(site, "raw", "st-a", 365)
    assert planned(site) == []
    old(site, "objects", "st-a", 3650)
    (item,) = stage.plan_expiry(site, now=NOW)
    assert (item.product_id, item.approval) == ("objects-st-a", True)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, ["raw-st-a", "raw-st-b"]),
        ({"project": "trial"}, ["raw-st-b"]),
        ({"jurisdiction": "DE"}, ["raw-st-b"]),
        ({"modality": "SR"}, ["raw-st-b"]),
        ({"modality": "S"}, []),
        ({"kind": "deid"}, []),
        ({"keep_days": 41}, []),
    ],
)
def test_each_column_of_the_table_counts(
    site: Site, monkeypatch: pytest.MonkeyPatch, columns: dict[str, Any], expected: list[str]
) -> None:
    keep_study(site, "st-a", "pt-a", project="demo")
    keep_study(site, "st-b", "pt-b", project="trial", modalities="CT/SR")
    for study_key in ("st-a", "st-b"):
        old(site, "raw", study_key, 40)
    set_policy(monkeypatch, rule("r", **columns))
    assert planned(site) == expected


def test_the_first_rule_that_matches_decides(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_study(site, "st-a", "pt-a", modalities="MG")
    old(site, "raw", "st-a", 40)
    set_policy(monkeypatch, rule("longer", modality="MG", keep_days=100), rule("all"))
    assert planned(site) == []


def test_a_project_that_is_over_goes_and_one_without_an_end_stays(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for study_key, project in (("st-a", "demo"), ("st-b", "trial")):
        keep_study(site, study_key, "pt-a", project=project)
        old(site, "deid", study_key, 5000)
    set_policy(monkeypatch, rule("end", keep_days=11, **{"from": "project_end"}))
    assert planned(site) == []
    set_policy(monkeypatch, rule("end", keep_days=9, **{"from": "project_end"}))
    assert planned(site) == ["deid-st-b"]


def test_holds_and_frozen_snapshots_keep(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for study_key in ("st-a", "st-b", "st-c"):
        keep_study(site, study_key, f"pt-{study_key}")
        old(site, "volume", study_key, 40)
    site.catalog.put(Snapshot(digest="d", name="n", uri="u"))
    member = {"volume_digest": "v", "series_key": "s", "split": "training"}
    site.catalog.put(SnapshotMember(snapshot="d", study_key="st-b", **member))
    set_hold(site, "pt-st-a", "matter 17", run=RUN)
    set_policy(monkeypatch, rule("r"))
    assert planned(site) == ["volume-st-c"]


def test_what_is_over_leaves_a_tombstone_and_an_event(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_study(site, "st-a", "pt-a")
    old(site, "raw", "st-a", 40)
    old(site, "deid", "st-a", 10)
    set_policy(monkeypatch, rule("thirty days"))
    assert expire(site, stage.plan_expiry(site, now=NOW), now=NOW, run=RUN) == {"raw": 1}
    (stone,) = site.catalog.tombstones(study_key="st-a")
    assert (stone.rule, stone.kind, stone.approved_by) == ("thirty days", "raw", "")
    assert not site.zone("raw").has("st-a/raw") and site.zone("deid").has("st-a/deid")
    assert [event.stage for event in site.catalog.timeline("st-a")] == ["expire"]


def test_what_wants_an_approval_stays_without(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_study(site, "st-a", "pt-a")
    old(site, "raw", "st-a", 40)
    set_policy(monkeypatch, rule("r", approval=True))
    plan = stage.plan_expiry(site, now=NOW)
    assert expire(site, plan, now=NOW, run=RUN) == {}
    with pytest.raises(ConfigError):
        decide_expiry(site, plan, "Delete", "because", approver="officer", run=RUN)
    assert not decide_expiry(site, plan, "Keep", APPROVALS[1], approver="officer", run=RUN)
    assert decide_expiry(site, plan, "Delete", APPROVALS[0], approver="officer", run=RUN)
    trail = [(entry.action, entry.actor) for entry in site.audit.entries("products")]
    assert trail == [("expiry.rejected", "officer"), ("expiry.approved", "officer")]
    expire(site, plan, approved_by="officer", now=NOW, run=RUN)
    (stone,) = site.catalog.tombstones()
    assert stone.approved_by == "officer"


def test_what_changed_since_the_plan_stays(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for study_key in ("st-a", "st-b"):
        keep_study(site, study_key, f"pt-{study_key}")
        old(site, "raw", study_key, 40)
    set_policy(monkeypatch, rule("r"))
    plan = stage.plan_expiry(site, now=NOW)
    set_hold(site, "st-a", "matter 17", run=RUN)
    set_policy(monkeypatch, rule("another"))
    assert expire(site, plan, now=NOW, run=RUN) == {}, "it is another rule than was approved"
    set_policy(monkeypatch, rule("r"))
    assert expire(site, plan, now=NOW, run=RUN) == {"raw": 1}
    assert site.zone("raw").has("st-a/raw"), "on hold meanwhile"


@pytest.mark.parametrize(
    "error",
    [
        OnHold("legal hold 1 keeps it"),
        ObjectLocked("an object lock keeps it, or a right is missing"),
        NotFound("no tier ice"),
        StudyLocked("a scrub holds it"),
        StoreUnavailable("it does not answer"),
    ],
)
def test_what_stays_keeps_nothing_else(
    site: Site, monkeypatch: pytest.MonkeyPatch, error: HounsfieldError
) -> None:
    """Else the one that no rule may delete for years is the first of each night."""
    for study_key, days in (("st-a", 50), ("st-b", 40)):
        keep_study(site, study_key, f"pt-{study_key}")
        old(site, "raw", study_key, days)
    set_policy(monkeypatch, rule("r"))
    purge = Zone.purge

    def locked(zone: Zone, relative: str) -> None:
        if relative.startswith("st-a"):
            raise error
        purge(zone, relative)

    monkeypatch.setattr(Zone, "purge", locked)
    with pytest.raises(type(error), match=str(error)):
        expire(site, stage.plan_expiry(site, now=NOW), now=NOW, run=RUN)
    assert not site.zone("raw").has("st-b/raw")
    (event,) = site.catalog.timeline("st-a")
    assert event.stage == "expire" and event.state in ("refused", "waiting", "failed")


def test_what_an_object_lock_keeps_goes_after_its_end_and_is_asked_about_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = keep_study(site, "st-a", "pt-a")
    old(site, "raw", "st-a", 40)
    set_policy(monkeypatch, rule("r", approval=True))
    plan = stage.plan_expiry(site, now=NOW)
    with monkeypatch.context() as patch:
        lock(patch, "raw", study)
        assert expire(site, plan, approved_by="officer", now=NOW, run=RUN) == {}
        (again,) = stage.plan_expiry(site, now=NOW)
        assert plan[0].approval and not again.approval
        assert expire(site, [again], now=NOW, run=RUN) == {}
        assert [orphan.what for orphan in find_orphans(site)] == ["going"]
    assert expire(site, [again], now=NOW, run=RUN) == {"raw": 1}
    (stone,) = site.catalog.tombstones()
    assert stone.approved_by == "officer" and stone.deleted_at
    assert find_orphans(site) == []


def test_a_lock_is_told_once_and_its_new_end_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock of ten years would be 3,650 deletions in the audit trail, and none of them one."""
    study = keep_study(site, "st-a", "pt-a")
    old(site, "raw", "st-a", 40)
    set_policy(monkeypatch, rule("r"))

    def night() -> None:
        expire(site, stage.plan_expiry(site, now=NOW), now=NOW, run=RUN)

    def told() -> tuple[list[str], list[str]]:
        events = [event.state for event in site.catalog.timeline("st-a")]
        return events, [entry.action for entry in site.audit.entries("st-a")]

    for times, until in enumerate(("2036-01-01T00:00:00+00:00", "2037-01-01T00:00:00+00:00"), 1):
        with monkeypatch.context() as patch:
            lock(patch, "raw", study, until)
            for _ in range(3):
                night()
        assert told() == (["refused"] * times, ["product.delete"] * times)
        assert until in site.catalog.timeline("st-a")[-1].sentence
    night()
    assert told() == (["refused", "refused", "done"], ["product.delete"] * 3)


def test_killed_on_the_way_it_goes_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_study(site, "st-a", "pt-a")
    for kind in ("raw", "deid", "volume"):
        old(site, kind, "st-a", 40)
    set_policy(monkeypatch, rule("r"))
    plan = stage.plan_expiry(site, now=NOW)
    remove = Zone.delete

    def dying(zone: Zone, relative: str) -> None:
        remove(zone, relative)
        if zone.name == "deid":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Zone, "delete", dying)
        with pytest.raises(KeyboardInterrupt):
            expire(site, plan, now=NOW, run=RUN)
    expire(site, plan, now=NOW, run=RUN)
    stones = site.catalog.tombstones()
    assert sorted(stone.kind for stone in stones) == ["deid", "raw", "volume"]
    assert all(stone.deleted_at for stone in stones)


def test_a_plan_survives_xcom(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_study(site, "st-a", "pt-a")
    old(site, "raw", "st-a", 40)
    set_policy(monkeypatch, rule("r"))
    (item,) = stage.plan_expiry(site, now=NOW)
    assert Expired(**item.to_dict()) == item


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="one name"):
        Retention.model_validate({"rules": [rule("r"), rule("r")]})
    assert Retention.model_validate({"rules": [], "projects": {"p": {"ends": date.today()}}})
