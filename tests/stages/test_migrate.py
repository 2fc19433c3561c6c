"""Products move to the tier that the policy names, and nothing is lost on the way."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from hounsfield.catalog.models import OpenMove, Product, Study, StudyLock, utc_now
from hounsfield.errors import ConfigError, IntegrityError, NotFound
from hounsfield.records import InstanceEntry, SeriesManifest, StudyManifest
from hounsfield.settings import TierRule
from hounsfield.site import Site
from hounsfield.stages.dispose import Grounds, dispose
from hounsfield.stages.hold import lift_hold, set_hold
from hounsfield.stages.migrate import Move, forecast, move, plan
from hounsfield.stages.produce import open_product, open_raw
from hounsfield.stages.revision import held_manifest, publish
from hounsfield.store import Zone, seal
from hounsfield.store.product import verify
from hounsfield.store.zone import Assembly
from hounsfield.vault import Identity
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
    return site.tier(tier, kind)


def with_tiers(site: Site, **changes: object) -> None:
    tiers = site.settings.tiers.model_copy(update=changes)
    site.settings = site.settings.model_copy(update={"tiers": tiers})


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
    with_tiers(site, rules=rules)
    assert planned(site) == ["raw-st-a"], "one stays hot by its rule, one has no rule"


def test_a_study_on_legal_hold_stays(site: Site, make: Make) -> None:
    make("raw", 50)
    make("raw", 50, study="st-b")
    with site.catalog.write() as session:
        session.execute(update(Study).where(Study.study_key == "st-a").values(legal_hold=True))
    assert planned(site) == ["raw-st-b"]


def test_only_a_rule_that_names_it_moves_what_is_on_hold(site: Site, make: Make) -> None:
    make("raw", 50)
    with site.catalog.write() as session:
        session.execute(update(Study).values(legal_hold=True))
    with_tiers(site, rules=(TierRule(kind="raw", legal_hold=True, to="warm"),))
    assert planned(site) == ["raw-st-a"]


def test_age_is_that_of_the_acquisition(site: Site, make: Make) -> None:
    """What was acquired years ago is old on the day that it comes; the vault tells how old."""
    with_tiers(site, rules=(TierRule(kind="raw", older_than_days=300, to="warm"),))
    for study, days in (("st-a", 301), ("st-b", 299)):
        make("raw", 1, study=study)
        date = (NOW - timedelta(days=days)).strftime("%Y%m%d")
        site.vault.put(study, "pt-a", Identity("1.2", "ADA", "", date, "pacs"), run=RUN)
    make("raw", 301, study="st-c")
    assert planned(site) == ["raw-st-a", "raw-st-c"], "the vault does not know the last"


def test_what_was_opened_lately_stays_or_comes_back(site: Site, make: Make) -> None:
    make("raw", 100)
    (item,) = plan(site, now=NOW)
    move(site, item, run=RUN)
    assert planned(site) == [], "a move is no use"
    site.audit.append(action="raw.read", object="st-a", purpose="test", run=RUN)
    (back,) = plan(site, now=NOW)
    assert (back.source, back.target) == ("warm", "hot")


def test_what_keeps_or_deletes_brings_nothing_back(site: Site, make: Make) -> None:
    """Else what retention takes of a study recalls the rest of it from the archive."""
    make("raw", 100)
    volume = make("volume", 80)
    (item,) = plan(site, now=NOW)
    move(site, item, run=RUN)
    hold = set_hold(site, "st-a", "matter 17", run=RUN)
    lift_hold(site, hold.id, "closed", run=RUN)
    dispose(site, volume, Grounds("two months", "kept for 60 days"), run=RUN)
    assert planned(site) == []


def test_project_jurisdiction_and_retention_decide(site: Site, make: Make) -> None:
    for study, source, project in (
        ("st-a", "berlin", "trial"),
        ("st-b", "berlin", "demo"),
        ("st-c", "boston", "trial"),
        ("st-d", "bonn", "trial"),
    ):
        make("raw", 400, study=study)
        with site.catalog.write() as session:
            row = session.get(Study, study)
            assert row is not None
            row.source, row.project = source, project
    known = site.settings.sources["pacs"]
    sources = {
        name: known.model_copy(update={"jurisdiction": law})
        for name, law in (("berlin", "DE"), ("bonn", "old"), ("boston", "US"))
    }
    site.settings = site.settings.model_copy(update={"sources": sources})
    closed = {"projects": {"trial": "closed"}, "retention_years": {"DE": 10, "old": 1}}
    rule = TierRule(kind="raw", project="closed", jurisdiction="DE", to="cold")
    with_tiers(site, rules=(rule,), **closed)
    assert planned(site) == ["raw-st-a"]
    with_tiers(site, rules=(TierRule(kind="raw", retention="over", to="cold"),))
    assert planned(site) == ["raw-st-c", "raw-st-d"]
    with_tiers(site, rules=(TierRule(kind="raw", retention="running", to="cold"),))
    assert planned(site) == ["raw-st-a", "raw-st-b"]


def test_a_forecast_says_what_a_plan_comes_to(site: Site, make: Make) -> None:
    make("raw", 100)
    make("volume", 100)
    make("raw", 1, study="st-b")
    tiers = site.settings.tiers.tiers
    gb = {"hot": 3e9, "warm": 1e9}  # one byte costs as much a month
    priced = {t: tiers[t].model_copy(update={"price": price}) for t, price in gb.items()}
    with_tiers(site, tiers=tiers | priced)
    one = len(b"voxels of st-a")
    found = forecast(site, plan(site, now=NOW))
    assert (found.studies, found.products, found.bytes) == (1, 2, 2 * one)
    assert found.before == pytest.approx(3 * 3 * one)
    assert found.after == pytest.approx((3 + 1 + 1) * one)
    mirrored = tiers | priced
    mirrored["hot"] = mirrored["hot"].model_copy(update={"copies": {"raw": "memory://second"}})
    with_tiers(site, tiers=mirrored)  # A move takes the copy away, too.
    found = forecast(site, plan(site, now=NOW))
    assert found.before == pytest.approx((2 * 3 + 3 + 2 * 3) * one)
    assert found.after == pytest.approx((2 * 3 + 1 + 1) * one)


def test_from_a_disk_to_an_object_store_and_back(
    site: Site, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = make("raw", 100)
    warm = site.settings.tiers.tiers["warm"].model_copy(
        update={"roots": {"raw": f"memory://{uuid.uuid4().hex}/warm"}}
    )
    with_tiers(site, tiers=site.settings.tiers.tiers | {"warm": warm})
    (item,) = plan(site, now=NOW)
    move(site, item, run=RUN)
    row = site.catalog.product(before.product_id)
    assert row is not None
    assert row.uri.startswith("memory://")
    assert not zone_of(site, "hot", "raw").has("st-a/raw")
    back = replace(item, source="warm", target="hot")
    move(site, back, run=RUN)
    row = site.catalog.product(before.product_id)
    assert row is not None
    zone, relative = site.locate(row.uri)
    assert zone.verify(relative).digest == before.digest
    assert not zone_of(site, "warm", "raw").has("st-a/raw")


def test_what_was_not_finished_is_first_in_the_next_plan(
    site: Site, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalog names the target, and nothing else would ever look at the source again."""
    make("raw", 90, study="st-b")
    make("raw", 100)
    (_, item) = sorted(plan(site, now=NOW), key=lambda item: item.study_key, reverse=True)

    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Zone, "delete", dying)
        with pytest.raises(KeyboardInterrupt):
            move(site, item, run=RUN)
    begun, other = plan(site, now=NOW)
    assert (begun, other.study_key) == (item, "st-b")
    move(site, begun, run=RUN)
    assert planned(site) == ["raw-st-b"]
    assert not zone_of(site, "hot", "raw").has("st-a/raw")


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
    write = Assembly._write

    def write_badly(assembly: Assembly, source: Path, name: str) -> None:
        spoiled = site.settings.home / "spoiled"
        spoiled.write_bytes(source.read_bytes()[:-1] + b"?")
        write(assembly, spoiled, name)

    monkeypatch.setattr(Assembly, "_write", write_badly)
    with pytest.raises(IntegrityError):
        move(site, item, run=RUN)
    row = site.catalog.product("raw-st-a")
    assert row is not None
    assert row.tier == "hot"
    with site.zone("raw").open("st-a/raw") as folder:
        verify(folder)


@pytest.mark.parametrize(
    "moment",
    ["hounsfield.stages.migrate._switch", "hounsfield.store.Zone.delete"],
    ids=["after-copy", "after-switch"],
)
def test_killed_on_the_way_it_is_done_again(
    site: Site, make: Make, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    make("raw", 100)
    (item,) = plan(site, now=NOW)

    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(moment, dying)
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


@pytest.mark.parametrize("tier", ["warm", "cold"])
def test_an_old_plan_leaves_another_move_alone(site: Site, make: Make, tier: str) -> None:
    """What that one was killed at, only its row tells."""
    before = make("raw", 100)
    (old,) = plan(site, now=NOW)
    move(site, old, run=RUN)
    site.catalog.put(OpenMove(product_id=before.product_id, source="warm", target="cold"))
    with site.catalog.write() as session:
        session.execute(update(Product).values(tier=tier))
    move(site, old, run=RUN)
    (row,) = site.catalog.all(select(OpenMove))
    assert (row.source, row.target) == ("warm", "cold")
    assert zone_of(site, "warm", "raw").has("st-a/raw")


@pytest.mark.parametrize("tier", ["warm", "cold"])
def test_what_is_deleted_while_it_is_copied_stays_deleted(
    site: Site, make: Make, monkeypatch: pytest.MonkeyPatch, tier: str
) -> None:
    """A copy that takes longer than its lock lasts."""
    before = make("raw", 100)
    seal_it = Assembly.seal

    def slow(assembly: Assembly, manifest: bytes) -> None:
        with site.catalog.write() as session:
            session.execute(update(StudyLock).values(expires_at=NOW - timedelta(days=1)))
        dispose(site, before, Grounds("erase_patient", "asked for", case="c"), run=RUN)
        seal_it(assembly, manifest)

    monkeypatch.setattr(Assembly, "seal", slow)
    monkeypatch.setattr("hounsfield.stages.migrate._by_series", lambda *_: lambda _: "series")
    with pytest.raises(NotFound, match="deleted while"):
        move(site, Move(before.product_id, "st-a", "raw", before.bytes, "hot", tier), run=RUN)
    assert not zone_of(site, tier, "raw").files() and not zone_of(site, "hot", "raw").files()
    assert not site.catalog.all(select(OpenMove))


def test_two_tiers_in_one_place_are_refused(site: Site, make: Make) -> None:
    """Else the copy is the source, and deleting the one deletes both."""
    make("raw", 100)
    (item,) = plan(site, now=NOW)
    hot = site.settings.tiers.tiers["hot"]
    with_tiers(site, tiers={"hot": hot, "warm": hot})
    with pytest.raises(ConfigError, match="one place"):
        move(site, item, run=RUN)
    assert site.zone("raw").has("st-a/raw")


def test_copies_that_lie_in_the_target_are_refused(site: Site, make: Make) -> None:
    """Else the one is taken for the other, and goes with the source."""
    before = make("raw", 100)
    (item,) = plan(site, now=NOW)
    tiers = site.settings.tiers.tiers
    copies = {"raw": f"{tiers['warm'].roots['raw']}/"}
    with_tiers(site, tiers=tiers | {"hot": tiers["hot"].model_copy(update={"copies": copies})})
    with pytest.raises(ConfigError, match="or its copies"):
        move(site, item, run=RUN)
    row = site.catalog.product(before.product_id)
    assert row is not None and zone_of(site, row.tier, "raw").has("st-a/raw")


def test_a_source_that_is_gone_is_told(site: Site, make: Make) -> None:
    make("raw", 100)
    (item,) = plan(site, now=NOW)
    site.zone("raw").delete("st-a/raw")
    with pytest.raises(NotFound):
        move(site, item, run=RUN)
    assert site.catalog.product("raw-st-a").tier == "hot"  # type: ignore[union-attr]


def test_in_the_cold_a_series_is_one_object_and_reads_as_before(site: Site) -> None:
    """What is named there names nobody: the UIDs stay within."""
    entries = [
        InstanceEntry(f"1.2.840.{n}", "1.2", "1.2.840.10008.1.2.1", f"{n}.dcm", 5, f"{n}" * 64)
        for n in range(3)
    ]
    series = (
        SeriesManifest("1.2.840.77", "CT", tuple(entries[:2])),
        SeriesManifest("1.2.840.88", "CT", tuple(entries[2:])),
    )
    key = site.pseudonyms.study_key("1.2.840.66")
    manifest = StudyManifest(key, "1.2.840.66", series)
    with site.zone("raw").draft() as draft:
        (draft / "instances").mkdir()
        for entry in entries:
            (draft / "instances" / entry.path).write_bytes(entry.path.encode())
        identity = Identity("1.2.840.66", "ADA", "", "20200101", "pacs")
        publish(site, key, manifest, draft, identity, RUN)
    with open_raw(site, key, purpose="test", run=RUN) as (folder, _):
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
    held = site.catalog.latest(key, "raw")
    move(site, Move(held.product_id, key, "raw", held.bytes, "hot", "cold"), run=RUN)
    row = site.catalog.latest(key, "raw")
    cold, relative = site.locate(row.uri)
    product = cold.verify(relative)
    assert (row.tier, row.bytes) == ("cold", product.size)
    names = set(product.files) - {"manifest.json", "unpacked.json"}
    assert names == {f"series-{item.digest[:16]}.zip" for item in series}
    assert held_manifest(site, row) == manifest
    with open_raw(site, key, purpose="test", run=RUN) as (folder, found):
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        assert found == manifest
    move(site, Move(held.product_id, key, "raw", held.bytes, "cold", "hot"), run=RUN)
    assert site.catalog.latest(key, "raw").bytes == held.bytes
    assert not cold.has(relative)


def test_a_volume_is_one_object_in_the_cold(site: Site, make: Make) -> None:
    before = make("volume", 100)
    move(site, Move(before.product_id, "st-a", "volume", before.bytes, "hot", "cold"), run=RUN)
    row = site.catalog.latest("st-a", "volume")
    zone, relative = site.locate(row.uri)
    assert set(zone.product(relative).files) == {"volume.zip", "unpacked.json"}
    with open_product(site, row) as folder:
        assert verify(folder).digest == row.digest == before.digest
