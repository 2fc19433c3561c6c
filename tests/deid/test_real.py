"""Real files: identities gone, pixels as they were, and nothing newly wrong."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from hounsfield.deid import Deidentifier, Profile, Recipe, deidentify_folder
from hounsfield.dicom.reading import read_header
from hounsfield.pseudonyms import Pseudonyms
from tests.deid.burned_in import CLEAN, WRITTEN, Judged, judge
from tests.deid.pixels.drawing import read_words

pytestmark = pytest.mark.data

# Folder → what stands burned into its pixels.
BURNED = {
    "us_mindray_burned": ("BELLE", "1811492", "1988", "SPECIALISTS"),
    "phi_ct_burned": ("KAUFMAN", "SCOTT", "1943"),
    "ct_dose_sc_burned": ("PLASTIC", "TRAUMA", "2015"),
    "us_atl_burned": ("WEDNESDAY", "MARCH", "SCOTT", "29MAR00", "METIS"),
    "us_us1": ("BAPTIST", "MED CTR", "LYMPH"),
    "us_palette_ob": ("PHILIPS", "5/25/2011", "142825"),
    "us_ge_cine_burned": ("ELEK", "TESZT", "267879", "MAGZATI", "2020"),
}

# Of folders that hold one picture in many encodings, a file for the minutes that tests may take;
# the bench looks at all.
ONE = {
    "charset_clunie_sc": "SCSARAB",
    "syn_nm1": "NM1_UNC.dcm",
    "us_echo_10f": "US-PAL-8-10x-echo.dcm",
    "us_palette_ob": "OBXXXX1A_expb.dcm",
    "us_us1": "US1_UNCR.dcm",
}

# Of folders whose files are each another kind of object, all are looked at.
OBJECTS = {"obj_ecg", "obj_highdicom", "obj_parametric_map", "obj_rt_breast", "obj_rt_small"}
SMALL = 1 << 19  # bytes


def deidentify(
    source: Path, target: Path, pseudonyms: Pseudonyms, profile: str, *, pixels: bool
) -> dict[str, Path]:
    """Input → output, for what was written."""
    report = deidentify_folder(
        source, target, profile=Profile.load(profile), pseudonyms=pseudonyms, pixels=pixels
    )
    for entry in report.files:
        assert bool(entry["output"]) != bool(entry.get("reason")), entry["input"]
    return {entry["input"]: target / entry["output"] for entry in report.files if entry["output"]}


@pytest.fixture(scope="module")
def judged(
    real_data: Path, tmp_path_factory: pytest.TempPathFactory, pseudonyms: Pseudonyms
) -> Callable[[str], Judged]:
    """De-identifies a folder once, pixels and all, and compares it with what stands there."""

    @cache
    def once(folder: str) -> Judged:
        source = real_data / folder / ONE.get(folder, "")
        return judge(source, tmp_path_factory.mktemp(folder), pseudonyms)

    return once


@pytest.mark.parametrize("folder", BURNED)
def test_burned_in_identities_are_gone(folder: str, judged: Callable[[str], Judged]) -> None:
    outputs = judged(folder).outputs
    assert outputs
    for output in outputs:
        dataset = read_header(output, stop_before_pixels=False)
        assert dataset.BurnedInAnnotation == "NO"
        words = read_words(dataset).upper()
        assert not [word for word in BURNED[folder] if word in words]


@pytest.mark.parametrize("folder", WRITTEN)
def test_text_is_masked_and_markers_stay(folder: str, judged: Callable[[str], Judged]) -> None:
    tallies = judged(folder).tallies.values()
    assert sum(tally.text for tally in tallies)
    for tally in tallies:
        assert tally.recall >= 0.99, tally.missed
        assert (tally.kept, tally.false, tally.refused) == (tally.markers, 0, 0), tally.missed


@pytest.mark.parametrize("folder", CLEAN)
def test_clean_pictures_keep_their_bytes(folder: str, judged: Callable[[str], Judged]) -> None:
    """And markers: one lies on cr_hand_j2k. What cannot be decoded is refused."""
    tallies = judged(folder).tallies.values()
    assert sum(tally.clean for tally in tallies)
    for tally in tallies:
        assert (tally.false, tally.kept) == (0, tally.markers), tally.missed


@pytest.fixture(scope="module")
def few(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """At most two files of each folder, since every folder is another case; all small objects."""
    root = tmp_path_factory.mktemp("few")
    for folder in sorted(path for path in real_data.iterdir() if path.is_dir()):
        (root / folder.name).mkdir()
        most = None if folder.name in OBJECTS else 2
        for path in sorted(p for p in folder.rglob("*") if p.is_file())[:most]:
            shutil.copyfile(path, root / folder.name / path.name)
    return root


@pytest.mark.parametrize("profile", ["strict", "research", "internal"])
def test_headers_of_all_folders(
    profile: str,
    few: Path,
    tmp_path: Path,
    pseudonyms: Pseudonyms,
    need_program: Callable[[str], str],
) -> None:
    outputs = deidentify(few, tmp_path, pseudonyms, profile, pixels=False)
    assert len(outputs) > 70
    dciodvfy = need_program("dciodvfy")
    for name, output in outputs.items():
        before = read_header(few / name, stop_before_pixels=False)
        after = read_header(output, stop_before_pixels=False)
        if "PixelData" in before:
            content = before.PixelData
            assert after.PixelData == content + b"\0" * (len(content) % 2), name
        assert old_uids(before).isdisjoint(old_uids(after)), name
        if profile == "research":
            new = errors(dciodvfy, output) - errors(dciodvfy, few / name)
            assert not new, name


def test_a_mask_makes_no_object_wrong(
    few: Path, tmp_path: Path, pseudonyms: Pseudonyms, need_program: Callable[[str], str]
) -> None:
    """Its ImageType is another then."""
    dciodvfy = need_program("dciodvfy")
    recipe = Recipe.parse("FORMAT dicom\n%filter a\nLABEL b\npresent Rows\ncoordinates 0,0,8,8")
    engine = Deidentifier(Profile.load("research"), pseudonyms, recipe, pixels=False)
    masked, wrong = 0, []
    for path in sorted(path for path in few.rglob("*.dcm") if path.stat().st_size < SMALL):
        for record in engine.study([path], tmp_path).written:
            output = tmp_path / record.output
            if record.pixels.boxes:
                masked += 1
                wrong += errors(dciodvfy, output) - errors(dciodvfy, path)
    assert masked > 20
    assert not wrong


def old_uids(dataset: object) -> set[str]:
    """UIDs of things (not of classes, syntaxes and vocabularies) at any depth."""
    return {
        str(element.value)
        for element in dataset.iterall()  # type: ignore[attr-defined]
        if element.keyword
        in (
            "SOPInstanceUID",
            "SeriesInstanceUID",
            "StudyInstanceUID",
            "FrameOfReferenceUID",
            "ReferencedSOPInstanceUID",
            "DimensionOrganizationUID",
            "TrackingUID",
        )
        and element.value
        and not str(element.value).startswith("1.2.840.10008.")
    }


def errors(dciodvfy: str, path: Path) -> Counter[str]:
    """Errors of dciodvfy, without the UIDs that they quote."""
    told = subprocess.run([dciodvfy, str(path)], capture_output=True, timeout=60).stderr
    lines = told.decode(errors="replace").splitlines()
    return Counter(re.sub(r"<[\d.]+>", "<>", line) for line in lines if line.startswith("Error"))


def test_malformed_files_end_with_a_reason(
    real_data: Path, tmp_path: Path, pseudonyms: Pseudonyms
) -> None:
    for folder in ("bad_pydicom", "bad_orthanc", "dicomdir_fileset"):
        target = tmp_path / folder
        report = deidentify_folder(
            real_data / folder, target, profile=Profile.load("strict"), pseudonyms=pseudonyms
        )
        for entry in report.files:
            assert bool(entry["output"]) != bool(entry.get("reason"))
            assert "Traceback" not in entry.get("reason", "")
        assert report.refused
