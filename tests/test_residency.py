"""Data of a region stay in its roots: the store refuses them, whatever chose the place."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from sqlalchemy import delete

from hounsfield.catalog.models import Product, Series, Snapshot, Study
from hounsfield.datasets import Cohort, Fractions, freeze, load_snapshot
from hounsfield.errors import ConfigError, IntegrityError, WrongRegion
from hounsfield.pacs.client import StudyEntry
from hounsfield.pacs.inbox import Inbox
from hounsfield.records import RunContext
from hounsfield.settings import Settings
from hounsfield.site import Site
from hounsfield.stages.dispose import Grounds, dispose
from hounsfield.stages.erase import (
    APPROVALS,
    certify_erasure,
    decide_erasure,
    erase,
    plan_erasure,
)
from hounsfield.stages.ingest import find_studies
from hounsfield.stages.migrate import Move, move, plan
from hounsfield.stages.orphans import find_orphans
from hounsfield.stages.produce import Recipe, open_raw, produce
from hounsfield.stages.receive import admit_landed
from hounsfield.stages.scrub import due, scrub
from hounsfield.store import Zone, copy, mend, seal, transfer
from hounsfield.tracking import Tracker
from tests.regions import environment, site_in_two_regions
from tests.stages.conftest import STUDY, encoded
from tests.stages.kept import ERASING

RUN = RunContext()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """At home in eu; of what has tiers, only what is received has a root in us."""
    site = site_in_two_regions(tmp_path)
    for study, region in (("st-eu", "eu"), ("st-us", "us"), ("st-old", None)):
        site.catalog.put(Study(study_key=study, patient_key="pt-a", region=region))
    return site


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with Inbox(tmp_path / "landing") as made:
        yield made


def sealed(zone: Zone, place: str, region: str, content: bytes = b"data") -> None:
    with zone.draft() as draft:
        (draft / "data.bin").write_bytes(content)
        seal(draft, product_id="p", kind="raw", study_key="st-us", detail={}, region=region)
        zone.commit(draft, place)


def files(folder: Path) -> list[str]:
    """What there is of a product or of a patient; the receiver and the databases are elsewhere."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def push(site: Site, inbox: Inbox, source: str, uid: str) -> str:
    """An instance comes to the receiver of a source; the key of its study."""
    key = site.pseudonyms.study_key(STUDY)
    part = inbox.part(
        sop_class_uid=CTImageStorage,
        sop_instance_uid=uid,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    part.write(encoded(uid, "one").getvalue())
    inbox.land(key, part)
    admit_landed(site, inbox, key, source, run=RUN)
    return key


def with_copies(site: Site, tier: str, root: str) -> None:
    tiers = site.settings.tiers
    changed = tiers.tiers[tier].model_copy(update={"copies": {"raw": root}})
    update = {"tiers": tiers.tiers | {tier: changed}}
    site.settings = site.settings.model_copy(update={"tiers": tiers.model_copy(update=update)})


# What configs/ says


def test_an_unknown_region_is_refused_where_it_stands(tmp_path: Path) -> None:
    given = environment(tmp_path, {"berlin": "eu", "boston": "su"})
    with pytest.raises(ConfigError, match=r"sources\.yaml: sources\.boston\.region") as told:
        Settings.load(given)
    assert "no region 'su'" in str(told.value)
    assert "configs/site.yaml" in str(told.value)


def test_a_site_with_regions_is_in_one(tmp_path: Path) -> None:
    given = environment(tmp_path) | {"HOUNSFIELD_REGION": ""}
    with pytest.raises(ConfigError, match=r"configs/site\.yaml.*give region"):
        Settings.load(given)


def test_each_region_has_its_roots(tmp_path: Path) -> None:
    given = environment(tmp_path) | {"HOUNSFIELD_ZONE_DEID": f"{tmp_path}/deid"}
    with pytest.raises(ConfigError, match=r"site\.yaml: zones\.deid.*no root of their own"):
        Settings.load(given)


def test_a_queue_tells_its_region_by_how_it_ends(tmp_path: Path) -> None:
    names = environment(tmp_path) | {"HOUNSFIELD_REGIONS": "us west-us"}
    with pytest.raises(ConfigError, match="ends with that of another, us") as refusal:
        Settings.load(names)
    assert refusal.value.where == "configs/site.yaml: regions"


def test_a_region_is_part_of_the_names_of_roots_and_queues(tmp_path: Path) -> None:
    given = environment(tmp_path) | {"HOUNSFIELD_REGIONS": "us ../eu"}
    with pytest.raises(ConfigError, match=r"configs/site\.yaml: regions\.1"):
        Settings.load(given)


def test_a_site_with_one_region_is_as_it_was(tmp_path: Path) -> None:
    site = Site(Settings.load({"HOUNSFIELD_HOME": str(tmp_path)}))
    site.set_up()
    assert site.regions == ("",)
    assert site.region_of("st-a", "pacs") == ""
    assert all(zone.region == "" for zone in site.places())
    assert len({zone.root for zone in site.places()}) == len(site.places())
    sealed(site.zone("raw"), "st-us/raw", "")
    assert site.locate(site.zone("raw").uri("st-us/raw"))[0].name == "raw"


# Where what lies


def test_a_study_has_the_region_that_it_came_into(site: Site) -> None:
    assert site.regions == ("eu", "us")
    assert site.region_of("st-us") == "us"
    assert site.region_of("st-us", "berlin") == "us", "whoever sends more of it"
    assert site.region_of("st-new", "boston") == "us"
    assert site.region_of("st-new", "berlin") == "eu"
    assert site.region_of("st-old") == "eu", "from before regions were named"


def test_a_region_has_its_own_roots_and_addresses_lead_there(site: Site, tmp_path: Path) -> None:
    for region in ("eu", "us"):
        zone = site.zone("raw", region)
        assert (zone.root, zone.region) == (f"{tmp_path}/{region}/zone_raw", region)
        found, relative = site.locate(zone.uri("st-a/0123"))
        assert (found.root, found.region, relative) == (zone.root, region, "st-a/0123")
        warm = site.tier("warm", "raw", region)
        assert site.locate(warm.uri("st-a"))[0].region == region
    assert site.zone("raw").region == "eu"


def test_all_places_are_those_of_all_regions_each_by_its_name(site: Site, tmp_path: Path) -> None:
    roots = {zone.root for zone in site.places()}
    assert {f"{tmp_path}/{region}/zone_raw" for region in ("eu", "us")} <= roots
    assert len({zone.name for zone in site.places()}) == len(roots)
    assert {zone.region for zone in site.tiers_of("raw")} == {"eu", "us"}
    assert {zone.root for zone in site.tiers_of("raw") if zone.region == "us"} == {
        f"{tmp_path}/us/{name}" for name in ("zone_raw", "warm_raw")
    }


def test_a_zone_without_a_root_in_the_region_is_refused(site: Site) -> None:
    assert site.zone("evidence", "eu").region == "eu"
    with pytest.raises(WrongRegion, match="no root in the region us") as told:
        site.zone("evidence", "us")
    assert "evidence" in str(told.value)
    assert "configs/site.yaml" in str(told.value)
    with pytest.raises(WrongRegion, match="no root in the region us"):
        site.tier("cold", "raw", "us")
    with pytest.raises(WrongRegion, match="no root in the region ch"):
        site.zone("raw", "ch")
    assert site.has_tier("warm", "raw", "us")
    assert not site.has_tier("cold", "raw", "us")


# What the store refuses


@pytest.mark.parametrize(("of", "root"), [("us", "eu"), ("eu", "us"), ("", "eu")])
def test_what_is_sealed_for_another_region_is_not_written(
    site: Site, tmp_path: Path, of: str, root: str
) -> None:
    with pytest.raises(WrongRegion, match=f"region {of or 'none'} may not be written to a root"):
        sealed(site.zone("raw", root), "st-us/raw", of)
    assert files(tmp_path / root) == []


def test_a_file_of_another_region_is_not_written(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "x.dcm"
    file.write_bytes(b"x")
    zone = site.zone("quarantine", "eu")
    with pytest.raises(WrongRegion):
        zone.put_file("st-us/x.dcm", file, region="us")
    with pytest.raises(WrongRegion), site.zone("raw", "eu").staging("st-us", region="us"):
        pass
    assert files(tmp_path / "eu") == []
    zone.put_file("st-eu/x.dcm", file, region="eu")
    assert files(tmp_path / "eu") == ["x.dcm"]


@pytest.mark.parametrize("way", [copy, transfer, mend])
@pytest.mark.parametrize("named", ["us", ""], ids=["named", "from before regions were named"])
def test_what_lies_in_one_region_is_not_copied_to_another(
    site: Site, tmp_path: Path, way: Callable[..., Any], named: str
) -> None:
    there = site.zone("raw", "us")
    plain = Zone("raw", there.root)
    sealed(there if named else plain, "st-us/raw", named)
    with pytest.raises(WrongRegion):
        way(*((site.zone("raw", "eu"), there) if way is mend else (there, site.zone("raw", "eu"))),
            "st-us/raw")  # fmt: skip
    assert files(tmp_path / "eu") == []


# Every way that data take


def test_a_study_that_is_pushed_lies_in_the_region_of_its_source(
    site: Site, inbox: Inbox, tmp_path: Path
) -> None:
    key = push(site, inbox, "boston", "1.2.3.1")
    study = site.catalog.study(key)
    assert (study.region, study.source, study.state) == ("us", "boston", "received")
    row = site.catalog.latest(key, "raw")
    zone, relative = site.locate(row.uri)
    assert (zone.region, zone.product(relative).region) == ("us", "us")
    push(site, inbox, "boston", "1.2.3.2")
    assert site.catalog.study(key).instance_count == 2
    assert files(tmp_path / "eu") == []
    with open_raw(site, key, purpose="test", run=RUN) as (folder, manifest):
        assert len(files(folder)) == len(manifest.instances) == 2


def test_more_of_a_study_by_the_door_of_another_region_is_refused_and_stays_landed(
    site: Site, inbox: Inbox, tmp_path: Path
) -> None:
    key = push(site, inbox, "boston", "1.2.3.1")
    with pytest.raises(WrongRegion, match="region eu may not be written") as told:
        push(site, inbox, "berlin", "1.2.3.2")
    assert "LOVELACE" not in str(told.value)
    assert STUDY not in str(told.value)
    assert len(inbox.landed(key)) == 1
    assert site.catalog.study(key).instance_count == 1
    assert site.catalog.study(key).state == "quarantined", "a person sees it"
    assert files(tmp_path / "eu") == []


def day_of_one_study(monkeypatch: pytest.MonkeyPatch) -> tuple[datetime, datetime]:
    """Every source lists the same study on that day."""

    class Pacs:
        def find_studies(self, *_: Any) -> list[StudyEntry]:
            return [StudyEntry(StudyInstanceUID=STUDY, StudyDate="20260301")]

    monkeypatch.setattr("hounsfield.stages.ingest.client_of", lambda *_: Pacs())
    start = datetime(2026, 3, 1, tzinfo=UTC)
    return start, start + timedelta(days=1)


def test_a_study_that_two_sources_list_is_fetched_by_the_one_that_it_came_from(
    site: Site, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = push(site, inbox, "boston", "1.2.3.1")

    window = day_of_one_study(monkeypatch)
    assert find_studies(site, "boston", *window, run=RUN) == [key]
    assert find_studies(site, "berlin", *window, run=RUN) == []


def test_a_study_that_is_not_here_yet_is_of_the_source_that_listed_it_first(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = day_of_one_study(monkeypatch)
    assert len(find_studies(site, "boston", *window, run=RUN)) == 1
    assert find_studies(site, "berlin", *window, run=RUN) == []
    assert len(find_studies(site, "boston", *window, run=RUN)) == 1


def test_what_is_made_of_a_study_stays_in_its_region(site: Site, tmp_path: Path) -> None:
    recipe = Recipe("prediction", "results", "st-us", "i", ("hounsfield.store",), {})

    def build(draft: Path) -> dict[str, Any]:
        (draft / "result.json").write_text("{}")
        return {}

    row, _ = produce(site, recipe, build, run=RUN)
    assert row.uri.startswith(f"{tmp_path}/us/")
    zone, relative = site.locate(row.uri)
    assert zone.product(relative).region == "us"
    assert files(tmp_path / "eu") == []
    nowhere = Recipe("prediction", "evidence", "st-us", "other", ("hounsfield.store",), {})
    with pytest.raises(WrongRegion, match="no root in the region us"):
        produce(site, nowhere, build, run=RUN)


def keep(site: Site, study: str, region: str) -> Product:
    """A study as received, in its region's hot tier, acquired long ago."""
    zone = site.zone("raw", region)
    sealed(zone, f"{study}/raw", region, study.encode() * 100)
    row = Product(
        product_id=f"p-{study}",
        study_key=study,
        kind="raw",
        digest="d",
        input_digest="i",
        uri=zone.uri(f"{study}/raw"),
        bytes=500,
        created_at=datetime(2020, 1, 1, tzinfo=UTC),
    )
    site.catalog.put(row)
    return row


def where(site: Site, product: Product) -> str:
    row = site.catalog.product(product.product_id)
    assert row is not None
    return row.uri


def test_a_move_stays_in_the_region_there_and_back(site: Site, tmp_path: Path) -> None:
    product = keep(site, "st-us", "us")
    move(site, Move("p-st-us", "st-us", "raw", 500, "hot", "warm"), run=RUN)
    assert where(site, product) == f"{tmp_path}/us/warm_raw/st-us/raw"
    with pytest.raises(WrongRegion, match="no root in the region us"):
        move(site, Move("p-st-us", "st-us", "raw", 500, "warm", "cold"), run=RUN)
    assert site.tier("warm", "raw", "us").verify("st-us/raw")
    move(site, Move("p-st-us", "st-us", "raw", 500, "warm", "hot"), run=RUN)
    assert where(site, product) == f"{tmp_path}/us/zone_raw/st-us/raw"
    assert files(tmp_path / "us" / "warm_raw") == []
    assert files(tmp_path / "eu") == []


def test_a_move_to_where_the_region_has_no_root_is_not_planned(site: Site) -> None:
    """After three years all that is received goes to the cold, which is of eu alone."""
    for study, region in (("st-eu", "eu"), ("st-us", "us"), ("st-old", "eu")):
        keep(site, study, region)
    planned = {item.study_key: item.target for item in plan(site)}
    assert planned == {"st-eu": "cold", "st-old": "cold"}
    assert [item.study_key for item in plan(site, region="us")] == []
    assert {item.study_key for item in plan(site, region="eu")} == {"st-eu", "st-old"}
    assert due(site, 1, region="us") == [["p-st-us"]]
    assert sorted(due(site, 1, region="eu")[0]) == ["p-st-eu", "p-st-old"]
    assert sorted(due(site, 1)[0]) == ["p-st-eu", "p-st-old", "p-st-us"]


def test_a_copy_is_made_and_heals_within_the_region(site: Site, tmp_path: Path) -> None:
    with_copies(site, "hot", f"{tmp_path}/{{region}}/copies")
    product = keep(site, "st-us", "us")
    assert scrub(site, [product.product_id], run=RUN)["whole"] == 1
    assert files(tmp_path / "us" / "copies") == ["data.bin", "product.json"]
    (Path(product.uri) / "data.bin").write_bytes(b"spoilt")
    assert scrub(site, [product.product_id], run=RUN)["healed"] == 1
    assert (Path(where(site, product)) / "data.bin").read_bytes() == b"st-us" * 100
    assert files(tmp_path / "eu") == []


def test_nothing_is_copied_to_the_copies_of_another_region_nor_healed_from_them(
    site: Site, tmp_path: Path
) -> None:
    with_copies(site, "hot", f"{tmp_path}/eu/copies")
    product = keep(site, "st-us", "us")
    assert scrub(site, [product.product_id], run=RUN)["whole"] == 1
    assert files(tmp_path / "eu") == []
    (Path(product.uri) / "data.bin").write_bytes(b"spoilt")
    with pytest.raises(IntegrityError):
        scrub(site, [product.product_id], run=RUN)


def test_what_is_deleted_is_deleted_in_its_region_with_its_copy(site: Site, tmp_path: Path) -> None:
    with_copies(site, "hot", f"{tmp_path}/{{region}}/copies")
    product = keep(site, "st-us", "us")
    scrub(site, [product.product_id], run=RUN)
    assert find_orphans(site) == []
    dispose(site, product, Grounds(rule="test", why="it is over"), run=RUN)
    assert files(tmp_path / "us") == []


def test_a_patient_is_erased_in_every_region(
    site: Site, inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Tracker(f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "artifacts"))
    for module in ERASING:
        monkeypatch.setattr(f"hounsfield.stages.{module}.tracker_of", lambda _: tracker)
    key = push(site, inbox, "boston", "1.2.3.1")
    push(site, inbox, "boston", "1.2.3.2")
    patient = site.catalog.study(key).patient_key
    asked = plan_erasure(
        site, patient, why="the patient asks for it", requested_by="the patient", run=RUN
    )
    case = str(asked["erasure_id"])
    seen = str(asked["plan"])
    decide_erasure(site, case, "Erase", APPROVALS[0], plan=seen, approver="officer", run=RUN)
    erase(site, case, run=RUN)
    told = certify_erasure(site, case, run=RUN)
    assert files(tmp_path / "us") == []
    zone, relative = site.locate(told["uri"])
    assert (zone.name, zone.product(relative).region) == ("evidence", "eu")
    looked = json.loads(zone.read_file(relative, "certificate.json"))["looked"]
    assert {"zone raw", "zone raw in us"} <= set(looked)


def test_what_no_row_names_is_found_in_every_region(site: Site) -> None:
    keep(site, "st-us", "us")
    with site.catalog.write() as session:
        session.execute(delete(Product))
    (orphan,) = find_orphans(site)
    assert (orphan.place, orphan.what) == ("raw in us", "product")


def test_who_trains_at_home_on_what_lies_elsewhere_is_refused(site: Site) -> None:
    """An announced snapshot: its run had a queue before anybody knew which it is."""
    from operators.datasets import ChooseSnapshotOperator

    uri = site.zone("datasets", "us").uri("snapshots/1")
    site.catalog.put(Snapshot(digest="us1", name="chest", uri=uri))
    choose = ChooseSnapshotOperator(task_id="choose")
    context: Any = {"params": {"snapshot": ""}, "triggering_asset_events": defaultdict(list)}
    with pytest.raises(WrongRegion, match="of the region us"):
        choose.run_stage(site, RUN, context)
    context["params"]["snapshot"] = "us1"
    assert choose.run_stage(site, RUN, context) == "us1"


def test_a_snapshot_is_of_one_region_and_lies_there(site: Site, tmp_path: Path) -> None:
    for study in ("st-eu", "st-us"):
        row = site.catalog.study(study)
        row.state, row.patient_key = "prepared", f"pt-{study}"
        site.catalog.put(
            row,
            Series(series_key=f"se-{study}", study_key=study, modality="CT", instance_count=9),
            Product(
                product_id=f"v-{study}",
                study_key=study,
                series_key=f"se-{study}",
                kind="volume",
                digest=f"d-{study}",
                input_digest="i",
                uri=f"{tmp_path}/{study}",
            ),
        )

    def frozen(region: str) -> str:
        cohort = Cohort.from_dict({"modality": "CT", "region": region})
        made = freeze(site, name="ct", cohort=cohort, seed=0, fractions=Fractions(), run=RUN)
        assert load_snapshot(site, made.digest) == made
        assert Cohort.from_dict(cohort.to_dict()) == cohort
        (found,) = made.members
        return found.study_key

    with pytest.raises(WrongRegion, match="regions eu, us") as told:
        frozen("")
    assert "give the cohort a region" in str(told.value)
    assert frozen("us") == "st-us"
    assert files(tmp_path / "us" / "zone_datasets") == ["product.json", "snapshot.json"]
    assert files(tmp_path / "eu") == []
    assert frozen("eu") == "st-eu"
