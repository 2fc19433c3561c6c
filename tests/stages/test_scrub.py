"""A flipped bit is found wherever it lies, and healed where there is another copy."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from botocore.exceptions import EndpointConnectionError
from fsspec.implementations.local import LocalFileOpener
from sqlalchemy import delete, select

from hounsfield.catalog.models import OpenMove, Product, Study
from hounsfield.errors import IntegrityError, StoreUnavailable
from hounsfield.settings import StoreSettings
from hounsfield.site import Site
from hounsfield.stages.dispose import Grounds, dispose
from hounsfield.stages.hold import set_hold
from hounsfield.stages.migrate import Move, move
from hounsfield.stages.orphans import find_orphans
from hounsfield.stages.scrub import due, scrub
from hounsfield.store import Zone, copy, seal
from hounsfield.store.product import MANIFEST
from tests.s3 import MakeBucket
from tests.stages.conftest import RUN

Make = Callable[[str, str], Product]
NOWHERE = EndpointConnectionError(endpoint_url="http://s3.example")


@pytest.fixture
def make(site: Site) -> Make:
    """Puts a product of a kind into its zone and the catalog: a file, or a Zarr array."""

    def make(kind: str, study: str = "st-a") -> Product:
        zone = site.zone({"raw": "raw", "volume": "volumes"}[kind])
        with zone.draft() as draft:
            if kind == "raw":
                (draft / "data.bin").write_bytes(b"what a scanner wrote")
            else:
                voxels = np.arange(64, dtype="i2").reshape(4, 4, 4)
                zarr.create_array(draft / "volume.zarr", data=voxels, chunks=(2, 4, 4))
            made = seal(draft, product_id=f"{kind}-{study}", kind=kind, study_key=study, detail={})
            zone.commit(draft, f"{study}/{kind}")
        row = Product(
            product_id=made.product_id,
            study_key=study,
            kind=kind,
            digest=made.digest,
            input_digest="i",
            uri=zone.uri(f"{study}/{kind}"),
            bytes=made.size,
        )
        site.catalog.put(Study(study_key=study, patient_key="pt-a"), row)
        return row

    return make


def with_copies(site: Site, tier: str, kind: str, root: Path) -> None:
    tiers = site.settings.tiers
    changed = tiers.tiers[tier].model_copy(update={"copies": {kind: str(root)}})
    update = {"tiers": tiers.tiers | {tier: changed}}
    site.settings = site.settings.model_copy(update={"tiers": tiers.model_copy(update=update)})


def flip(zone: Zone, relative: str, name: str = "") -> str:
    """Changes one bit of a file of a product, the largest where none is named; its name."""
    folder = Path(zone.root) / relative
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST]
    path = folder / name if name else max(files, key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return path.relative_to(folder).as_posix()


def outcomes(site: Site, study: str = "st-a") -> list[tuple[str, str]]:
    return [(event.stage, event.state) for event in site.catalog.timeline(study)]


@pytest.mark.parametrize(
    ("kind", "tier"),
    [("raw", "hot"), ("volume", "hot"), ("volume", "cold")],
    ids=["raw", "zarr", "packed"],
)
def test_a_flipped_bit_is_found(site: Site, make: Make, kind: str, tier: str) -> None:
    row = make(kind, "st-a")
    make(kind, "st-b")
    if tier == "cold":
        move(site, Move(row.product_id, "st-a", kind, row.bytes, "hot", "cold"), run=RUN)
    assert scrub(site, [row.product_id, f"{kind}-st-b"], run=RUN)["whole"] == 2
    flip(site.tier(tier, kind), f"st-a/{kind}")
    with pytest.raises(IntegrityError, match="1 of 2 products"):
        scrub(site, [row.product_id, f"{kind}-st-b"], run=RUN)
    assert outcomes(site)[-1] == ("scrub", "refused")
    assert outcomes(site, "st-b") == [], "what is whole is not told for each night"


@pytest.mark.parametrize("where", ["tier", "copy"])
@pytest.mark.parametrize("what", ["data.bin", MANIFEST])
def test_the_one_is_healed_from_the_other(
    site: Site, make: Make, tmp_path: Path, where: str, what: str
) -> None:
    row = make("raw", "st-a")
    with_copies(site, "hot", "raw", tmp_path / "second")
    assert scrub(site, [row.product_id], run=RUN)["whole"] == 1
    copy = Zone("copy", str(tmp_path / "second"))
    assert copy.verify("st-a/raw").digest == row.digest, "the first night makes it"
    before = copy.read_file("st-a/raw", MANIFEST)
    flip(site.zone("raw") if where == "tier" else copy, "st-a/raw", what)
    assert scrub(site, [row.product_id], run=RUN)["healed"] == 1
    for zone in (site.zone("raw"), copy):
        assert zone.verify("st-a/raw").digest == row.digest
        assert zone.read_file("st-a/raw", MANIFEST) == before
    assert outcomes(site)[-1] == ("scrub", "done")
    assert scrub(site, [row.product_id], run=RUN)["whole"] == 1


def test_what_is_damaged_in_both_is_lost_and_neither_is_touched(
    site: Site, make: Make, tmp_path: Path
) -> None:
    row = make("raw", "st-a")
    with_copies(site, "hot", "raw", tmp_path / "second")
    scrub(site, [row.product_id], run=RUN)
    copy = Zone("copy", str(tmp_path / "second"))
    for zone in (site.zone("raw"), copy):
        flip(zone, "st-a/raw")
    spoiled = copy.read_file("st-a/raw", "data.bin")
    with pytest.raises(IntegrityError):
        scrub(site, [row.product_id], run=RUN)
    assert copy.read_file("st-a/raw", "data.bin") == spoiled


def test_it_is_healed_from_the_source_of_a_move_that_is_not_done(
    site: Site, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = make("raw", "st-a")
    planned = Move(row.product_id, "st-a", "raw", row.bytes, "hot", "warm")

    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Zone, "delete", dying)
        with pytest.raises(KeyboardInterrupt):
            move(site, planned, run=RUN)
    assert site.catalog.all(select(OpenMove))
    flip(site.tier("warm", "raw"), "st-a/raw")
    assert scrub(site, [row.product_id], run=RUN)["healed"] == 1
    move(site, planned, run=RUN)
    assert site.tier("warm", "raw").verify("st-a/raw").digest == row.digest


def test_a_move_to_a_tier_that_is_no_more_stops_no_night(site: Site, make: Make) -> None:
    rows = [make("raw", study) for study in ("st-a", "st-b")]
    site.catalog.put(OpenMove(product_id=rows[0].product_id, source="hot", target="ice"))
    flip(site.zone("raw"), "st-b/raw")
    with pytest.raises(IntegrityError, match="1 of 2"):
        scrub(site, [row.product_id for row in rows], run=RUN)
    assert site.catalog.product(rows[0].product_id).verified_at  # type: ignore[union-attr]


def test_what_is_worked_on_keeps_nothing_else_from_its_turn(site: Site, make: Make) -> None:
    """A lock of a killed move lasts two hours."""
    rows = [make("raw", study) for study in ("st-a", "st-b")]
    with site.catalog.lock(rows[0].product_id, "a move"):
        counts = scrub(site, [row.product_id for row in rows], run=RUN)
    assert (counts["busy"], counts["whole"]) == (1, 1)
    assert due(site, 0.1) == [[rows[0].product_id]]


@pytest.mark.parametrize("name", ["data.bin", MANIFEST])
def test_what_the_disk_cannot_read_any_more_is_healed(
    site: Site, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    row, other = make("raw", "st-a"), make("raw", "st-b")
    with_copies(site, "hot", "raw", tmp_path / "second")
    scrub(site, [row.product_id, other.product_id], run=RUN)
    broken = Path(site.zone("raw").root) / "st-a" / "raw" / name
    sector = broken.stat().st_ino
    opened = LocalFileOpener._open

    def failing(file: LocalFileOpener) -> None:
        if Path(file.path).stat().st_ino == sector:
            raise OSError(errno.EIO, "Input/output error")
        opened(file)

    monkeypatch.setattr(LocalFileOpener, "_open", failing)
    counts = scrub(site, [row.product_id, other.product_id], run=RUN)
    assert (counts["healed"], counts["whole"]) == (1, 1)
    assert scrub(site, [row.product_id], run=RUN)["whole"] == 1


@pytest.mark.parametrize("error", [StoreUnavailable("full"), NOWHERE])
def test_a_place_that_cannot_be_read_is_told_when_all_others_were(
    site: Site,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    rows = [make("raw", study) for study in ("st-a", "st-b")]
    digest = Zone.digest

    def failing(zone: Zone, relative: str, name: str) -> str | None:
        if relative.startswith("st-a"):
            raise error
        return digest(zone, relative, name)

    monkeypatch.setattr(Zone, "digest", failing)
    with pytest.raises(type(error)):
        scrub(site, [row.product_id for row in rows], run=RUN)
    assert site.catalog.product(rows[1].product_id).verified_at  # type: ignore[union-attr]
    assert f"Product {rows[0].product_id}" in caplog.text and rows[1].product_id not in caplog.text


@pytest.mark.parametrize("error", [StoreUnavailable("AccessDenied"), PermissionError("no")])
def test_a_place_that_refuses_for_good_takes_no_night_from_others(
    site: Site, make: Make, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """More lies there than the share of a night."""
    refused, others = ("st-a", "st-b", "st-c"), ("st-d", "st-e")
    for study in (*refused, *others):
        make("raw", study)
    digest = Zone.digest

    def refusing(zone: Zone, relative: str, name: str) -> str | None:
        if relative.startswith(refused):
            raise error
        return digest(zone, relative, name)

    monkeypatch.setattr(Zone, "digest", refusing)
    seen = []
    for _ in range(5):
        (batch,) = due(site, 0.2)
        with suppress(type(error)):
            scrub(site, batch, run=RUN)
        seen += batch
    assert sorted(seen) == [f"raw-{study}" for study in (*refused, *others)]


def test_what_the_buckets_own_rules_put_into_an_archive_is_left_to_its_store(
    site: Site,
    make: Make,
    s3_options: dict[str, Any],
    s3_client: Any,
    make_bucket: MakeBucket,
) -> None:
    bucket = make_bucket()
    root = f"s3://{bucket}/raw"
    zones = site.settings.site.zones | {"raw": root}
    stores = {root: StoreSettings(options=s3_options)}
    changed = site.settings.site.model_copy(update={"zones": zones, "stores": stores})
    site.settings = site.settings.model_copy(update={"site": changed})
    rows = [make("raw", study) for study in ("st-a", "st-b")]
    key = {"Bucket": bucket, "Key": "raw/st-a/raw/data.bin"}
    s3_client.copy_object(CopySource=key, StorageClass="GLACIER", **key)
    counts = scrub(site, [row.product_id for row in rows], run=RUN)
    assert (counts["archive"], counts["whole"]) == (1, 1)
    assert "Restore" not in s3_client.head_object(**key), "a recall costs"
    assert due(site, 0.1) == [[rows[0].product_id]], "it had its turn, before the other"
    assert site.catalog.product(rows[0].product_id).verified_at  # type: ignore[union-attr]


def test_a_healing_that_is_killed_leaves_nothing_beside(
    site: Site, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = make("raw", "st-a")
    with_copies(site, "hot", "raw", tmp_path / "second")
    scrub(site, [row.product_id], run=RUN)
    before = site.zone("raw").files()
    flip(site.zone("raw"), "st-a/raw")

    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dying)
        with pytest.raises(KeyboardInterrupt):
            scrub(site, [row.product_id], run=RUN)
    assert site.zone("raw").files() != before
    assert scrub(site, [row.product_id], run=RUN)["healed"] == 1
    assert site.zone("raw").files() == before


@pytest.mark.parametrize("where", ["tier", "copy"])
def test_what_no_manifest_names_is_told_and_stays(
    site: Site, make: Make, tmp_path: Path, where: str
) -> None:
    """Neither has its product an orphan, nor a checksum that differs."""
    row = make("volume", "st-a")
    with_copies(site, "hot", "volume", tmp_path / "second")
    scrub(site, [row.product_id], run=RUN)
    assert not site.catalog.timeline("st-a")
    root = Path(site.zone("volumes").root) if where == "tier" else tmp_path / "second"
    left = root / "st-a" / "volume" / "volume.zarr" / "Smith^John.dcm"
    left.write_bytes(b"left")
    assert scrub(site, [row.product_id], run=RUN)["whole"] == 1
    (event,) = site.catalog.timeline("st-a")
    assert (event.stage, event.state) == ("scrub", "done")
    assert "does not name 1 file." in event.sentence and "Smith" not in event.sentence
    assert left.exists()


def test_a_copy_goes_with_its_tier(site: Site, make: Make, tmp_path: Path) -> None:
    row = make("raw", "st-a")
    with_copies(site, "hot", "raw", tmp_path / "second")
    scrub(site, [row.product_id], run=RUN)
    move(site, Move(row.product_id, "st-a", "raw", row.bytes, "hot", "warm"), run=RUN)
    assert not Zone("copy", str(tmp_path / "second")).has("st-a/raw")


def test_each_has_its_turn(site: Site, make: Make) -> None:
    """A third of the bytes each night: after three nights all were read, and it begins anew."""
    for study in ("st-a", "st-b", "st-c"):
        make("raw", study)
    seen = []
    for _ in range(4):
        (batch,) = due(site, 0.34)
        scrub(site, batch, run=RUN)
        seen += batch
    assert seen == ["raw-st-a", "raw-st-b", "raw-st-c", "raw-st-a"]
    assert due(site, 1) == [["raw-st-b", "raw-st-c", "raw-st-a"]]
    counts = scrub(site, ["raw-st-z"], run=RUN)
    assert counts.pop("gone") == 1 and not any(counts.values())


@pytest.mark.parametrize("how", ["damaged", "gone", "nowhere"])
def test_what_is_lost_has_its_turn_and_no_more(site: Site, make: Make, how: str) -> None:
    rows = [make("raw", study) for study in ("st-a", "st-b")]
    if how == "damaged":
        flip(site.zone("raw"), "st-a/raw")
    elif how == "gone":
        site.zone("raw").purge("st-a/raw")
    else:
        rows[0].uri = "/of/an/earlier/configuration/st-a/raw"
        site.catalog.put(rows[0])
    (batch,) = due(site, 0.1)
    with pytest.raises(IntegrityError):
        scrub(site, batch, run=RUN)
    assert due(site, 0.1) == [[rows[1].product_id]]


@pytest.mark.parametrize("died", ["before it hid anything", "after"])
def test_what_a_deletion_that_died_had_not_come_to_is_read(
    site: Site, make: Make, monkeypatch: pytest.MonkeyPatch, died: str
) -> None:
    """A legal hold that came since, or another policy, never lets it go on."""
    row = make("raw", "st-a")
    hide = Zone.delete

    def dying(zone: Zone, relative: str) -> None:
        if died == "after":
            hide(zone, relative)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Zone, "delete", dying)
        with pytest.raises(KeyboardInterrupt):
            dispose(site, row, Grounds("ten years", "kept for 3650 days"), run=RUN)
    set_hold(site, "st-a", "matter 17", run=RUN)
    assert [orphan.what for orphan in find_orphans(site)] == ["going"], "told each night"
    (batch,) = due(site, 1)
    if died == "after":
        assert scrub(site, batch, run=RUN)["going"] == 1
        return
    assert scrub(site, batch, run=RUN)["whole"] == 1
    flip(site.zone("raw"), "st-a/raw")
    with pytest.raises(IntegrityError):
        scrub(site, batch, run=RUN)


def test_no_copy_is_made_of_what_is_deleted_meanwhile(
    site: Site, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that takes longer than its lock lasts."""
    row = make("raw", "st-a")
    with_copies(site, "hot", "raw", tmp_path / "second")

    def slow(source: Zone, target: Zone, relative: str) -> None:
        copy(source, target, relative)
        with site.catalog.write() as session:
            session.execute(delete(Product))

    monkeypatch.setattr("hounsfield.stages.scrub.copy", slow)
    scrub(site, [row.product_id], run=RUN)
    assert not Zone("copy", str(tmp_path / "second")).files()


def test_reading_what_is_phi_is_audited_and_is_no_use_of_it(site: Site, make: Make) -> None:
    row = make("raw", "st-a")
    make("volume", "st-a")
    scrub(site, [row.product_id, "volume-st-a"], run=RUN)
    assert [entry.action for entry in site.audit.entries("st-a")] == ["raw.verify"]
