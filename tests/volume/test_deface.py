"""De-facing: the face is gone, the brain is not, and the volume says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from hounsfield.errors import GeometryError
from hounsfield.volume import Volume, build_volume
from hounsfield.volume.deface import METHOD, shows_a_head
from tests.volume.series import ct_slice

SPACING = np.array([2.5, 2.0, 2.0])  # (z, y, x), mm
SHAPE = (104, 120, 96)
AIR, SOFT, BRAIN, BONE = -1000, 40, 35, 900


def head() -> tuple[np.ndarray, np.ndarray, dict[str, tuple[float, float, float]]]:
    """HU, where the brain is, and points of the face in LPS mm.

    Origin in the middle of the brain; the head looks to -y, as in LPS.
    """
    z, y, x = ((np.arange(size) - size / 2) * mm for size, mm in zip(SHAPE, SPACING, strict=True))
    z, y, x = z[:, None, None] - 40, y[None, :, None], x[None, None, :]
    z = z + 20
    hu = np.full(SHAPE, AIR, np.int16)

    def ellipsoid(centre: tuple[float, float, float], radii: tuple[float, float, float]):  # type: ignore[no-untyped-def]
        parts = zip((x, y, z), centre, radii, strict=True)
        return sum(((axis - at) / radius) ** 2 for axis, at, radius in parts) <= 1

    skull, brain = ellipsoid((0, 0, 0), (72, 88, 72)), ellipsoid((0, 0, 0), (66, 82, 66))
    hu[(np.abs(x) < 55) & (y > -30) & (y < 60) & (z < -50)] = SOFT  # neck
    hu[ellipsoid((0, -45, -65), (58, 55, 62))] = SOFT  # face
    hu[ellipsoid((0, 0, 0), (77, 93, 77))] = SOFT  # scalp
    hu[skull] = BONE
    hu[brain] = BRAIN
    face = {
        "nose": (0.0, -108.0, -60.0),
        "left eye": (30.0, -92.0, -45.0),
        "right eye": (-30.0, -92.0, -45.0),
        "lips": (0.0, -96.0, -80.0),
        "chin": (0.0, -85.0, -100.0),
    }
    for at in face.values():
        hu[ellipsoid(at, (9, 9, 9))] = SOFT
    hu[ellipsoid((0, 15, -62), (14, 14, 14))] = SOFT  # the foramen magnum
    return hu, brain & (hu == BRAIN), face


def series(hu: np.ndarray, **values: object) -> list[Dataset]:
    slices = []
    for index, plane in enumerate(hu):
        dataset = ct_slice(index, shape=plane.shape)
        z = (index - SHAPE[0] / 2) * SPACING[0] - 20
        dataset.ImagePositionPatient = [-SHAPE[2], -SHAPE[1], z]
        dataset.PixelSpacing = [2.0, 2.0]
        dataset.BodyPartExamined = "HEAD"
        dataset.PixelData = (plane + 1024).astype("<i2").tobytes()
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
        slices.append(dataset)
    return slices


def voxel(volume: Volume, at: tuple[float, float, float]) -> tuple[int, int, int]:
    x, y, z = (np.linalg.inv(volume.affine) @ (*at, 1))[:3].round().astype(int).tolist()
    return z, y, x


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_the_face_goes_and_the_brain_stays(modality: str, tmp_path: Path) -> None:
    hu, brain, face = head()
    if modality == "MR":
        hu = np.select([hu == BONE, brain, hu == SOFT], [20, 400, 700], 0).astype(np.int16)
    values = {"Modality": modality, "RescaleIntercept": -1024}
    if modality == "MR":
        values["SOPClassUID"] = "1.2.840.10008.5.1.4.1.1.4"
    volume = build_volume(series(hu, **values), tmp_path / "v", provenance={}, deface=True)
    after = volume.array[:].astype(int) - 1024
    assert np.array_equal(after[brain], hu[brain])
    for at in face.values():
        place = voxel(volume, at)
        assert hu[place] == (700 if modality == "MR" else SOFT)
        assert after[place] == hu.min()
    volume.verify()
    assert volume.metadata["deface"]["done"]
    # Seen from the front, nothing of the face's surface is where it was.
    low, high = voxel(volume, (0, 0, -105))[0], voxel(volume, (0, 0, -55))[0]
    assert (depth_mm(after, low, high) - depth_mm(hu, low, high) > 15).all()


def depth_mm(values: np.ndarray, low: int, high: int) -> np.ndarray:
    """How far the first tissue lies behind the front of the volume, for slices of the face."""
    tissue = values[low:high, :, SHAPE[2] // 2 - 15 : SHAPE[2] // 2 + 15] > values.min() + 100
    return np.where(tissue.any(axis=1), tissue.argmax(axis=1), SHAPE[1]) * SPACING[1]


def test_the_volume_says_what_was_done(tmp_path: Path) -> None:
    hu, _, _ = head()
    plain = build_volume(series(hu), tmp_path / "plain", provenance={})
    cut = build_volume(series(hu), tmp_path / "cut", provenance={}, deface=True)
    again = build_volume(series(hu), tmp_path / "again", provenance={}, deface=True)
    assert "deface" not in plain.metadata
    assert cut.metadata["deface"]["method"] == METHOD
    assert cut.digest == again.digest != plain.digest


def test_what_is_no_head_is_left_alone(tmp_path: Path) -> None:
    hu, _, _ = head()
    slices = series(hu, BodyPartExamined="CHEST")
    volume = build_volume(slices, tmp_path / "v", provenance={}, deface=True)
    assert np.array_equal(volume.array[:].astype(int) - 1024, hu)
    assert not volume.metadata["deface"]["done"]
    assert "head" in volume.metadata["deface"]["reason"]


def test_a_head_without_a_brain_makes_no_volume(tmp_path: Path) -> None:
    hu, _, _ = head()
    hu[hu == BONE] = SOFT  # nothing encloses a brain
    with pytest.raises(GeometryError, match="no brain"):
        build_volume(series(hu), tmp_path / "v", provenance={}, deface=True)
    assert not (tmp_path / "v").exists()


@pytest.mark.parametrize(
    ("values", "is_head"),
    [
        ({"Modality": "CT", "BodyPartExamined": "HEAD"}, True),
        ({"Modality": "MR", "StudyDescription": "IRM cérébrale, neuro-crâne"}, True),
        ({"Modality": "CT", "BodyPartExamined": "CHEST", "ProtocolName": "1A TRAUMA /Head"}, True),
        ({"Modality": "CT", "BodyPartExamined": "CHEST"}, False),
        ({"Modality": "PT", "BodyPartExamined": "BRAIN"}, False),
    ],
)
def test_heads_by_what_they_say(values: dict[str, str], is_head: bool) -> None:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    assert shows_a_head(dataset) is is_head


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "inside", "outside"),
    [
        # Points by hand, LPS mm: of the brain's place, and of the face's surface.
        ("ct_head_phantom", [(-5, 100, 750), (-5, 45, 740)], [(-5, 24, 681), (25, 43, 694)]),
        ("mr_brain_flair", [(-5, -55, 10), (30, 30, 20)], [(-7, -105, -39), (23, -81, -37)]),
    ],
)
def test_real_heads(
    folder: str,
    inside: list[tuple[float, float, float]],
    outside: list[tuple[float, float, float]],
    real_data: Path,
    tmp_path: Path,
) -> None:
    paths = sorted(path for path in (real_data / folder).rglob("*") if path.is_file())
    plain = build_volume(paths, tmp_path / "plain", provenance={})
    cut = build_volume(paths, tmp_path / "cut", provenance={}, deface=True)
    before, after = plain.array[:], cut.array[:]
    assert 0.005 < (before != after).mean() < 0.2
    assert cut.metadata["deface"]["done"]
    for at in inside:
        assert after[voxel(cut, at)] == before[voxel(cut, at)]
    for at in outside:
        assert before[voxel(cut, at)] > before.min()
        assert after[voxel(cut, at)] == before.min()
