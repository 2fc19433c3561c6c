"""Crops: the right voxels in the right place, the same ones however they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # noqa: TID253
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from hounsfield.datasets import Cohort, Fractions, freeze
from hounsfield.datasets.crops import Crops, Share, crops_of, loader
from hounsfield.errors import ConfigError, GeometryError, ModelError
from hounsfield.records import RunContext
from hounsfield.site import Site
from hounsfield.volume import Volume, build_volume
from tests.datasets.conftest import add_volume
from tests.volume.series import ct_slice

SIZE = (3, 4, 4)


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    root, made = tmp_path_factory.mktemp("volumes"), []
    for number in range(5):
        slices = [ct_slice(index) for index in range(6 + number)]
        for dataset in slices:
            dataset.RescaleIntercept = -1000 - number
        volume = build_volume(slices, root / f"{number}.zarr", provenance={})
        label = root / f"{number}-label.zarr"
        zarr.save_array(str(label), (volume.array[:] % 7 == 0).astype(np.uint8))
        made.append(
            {"image": str(volume.path), "label": str(label), "subgroup": {"n": str(number)}}
        )
    return made


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_a_crop_is_where_it_says(items: list[dict[str, Any]], cache_bytes: int) -> None:
    crops = Crops(items, seed=3, size_zyx=SIZE, cache_bytes=cache_bytes)
    assert len(crops) == 20
    starts = set()
    for number in range(40):
        crop = crops[number]
        volume = Volume.open(Path(items[int(crop["subgroup"]["n"])]["image"]))
        box = tuple(slice(at, at + n) for at, n in zip(crop["start_zyx"], SIZE, strict=True))
        np.testing.assert_array_equal(crop["image"][0].numpy(), volume.rescaled()[box])
        np.testing.assert_array_equal(crop["label"][0].numpy(), volume.array[box] % 7 == 0)
        first = crop["image"].affine.numpy() @ [0, 0, 0, 1]
        z, y, x = crop["start_zyx"]
        np.testing.assert_allclose(first[:3] * [-1, -1, 1], (volume.affine @ [x, y, z, 1])[:3])
        starts.add(crop["start_zyx"])
    assert len(starts) > 10


def test_seed_and_number_make_a_crop(items: list[dict[str, Any]]) -> None:
    one, two, other = (Crops(items, seed=seed, size_zyx=SIZE) for seed in (1, 1, 2))
    numbers = [17, 3, 99, 3]
    for number in numbers:
        assert torch.equal(one[number]["image"], two[number]["image"])
    assert any(one[n]["start_zyx"] != other[n]["start_zyx"] for n in range(20))


def test_each_volume_is_visited_once_an_epoch(items: list[dict[str, Any]]) -> None:
    crops = Crops(items, seed=0, size_zyx=SIZE, per_visit=2)
    orders = []
    for epoch in range(4):
        seen = [crops[number]["subgroup"]["n"] for number in Share(crops, epoch=epoch)]
        assert seen[::2] == seen[1::2]
        assert sorted(seen[::2]) == list("01234")
        orders.append(tuple(seen))
    assert len(set(orders)) > 1


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 5))
def test_ranks_share_without_overlap(
    items: list[dict[str, Any]], ranks: int, per_visit: int, epoch: int
) -> None:
    crops = Crops(items, seed=0, size_zyx=SIZE, per_visit=per_visit)
    shares = [list(Share(crops, epoch=epoch, rank=rank, ranks=ranks)) for rank in range(ranks)]
    assert len({len(share) for share in shares}) == 1
    together = [number for share in shares for number in share]
    assert len(set(together)) == len(together) == 5 // ranks * ranks * per_visit
    assert {number // len(crops) for number in together} == {epoch}


def test_workers_give_the_same_batches(items: list[dict[str, Any]]) -> None:
    crops = Crops(items, seed=5, size_zyx=SIZE)
    here, there = (
        list(loader(crops, epoch=1, batch_size=3, workers=workers, rank=1, ranks=2))
        for workers in (0, 1)
    )
    assert len(here) == len(there) == 3
    assert here[0]["image"].shape == (3, 1, *SIZE)
    assert here[0]["image"].affine.shape == (3, 4, 4)
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one["image"], other["image"])
        assert one["start_zyx"] == other["start_zyx"]


def test_a_small_volume_is_filled_up(items: list[dict[str, Any]]) -> None:
    crop = Crops(items[:1], seed=0, size_zyx=(8, 8, 8))[0]
    assert crop["start_zyx"] == (0, 0, 0)
    volume = Volume.open(Path(items[0]["image"]))
    np.testing.assert_array_equal(crop["image"][0, :6, :6, :5].numpy(), volume.rescaled())
    assert (crop["image"][0, 6:].numpy() == -1024).all()
    assert not crop["label"][0, 6:].any()


def test_random_transforms_are_seeded_by_the_number(items: list[dict[str, Any]]) -> None:
    from monai.transforms import Compose, RandGaussianNoised

    noise = Compose([RandGaussianNoised(keys="image", prob=1.0)])
    one, two = (Crops(items, seed=1, size_zyx=SIZE, transform=noise) for _ in range(2))
    again = [two[number]["image"] for number in (2, 1, 0)][::-1]
    for number, image in enumerate(again):
        assert torch.equal(one[number]["image"], image)
    assert not torch.equal(again[0], Crops(items, seed=1, size_zyx=SIZE)[0]["image"])


def test_what_cannot_be_is_refused(items: list[dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Crops([], seed=0)
    with pytest.raises(ConfigError, match="rank 2 of 2"):
        Share(Crops(items, seed=0), rank=2, ranks=2)
    slices = [ct_slice(index) for index in (0, 1, 2, 3)]
    slices[3].ImagePositionPatient[2] += 0.7
    build_volume(slices, tmp_path / "uneven", provenance={})
    with pytest.raises(GeometryError, match="not equally far apart"):
        Crops([{"image": tmp_path / "uneven"}], seed=0)[0]
    for dataset in (slices := slices[:3]):
        del dataset.RescaleSlope, dataset.RescaleIntercept
        dataset.ModalityLUTSequence = [Dataset()]
    build_volume(slices, tmp_path / "table", provenance={})
    with pytest.raises(ModelError, match="their unit by a table"):
        Crops([{"image": tmp_path / "table"}], seed=0)[0]
    zarr.save_array(str(tmp_path / "label.zarr"), np.zeros((2, 2, 2), np.uint8))
    with pytest.raises(ModelError, match="a label has the shape"):
        Crops([{**items[0], "label": tmp_path / "label.zarr"}], seed=0)[0]
    many = np.full(Volume.open(Path(items[0]["image"])).shape, 256, np.uint16)
    zarr.save_array(str(tmp_path / "many.zarr"), many)
    with pytest.raises(ModelError, match="classes beyond"):
        Crops([{**items[0], "label": tmp_path / "many.zarr"}], seed=0)[0]


def test_a_snapshot_gives_crops(site: Site, items: list[dict[str, Any]]) -> None:
    add_volume(site, 1)
    everything = Fractions(1.0, 0.0, 0.0)
    frozen = freeze(
        site, name="all", cohort=Cohort(), seed=0, fractions=everything, run=RunContext()
    )
    with crops_of(site, frozen.digest, seed=0, labelled=False) as crops:
        (item,) = crops.items
        assert item["image"].endswith("volume.ome.zarr")
        assert "label" not in item
