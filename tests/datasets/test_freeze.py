"""A snapshot is frozen: found again for the same data, another for other data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from hounsfield.catalog.models import (
    Product,
    Series,
    Snapshot,
    SnapshotMember,
    Study,
    Tombstone,
    utc_now,
)
from hounsfield.datasets import Cohort, Fractions, SnapshotManifest, datalist, freeze, load_snapshot
from hounsfield.datasets.freeze import MANIFEST_NAME
from hounsfield.errors import IntegrityError, NotFound, NotYet
from hounsfield.inference.datalist import Datalist
from hounsfield.records import RunContext
from hounsfield.site import Site
from hounsfield.store import Product as Stored
from hounsfield.store import Zone
from tests.datasets.conftest import add_label, add_product, add_volume

CT = Cohort(modality="CT")


def frozen(site: Site, cohort: Cohort = CT, name: str = "chest") -> SnapshotManifest:
    return freeze(
        site, name=name, cohort=cohort, seed=1, fractions=Fractions(), run=RunContext(actor="ml")
    )


def test_the_same_again_is_the_same_snapshot(site: Site) -> None:
    for number in range(8):
        add_volume(site, number, patient=number // 2)
    first, second = frozen(site), frozen(site, name="another name")
    (row,) = site.catalog.all(select(Snapshot))
    assert first == second == load_snapshot(site, row.digest)
    assert (row.name, row.members, row.digest) == ("chest", 8, first.digest)
    assert len(site.catalog.all(select(SnapshotMember))) == 8
    assert [entry.action for entry in site.audit.entries()] == ["snapshot.freeze"]


def test_no_patient_is_in_two_splits(site: Site) -> None:
    for number in range(24):
        add_volume(site, number, patient=number % 7)
    splits: dict[str, set[str]] = {}
    for member in frozen(site).members:
        splits.setdefault(member.patient_key, set()).add(member.split)
    assert all(len(found) == 1 for found in splits.values())
    assert set().union(*splits.values()) == {"training", "validation", "testing"}


def test_another_study_makes_another_snapshot(site: Site) -> None:
    for number in range(4):
        add_volume(site, number)
    first = frozen(site)
    add_volume(site, 4)
    second = frozen(site)
    assert first.digest != second.digest
    assert load_snapshot(site, first.digest) == first


def test_the_newest_volume_of_a_series_counts(site: Site) -> None:
    add_volume(site, 1)
    newer = add_product(site, "volume", 1, "rebuilt volume of 1")
    (member,) = frozen(site).members
    assert member.volume_digest == newer.digest


def test_what_is_being_deleted_is_in_no_new_snapshot(site: Site) -> None:
    """A frozen one would keep it from being deleted to the end."""
    going = add_volume(site, 1)
    add_volume(site, 2)
    site.catalog.put(
        Tombstone(
            study_key=going.study_key,
            product_id=going.product_id,
            kind="volume",
            uri=going.uri,
            rule="r",
            why="w",
        )
    )
    assert [member.study_key for member in frozen(site).members] == ["st-2"]


def test_a_move_between_tiers_changes_no_digest(site: Site) -> None:
    volume = add_volume(site, 1)
    before = frozen(site)
    with site.catalog.write() as session:
        row = session.get(Product, volume.product_id)
        assert row is not None
        row.uri = "/somewhere/else"
    assert frozen(site).digest == before.digest


def test_an_empty_cohort_is_refused(site: Site) -> None:
    with pytest.raises(NotFound, match="cohort"):
        frozen(site)
    with pytest.raises(NotFound):
        load_snapshot(site, "f" * 64)


def test_of_a_patient_who_is_erased_meanwhile_no_manifest_stays(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, commit = add_volume(site, 1), Zone.commit

    def erased_since(*args: Any) -> None:
        commit(*args)
        with site.catalog.write() as session:
            for table in (Series, Study):
                session.execute(delete(table).where(table.study_key == volume.study_key))
        stone = {"kind": "study", "uri": "catalog", "rule": "erase_patient", "why": "w"}
        site.catalog.put(
            Tombstone(study_key=volume.study_key, product_id="", deleted_at=utc_now(), **stone)
        )

    monkeypatch.setattr(Zone, "commit", erased_since)
    with pytest.raises(NotFound, match="was erased"):
        frozen(site)
    assert not site.zone("datasets").files("snapshots")
    assert not site.catalog.all(select(SnapshotMember))


@pytest.mark.parametrize(
    ("was", "becomes"),
    [('"split":"training"', '"split":"testing"'), ('"seed"', '"sown"'), ("{", "")],
)
def test_a_changed_manifest_is_noticed(site: Site, was: str, becomes: str) -> None:
    add_volume(site, 1)
    manifest = frozen(site)
    (path,) = Path(site.zone("datasets").root).rglob(MANIFEST_NAME)
    text = path.read_text()
    assert was in text
    path.write_text(text.replace(was, becomes, 1))
    with pytest.raises(IntegrityError):
        load_snapshot(site, manifest.digest)


def test_a_labelled_cohort_becomes_a_data_list_that_training_reads(site: Site) -> None:
    for number in range(6):
        add_volume(site, number)
        if number != 5:
            add_label(site, number)
    newer = add_label(site, 0, version="2")
    manifest = frozen(site, Cohort(label="nodule"))
    assert len(manifest.members) == 5
    assert newer.digest in {member.label_digest for member in manifest.members}
    with datalist(site, manifest.digest) as lists:
        parsed = Datalist.from_dict(lists)
        items = [*parsed.training, *parsed.validation]
        assert (Path(items[0].image) / "zarr.json").read_text().startswith("volume of")
        assert (Path(items[0].label) / "zarr.json").read_text().startswith("label")
        assert set(items[0].subgroup) == {"manufacturer", "slices"}
        read = {member.study_key for member in manifest.members if member.split != "testing"}
        # So that none of them is moved to a colder tier meanwhile.
        assert {e.object for e in site.audit.entries() if e.action == "volume.read"} == read
    counts = manifest.counts
    assert len(items) == counts["training"] + counts["validation"]


def test_all_that_lies_in_an_archive_is_asked_for_at_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after another, each is hours away, and the first is gone before the last has come."""
    for number in range(6):
        add_volume(site, number)
        add_label(site, number)
    manifest = frozen(site, Cohort(label="nodule"))
    wanted = [member for member in manifest.members if member.split != "testing"]
    recall, asked = Zone.recall, list[str]()

    def away(zone: Zone, relative: str) -> Stored:
        if wanted[0].study_key in relative or "volume" not in relative:
            return recall(zone, relative)
        asked.append(relative)
        raise NotYet("1 of 1 objects are being recalled", seconds=len(asked))

    count = len(wanted)
    with monkeypatch.context() as patch:
        patch.setattr(Zone, "recall", away)
        with (
            pytest.raises(NotYet, match=f"{count - 1} of {count} products") as wait,
            datalist(site, manifest.digest),
        ):
            pass
    assert len(asked) == wait.value.seconds == count - 1 > 1
    with datalist(site, manifest.digest) as lists:
        assert sum(map(len, lists.values())) == count


def test_a_member_that_was_erased_is_missed(site: Site) -> None:
    for number in range(6):
        add_volume(site, number)
        add_label(site, number)
    manifest = frozen(site, Cohort(label="nodule"))
    with site.catalog.write() as session:
        for row in session.scalars(select(Product)):
            session.delete(row)
    with pytest.raises(NotFound, match="erased"), datalist(site, manifest.digest):
        pass
    assert load_snapshot(site, manifest.digest) == manifest


def test_without_labels_there_is_nothing_to_learn(site: Site) -> None:
    add_volume(site, 1)
    digest = frozen(site).digest
    with pytest.raises(NotFound, match="no labelled volume"), datalist(site, digest):
        pass
