"""Products move to the tier that the policy names, and nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from hounsfield.catalog.models import Product, Study, utc_now
from hounsfield.errors import ConfigError, IntegrityError, NotFound
from hounsfield.settings import TierRule
from hounsfield.site import Site
from hounsfield.stages.migrate import Move, move, plan
from hounsfield.store import Zone, seal
from hounsfield.store.product import verify
from tests.stages.conftest import RUN

NOW = utc_now()
Make = Callable[..., Product]


@pytest.fixture
def make(site: Site) -> Make:
    """Puts a product into its zone and the catalog: `kind`, and its age in days."""

    def make(kind: str, days: float, *, study: str = "st-a", modality: str = "CT") -> Product:
        zone = site.zone({"raw": "raw", "volume": "volumes", "deid": "deid"}[kind])
        relative = f"{study}/{kind}"
        with zone.draft() as draft:
            (draft / "data.bin").write_bytes(b"voxels of " + study.encode())
            sealed = seal(
                draft, product_id=f"{kind}-{study}", kind=kind, study_key=study, detail={}
            )
            zone.commit(draft, relative)
        row = Product(
            product_id=f"{kind}-{study}",
            study_key=study,
            kind=kind,
            digest=sealed.digest,
            input_digest="i",
            uri=zone.uri(relative),
            bytes=sealed.size,
            created_at=NOW - timedelta(days=days),
        )
        site.catalog.put(Study(study_key=study, patient_key="pt-a", modalities=modality), row)
        return row

    return make


def zone_of(site: Site, tier: str, kind: str) -> Zone:
    return Zone(tier, site.settings.tiers.tiers[tier][kind])  # type: ignore[index]


def planned(site: Site) -> list[str]:
    return sorted(item.product_id for item in plan(site, now=NOW))


def test_age_decides_by_kind(site: Site, make: Make) -> None:
    """configs/tiers.yaml: raw after 30 days, volumes after 90."""
    make("raw", 29.9)
    make("volume", 89.9)
    assert planned(site) == []
    make("raw", 30, study="st-b")
    make("volume", 90, study="st-c")
    make("deid", 9999)
    assert planned(site) == ["raw-st-b", "volume-st-c"]
    (first, second) = plan(site, now=NOW + timedelta(days=1))[:2]
    assert {first.source, second.source} == {"hot"}
    assert {first.target, second.target} == {"warm"}


def test_the_first_rule_that_matches_decides(site: Site, make: Make) -> None:
    make("raw", 50)
    make("raw", 50, study="st-b", modality="CT/SR")
    make("raw", 50, study="st-c", modality="US")
    rules = (
        TierRule(kind="raw", modality="SR", older_than_days=40, to="hot"),
        TierRule(kind="raw", modality="CT", older_than_days=40, to="warm"),
    )
    tiers = site.settings.tiers.model_copy(update={"rules": rules})
    site.settings = site.settings.model_copy(update={"tiers": tiers})
    assert planned(site) == ["raw-st-a"], "one stays hot by its rule, one has no rule"


def test_a_study_on_legal_hold_stays(site: Site, make: Make) -> None:
    make("raw", 50)
    make("raw", 50, study="st-b")
    with site.catalog.write() as session:
        session.execute(update(Study).where(Study.study_key == "st-a").values(legal_hold=True))
    assert planned(site) == ["raw-st-b"]


def test_a_plan_survives_xcom(site: Site, make: Make) -> None:
    make("raw", 50)
    (item,) = plan(site, now=NOW)
    assert Move(**item.to_dict()) == item


@pytest.mark.parametrize("kind", ["raw", "volume"])
def test_a_move_is_verified_and_then_the_source_goes(site: Site, make: Make, kind: str) -> None:
    before = make(kind, 100)
    (item,) = plan(site, now=NOW)
    move(site, item, run=RUN)
    row = site.catalog.product(before.product_id)
    assert row is not None
    assert row.tier == "warm"
    assert row.digest == before.digest
    zone, relative = site.locate(row.uri)
    with zone.open(relative) as folder:
        assert verify(folder).digest == before.digest
    assert not zone_of(site, "hot", kind).has(relative)
    assert plan(site, now=NOW) == []
    audited = [entry.action for entry in site.audit.entries("st-a")]
    assert audited == (["raw.move"] if kind == "raw" else []), "raw is PHI"


def test_moved_again_nothing_happens(site: Site, make: Make) -> None:
    make("raw", 100)
    (item,) = plan(site, now=NOW)
    move(site, item, run=RUN)
    uri = site.catalog.product("raw-st-a").uri  # type: ignore[union-attr]
    move(site, item, run=RUN)
    row = site.catalog.product("raw-st-a")
    assert row is not None
    assert row.uri == uri
    assert zone_of(site, "warm", "raw").has("st-a/raw")


def spoil(zone: Zone, relative: str) -> None:
    path = Path(zone.root) / relative / "data.bin"
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_in_the_source_stops_the_move(site: Site, make: Make) -> None:
    make("raw", 100)
    (item,) = plan(site, now=NOW)
    spoil(site.zone("raw"), "st-a/raw")
    with pytest.raises(IntegrityError):
        move(site, item, run=RUN)
    row = site.catalog.product("raw-st-a")
    assert row is not None
    assert row.tier == "hot"
    assert site.zone("raw").has("st-a/raw"), "the source is kept"
    assert not zone_of(site, "warm", "raw").has("st-a/raw"), "and no bad copy is made"
    assert site.catalog.study("st-a").state == "received", "the study is none the worse"


def test_a_flipped_bit_in_the_copy_stops_the_move(
    site: Site, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("raw", 100)
    (item,) = plan(site, now=NOW)
    commit = Zone.commit

    def commit_badly(zone: Zone, draft: Path, relative: str) -> None:
        commit(zone, draft, relative)
        spoil(zone, relative)

    monkeypatch.setattr(Zone, "commit", commit_badly)
    with pytest.raises(IntegrityError):
        move(site, item, run=RUN)
    row = site.catalog.product("raw-st-a")
    assert row is not None
    assert row.tier == "hot"
    with site.zone("raw").open("st-a/raw") as folder:
        verify(folder)


@pytest.mark.parametrize("moment", ["write", "delete"], ids=["after-copy", "after-switch"])
def test_killed_on_the_way_it_is_done_again(
    site: Site, make: Make, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    make("raw", 100)
    (item,) = plan(site, now=NOW)

    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    place = site.catalog if moment == "write" else Zone
    monkeypatch.setattr(place, moment, dying)
    with pytest.raises(KeyboardInterrupt):
        move(site, item, run=RUN)
    monkeypatch.undo()
    move(site, item, run=RUN)
    row = site.catalog.product("raw-st-a")
    assert row is not None
    assert row.tier == "warm"
    assert not zone_of(site, "hot", "raw").has("st-a/raw"), "no second copy of PHI is left"
    with zone_of(site, "warm", "raw").open("st-a/raw") as folder:
        verify(folder)


def test_a_leftover_goes_only_while_the_copy_is_whole(
    site: Site, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("raw", 100)
    (item,) = plan(site, now=NOW)
    with monkeypatch.context() as patch:
        patch.setattr(Zone, "delete", lambda *_: None)
        move(site, item, run=RUN)
    spoil(zone_of(site, "warm", "raw"), "st-a/raw")
    with pytest.raises(IntegrityError):
        move(site, item, run=RUN)
    assert zone_of(site, "hot", "raw").has("st-a/raw")


def test_two_tiers_in_one_place_are_refused(site: Site, make: Make) -> None:
    """Else the copy is the source, and deleting the one deletes both."""
    make("raw", 100)
    (item,) = plan(site, now=NOW)
    hot = site.settings.tiers.tiers["hot"]
    tiers = site.settings.tiers.model_copy(update={"tiers": {"hot": hot, "warm": hot}})
    site.settings = site.settings.model_copy(update={"tiers": tiers})
    with pytest.raises(ConfigError, match="one place"):
        move(site, item, run=RUN)
    assert site.zone("raw").has("st-a/raw")


def test_a_source_that_is_gone_is_told(site: Site, make: Make) -> None:
    make("raw", 100)
    (item,) = plan(site, now=NOW)
    site.zone("raw").delete("st-a/raw")
    with pytest.raises(NotFound):
        move(site, item, run=RUN)
    assert site.catalog.product("raw-st-a").tier == "hot"  # type: ignore[union-attr]
