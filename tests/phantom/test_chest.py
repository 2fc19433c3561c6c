"""A chest is where and what its ground truth says."""

from __future__ import annotations

import numpy as np
import pytest

from hounsfield.phantom import ChestPhantom, chest_volume

SEEDS = (1, 4, 11)


@pytest.fixture(scope="module", params=SEEDS)
def chest(request: pytest.FixtureRequest) -> ChestPhantom:
    return chest_volume(request.param, lesions=3)


def test_one_seed_one_chest() -> None:
    again = chest_volume(SEEDS[0], lesions=3)
    other = chest_volume(SEEDS[0] + 1, lesions=3)
    assert np.array_equal(again.hu, chest_volume(SEEDS[0], lesions=3).hu)
    assert not np.array_equal(again.hu, other.hu)
    assert again.lesions != other.lesions


def test_the_same_patient_at_any_resolution() -> None:
    coarse = chest_volume(4, lesions=2)
    fine = chest_volume(4, lesions=2, shape=(120, 240, 240), spacing_zyx=(2.4, 1.6, 1.6))
    for a, b in zip(coarse.lesions, fine.lesions, strict=True):
        assert a.centre_lps == pytest.approx(b.centre_lps)
        assert (a.diameter_mm, a.hu) == (b.diameter_mm, b.hu)
    assert coarse.emphysema_share == pytest.approx(fine.emphysema_share, abs=0.03)


def test_types_and_axes(chest: ChestPhantom) -> None:
    assert chest.hu.dtype == np.int16
    assert chest.hu.shape == chest.lung_mask.shape == chest.lesion_mask.shape == (96, 192, 192)
    assert -1024 <= chest.hu.min() < chest.hu.max() <= 3071
    assert np.allclose(np.diag(chest.affine), (2, 2, 3, 1))
    # Feet first: the first slice shows liver, not lung, the last shows neck; the spine,
    # which is bright, lies behind.
    profile = chest.lung_mask.mean(axis=(1, 2))
    assert profile[0] < profile[48] > profile[-1]
    bone = np.argwhere(chest.hu[48] > 300)
    assert np.median(bone[:, 0]) > 96


def test_lesions_are_where_they_are_said_to_be(chest: ChestPhantom) -> None:
    assert len(chest.lesions) == 3
    to_lps = chest.affine[:3, :3] @ np.indices(chest.hu.shape)[::-1].reshape(3, -1)
    to_lps = to_lps + chest.affine[:3, 3:]
    for lesion in chest.lesions:
        distance = np.linalg.norm(to_lps - np.array(lesion.centre_lps)[:, None], axis=0)
        distance = distance.reshape(chest.hu.shape)
        core = chest.hu[distance < max(2.2, lesion.diameter_mm / 2 - 2)]
        assert core.mean() > -150
        around = (distance > lesion.diameter_mm / 2 + 2) & (distance < lesion.diameter_mm / 2 + 6)
        assert np.median(chest.hu[around & chest.lung_mask]) < -700
        assert np.all(chest.lesion_mask[distance < 2.2] == lesion.label)


def test_lesion_masks_have_the_size_of_their_spheres() -> None:
    chest = chest_volume(1, shape=(150, 320, 320), spacing_zyx=(2.0, 1.2, 1.2), lesions=3)
    voxel = np.prod(chest.spacing_zyx)
    for lesion in chest.lesions:
        volume = np.count_nonzero(chest.lesion_mask == lesion.label) * voxel
        assert volume == pytest.approx(np.pi / 6 * lesion.diameter_mm**3, rel=0.25)
    assert np.all(chest.lung_mask[chest.lesion_mask > 0])


def test_nodules_are_not_the_only_bright_things(chest: ChestPhantom) -> None:
    vessels = chest.lung_mask & (chest.lesion_mask == 0) & (chest.hu > -400)
    lesions = chest.lung_mask & (chest.lesion_mask > 0) & (chest.hu > -400)
    assert np.count_nonzero(vessels) > np.count_nonzero(lesions)


def test_a_chest_may_be_healthy() -> None:
    chest = chest_volume(5, lesions=0, emphysema=0.0)
    assert chest.lesions == ()
    assert not chest.lesion_mask.any()
    assert chest.emphysema_share < 0.002


def test_lungs_have_the_volume_and_density_of_an_adult(chest: ChestPhantom) -> None:
    litres = np.count_nonzero(chest.lung_mask) * np.prod(chest.spacing_zyx) / 1e6
    assert 3 < litres < 8
    assert -920 < np.median(chest.hu[chest.lung_mask]) < -780


@pytest.mark.parametrize("wanted", [0.05, 0.15, 0.35])
def test_emphysema_is_the_share_that_was_asked_for(wanted: float) -> None:
    chest = chest_volume(6, emphysema=wanted, lesions=0, noise_hu=0.0)
    assert chest.emphysema_share == pytest.approx(wanted, abs=0.04)
    seen = (chest.hu[chest.lung_mask] < -950).mean()
    assert seen == pytest.approx(chest.emphysema_share, abs=0.01)


def test_contrast_makes_blood_bright() -> None:
    plain, enhanced = (chest_volume(8, contrast=choice, noise_hu=0.0) for choice in (False, True))
    soft = plain.hu > 0
    assert enhanced.hu[soft].mean() > plain.hu[soft].mean() + 10


def test_noise_is_as_strong_as_it_was_asked_to_be() -> None:
    clean, noisy = (chest_volume(9, noise_hu=noise, table=False) for noise in (0.0, 20.0))
    difference = (noisy.hu - clean.hu).astype(float)
    inside = clean.hu > -500  # elsewhere -1024 cuts it off
    assert 20 < difference[inside].std() < 32
