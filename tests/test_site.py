"""One installation: opened without a trace, set up once, and every address found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from hounsfield.errors import NotFound
from hounsfield.pseudonyms import rotate_key
from hounsfield.records import RunContext
from hounsfield.settings import Settings, StoreSettings
from hounsfield.settings.site import SiteFile
from hounsfield.site import Site
from hounsfield.vault import Identity


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def site(home: Path) -> Site:
    return Site(Settings.load({"HOUNSFIELD_HOME": str(home)}))


def test_opening_touches_nothing(site: Site, home: Path) -> None:
    assert site.zone("raw").root == f"{home}/zones/raw"
    assert not home.exists()


def test_set_up_twice_is_set_up_once(site: Site, home: Path) -> None:
    site.set_up()
    key = (home / "secrets" / "project.key").read_text()
    site.set_up()
    assert (home / "secrets" / "project.key").read_text() == key
    assert site.audit.verify() is None
    assert not site.vault.knows("st-a")


def test_the_vault_and_the_catalog_share_a_trail(site: Site) -> None:
    site.set_up()
    with pytest.raises(NotFound):
        site.vault.open("st-a", purpose="test", run=RunContext())
    assert [entry.action for entry in site.audit.entries("st-a")] == ["vault.open"]


def test_an_unknown_zone_is_named(site: Site) -> None:
    with pytest.raises(NotFound, match="attic"):
        site.zone("attic")


@pytest.mark.parametrize("written", ["file://{}/", "{}//", "{}/x/.."])
def test_a_root_that_is_written_otherwise_is_the_same(home: Path, written: str) -> None:
    """Its rows lead there still, and what is asked of its store."""
    before = Site(Settings.load({"HOUNSFIELD_HOME": str(home)})).zone("raw")
    root = written.format(before.root)
    after = Site(Settings.load({"HOUNSFIELD_HOME": str(home), "HOUNSFIELD_ZONE_RAW": root}))
    for uri in (before.uri("st-a/0123"), f"{root}/st-a/0123"):
        found, relative = after.locate(uri)
        assert (found.root, relative) == (before.root, "st-a/0123")


@pytest.mark.parametrize("prefix", ["s3a://cold/raw/", "s3://cold/raw", "s3://cold/ra", "s3://"])
def test_a_store_is_found_by_the_beginning_of_a_root(
    site: Site, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    asked: list[StoreSettings] = []
    monkeypatch.setattr(
        "hounsfield.store.zone.s3.connect", lambda _, store: (asked.append(store), ("", ""))[1]
    )
    told = site.settings.site.model_dump(by_alias=True)
    told |= {"zones": {**told["zones"], "raw": "s3a://cold/raw/", "deid": "s3://cold/rb"}}
    told |= {"stores": {prefix: {"storage_class": "COLD"}}}
    changed = site.settings.model_copy(update={"site": SiteFile.model_validate(told)})
    for zone in ("raw", "deid"):
        Site(changed).zone(zone)
    assert [store.storage_class for store in asked] == ["COLD", "COLD" * (prefix == "s3://")]


def test_a_root_by_another_name_is_told(site: Site, home: Path) -> None:
    """As through a link: what lies there is not taken for something else."""
    with pytest.raises(NotFound, match="Put it back as it was"):
        site.locate(f"{home}/elsewhere/raw/st-a/0123")


@pytest.mark.parametrize(
    "zone", ["raw", "deid", "volumes", "datasets", "results", "quarantine", "review"]
)
def test_an_address_leads_to_its_zone(site: Site, zone: str) -> None:
    found, relative = site.locate(site.zone(zone).uri("st-a/0123"))
    assert found.is_at(site.zone(zone))
    assert relative == "st-a/0123"


def test_an_address_in_a_tier_leads_there(site: Site) -> None:
    warm = site.settings.tiers.tiers["warm"].roots["raw"]
    found, relative = site.locate(f"{warm}/st-a/0123")
    assert (found.root, relative) == (warm, "st-a/0123")


def test_the_longest_root_wins(home: Path) -> None:
    """A tier may lie within a zone."""
    inside = f"{home}/zones/raw/cold"
    settings = Settings.load({"HOUNSFIELD_HOME": str(home), "HOUNSFIELD_WARM_RAW": inside})
    found, relative = Site(settings).locate(f"{inside}/st-a")
    assert (found.root, relative) == (inside, "st-a")


def test_the_longest_beginning_of_a_root_says_how_its_store_is_reached(site: Site) -> None:
    root = site.settings.tiers.tiers["warm"].roots["raw"]
    stores = {
        prefix: StoreSettings(options={"auto_mkdir": made})
        for prefix, made in (("/", False), (root, True), (f"{root}/deeper", False))
    }
    changed = site.settings.site.model_copy(update={"stores": stores})
    other = Site(site.settings.model_copy(update={"site": changed}))
    assert other.tier("warm", "raw")._fs.auto_mkdir is True
    assert other.locate(f"{root}/st-a")[0]._fs.auto_mkdir is True
    assert other.zone("raw")._fs.auto_mkdir is False
    with pytest.raises(NotFound, match="tepid"):
        other.tier("tepid", "raw")


@pytest.mark.parametrize("uri", ["s3://elsewhere/st-a", "/etc/passwd", ""])
def test_an_address_of_elsewhere_is_refused(site: Site, uri: str) -> None:
    with pytest.raises(NotFound):
        site.locate(uri)


def test_after_a_rotation_a_study_keeps_its_key(site: Site, home: Path) -> None:
    site.set_up()
    old = site.pseudonyms.study_key("1.2.3")
    identity = Identity("1.2.3", "ADA", "", "20260301", "pacs")
    site.vault.put(old, site.pseudonyms.patient_key("ADA"), identity, run=RunContext())
    rotate_key(home / "secrets" / "project.key")
    newer = site.settings.site.model_copy(update={"key_version": 2})
    rotated = Site(site.settings.model_copy(update={"site": newer}))
    assert rotated.pseudonyms.version == 2
    assert rotated.pseudonyms_of("1.2.3").study_key("1.2.3") == old
    assert rotated.pseudonyms_of("1.2.4").version == 2
    assert rotated.vault.open(old, purpose="test", run=RunContext()) == identity
