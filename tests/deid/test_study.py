from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset

from hounsfield.deid import (
    Deidentifier,
    Profile,
    Recipe,
    deidentify_folder,
    whole_identity,
)
from hounsfield.dicom.reading import read_header
from hounsfield.dicom.writing import write_dataset
from hounsfield.errors import ConfigError, NotFound
from hounsfield.pseudonyms import Pseudonyms

Make = Callable[..., FileDataset]


def study(make: Make, folder: Path, count: int = 3) -> list[Path]:
    paths = []
    for number in range(count):
        path = folder / "Quillfeather" / f"IM{number}.dcm"
        write_dataset(make(SOPInstanceUID=f"1.2.3.4.5.{number}", InstanceNumber=number), path)
        paths.append(path)
    return paths


def tree(root: Path) -> dict[str, bytes]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def test_a_study_is_written_under_its_new_uids(
    make_dataset: Make, tmp_path: Path, pseudonyms: Pseudonyms
) -> None:
    paths = study(make_dataset, tmp_path / "in")
    report = Deidentifier(Profile.load("research"), pseudonyms).study(paths, tmp_path / "out")
    assert [record.source for record in report.written] == [0, 1, 2]
    for number, record in enumerate(report.written):
        series = pseudonyms.uid("1.2.3.4.5.0")
        instance = pseudonyms.uid(f"1.2.3.4.5.{number}")
        assert record.output == f"{series}/{instance}.dcm"
        dataset = read_header(tmp_path / "out" / record.output)
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID == instance
    assert report.profile_digest == Profile.load("research").digest
    assert "Quillfeather" not in json.dumps(report.to_dict())


@pytest.mark.parametrize("modality", ["CT", "US"])
@pytest.mark.parametrize("profile", ["strict", "bare"])
def test_a_region_that_the_site_names_is_masked_also_where_no_text_is_looked_for(
    profile: str, modality: str, make_dataset: Make, tmp_path: Path, pseudonyms: Pseudonyms
) -> None:
    paths = [tmp_path / f"{number}.dcm" for number in range(2)]
    for number, path in enumerate(paths):
        values = {"SOPInstanceUID": f"1.2.{number}", "SamplesPerPixel": 1, "PixelRepresentation": 0}
        size = {"Rows": 64, "Columns": 64, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
        dataset = make_dataset(Modality=modality, **values, **size)
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.PixelData = bytes([200]) * 640 + bytes(64 * 54)
        write_dataset(dataset, path)
    recipe = Recipe.parse(
        f"FORMAT dicom\n%filter ours\nLABEL name\ncontains Modality {modality}\n"
        "coordinates 0,0,64,10\n"
    )
    rules = Profile(name="bare") if profile == "bare" else Profile.load(profile)
    engine = Deidentifier(rules, pseudonyms, recipe, pixels=False)
    for record in engine.study(paths, tmp_path / "out").written:
        dataset = read_header(tmp_path / "out" / record.output, stop_before_pixels=False)
        assert dataset.PixelData == bytes(64 * 64)
        assert "BurnedInAnnotation" not in dataset
        assert record.pixels.boxes == ((0, 0, 64, 10),)
        assert record.pixels.looked == "none" and record.pixels.reason == "not asked for"


@pytest.mark.parametrize("profile", ["strict", "research"])
def test_a_file_with_a_command_in_it_is_written_without(
    profile: str, make_dataset: Make, tmp_path: Path, pseudonyms: Pseudonyms
) -> None:
    (path,) = study(make_dataset, tmp_path, 1)
    first = b"\x08\0\x16\0UI"  # SOP Class UID
    command = b"\0\0\x01\x10UI\x0c\x001.2.3.4.5.6\0"
    path.write_bytes(path.read_bytes().replace(first, command + first, 1))
    report = Deidentifier(Profile.load(profile), pseudonyms).study([path], tmp_path / "out")
    (record,) = report.written
    assert 0x00001001 not in read_header(tmp_path / "out" / record.output)
    assert record.actions["removed"] > 0


def test_two_runs_give_equal_bytes(
    make_dataset: Make, tmp_path: Path, pseudonyms: Pseudonyms
) -> None:
    paths = study(make_dataset, tmp_path / "in")
    for run in ("one", "two"):
        Deidentifier(Profile.load("research"), pseudonyms).study(paths, tmp_path / run)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_a_name_in_one_file_is_searched_in_all(
    make_dataset: Make, tmp_path: Path, pseudonyms: Pseudonyms
) -> None:
    (path,) = study(make_dataset, tmp_path / "in", 1)
    other = tmp_path / "in" / "other.dcm"
    write_dataset(
        make_dataset(SOPInstanceUID="1.2.9", PatientName="", SeriesDescription="Ottoline knee"),
        other,
    )
    report = Deidentifier(Profile.load("research"), pseudonyms).study([path, other], tmp_path / "o")
    dataset = read_header(tmp_path / "o" / report.instances[1].output)
    assert dataset.SeriesDescription == "knee"


@pytest.mark.parametrize(
    ("said", "is_one"),
    [
        ([{"PatientID": ""}], True),
        ([{"PatientID": None}], True),
        ([{"IssuerOfPatientID": "St. Odile"}], True),
        ([{"IssuerOfPatientID": "St. Odile"}, {"PatientID": ""}], True),
        ([{"PatientID": "MRN-740914"}], False),
        ([{"PatientID": "MRN-740914", "IssuerOfPatientID": "St. Odile"}, {"PatientID": ""}], False),
        ([{"IssuerOfPatientID": "St. Odile"}, {"IssuerOfPatientID": "Elsewhere"}], False),
    ],
)
def test_objects_that_say_less_are_of_the_same_patient(
    said: list[dict[str, str]],
    is_one: bool,
    make_dataset: Make,
    tmp_path: Path,
    pseudonyms: Pseudonyms,
) -> None:
    """Else the dates of one study would move by different days."""
    paths = [tmp_path / f"{number}.dcm" for number in range(len(said) + 1)]
    for number, (values, path) in enumerate(zip([{}, *said], paths, strict=True)):
        write_dataset(make_dataset(SOPInstanceUID=f"1.2.3.4.5.{number}", **values), path)
    report = Deidentifier(Profile.load("research"), pseudonyms).study(paths, tmp_path / "out")
    outputs = [read_header(tmp_path / "out" / record.output) for record in report.written]
    days = {output.StudyDate for output in outputs}
    patients = {output.PatientID for output in outputs}
    assert (len(days) == 1, len(patients) == 1) == (is_one, is_one)


def test_the_file_meta_and_preamble_are_new(
    make_dataset: Make, tmp_path: Path, pseudonyms: Pseudonyms
) -> None:
    dataset = make_dataset()
    dataset.file_meta.SourceApplicationEntityTitle = "QUILLFEATHER"
    dataset.file_meta.PrivateInformationCreatorUID = "1.2.3.4.77777"
    dataset.file_meta.PrivateInformation = b"Quillfeather"
    dataset.preamble = b"Quillfeather".ljust(128, b"\0")
    path = tmp_path / "in.dcm"
    dataset.save_as(path, enforce_file_format=True)
    Deidentifier(Profile.load("research"), pseudonyms).study([path], tmp_path / "out")
    (data,) = tree(tmp_path / "out").values()
    assert b"quillfeather" not in data.lower()
    assert b"77777" not in data


def test_a_folder_keeps_its_layout_and_tells_every_file(
    make_dataset: Make, tmp_path: Path, pseudonyms: Pseudonyms
) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    study(make_dataset, source)
    (source / "notes.txt").write_text("Quillfeather")
    told: list[tuple[int, int]] = []
    report = deidentify_folder(
        source,
        target,
        profile=Profile.load("strict"),
        pseudonyms=pseudonyms,
        progress=lambda done, total: told.append((done, total)),
    )
    assert (report.written, report.refused) == (3, 1)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [entry["input"] for entry in report.files] == sorted(tree(source))
    body = json.loads((target / "report.json").read_text())
    assert "must not travel" in body["note"]
    assert body["files"] == json.loads(json.dumps(report.files))
    outputs = [entry["output"] for entry in report.files if entry["output"]]
    assert sorted(outputs) == sorted(set(tree(target)) - {"report.json"})
    assert all("quillfeather" not in name.lower() and name.count("/") == 1 for name in outputs)
    refused = next(entry for entry in report.files if not entry["output"])
    assert refused["code"] == "unreadable-file"
    assert refused["reason"]


def test_what_an_earlier_run_wrote_goes_where_there_is_no_output_now(
    make_dataset: Make, pseudonyms: Pseudonyms, tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "clean"
    paths = study(make_dataset, source)
    profile = Profile.load("strict")
    deidentify_folder(source, target, profile=profile, pseudonyms=pseudonyms, pixels=False)
    assert len(list(target.rglob("*.dcm"))) == 3
    paths[0].write_bytes(paths[0].read_bytes()[:-7])
    report = deidentify_folder(source, target, profile=profile, pseudonyms=pseudonyms, pixels=False)
    outputs = {entry["output"] for entry in report.files if entry["output"]}
    assert set(tree(target)) == {*outputs, "report.json"} and len(outputs) == 2


def test_places_that_cannot_be(tmp_path: Path, pseudonyms: Pseudonyms) -> None:
    profile = Profile.load("strict")
    with pytest.raises(NotFound):
        deidentify_folder(tmp_path / "no", tmp_path / "out", profile=profile, pseudonyms=pseudonyms)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError):
        deidentify_folder(tmp_path, tmp_path / "out", profile=profile, pseudonyms=pseudonyms)


@pytest.mark.parametrize("profile", ["strict", "research"])
def test_who_leaves_out_the_issuer_means_the_one_that_others_name(
    profile: str, make_dataset: Make, pseudonyms: Pseudonyms, tmp_path: Path
) -> None:
    """One patient of one study has one pseudonym, and dates that move together."""
    paths = []
    for number, issuer in enumerate(["", "ST ODILE", ""]):
        dataset = make_dataset(SOPInstanceUID=f"1.2.3.4.5.{number}", IssuerOfPatientID=issuer)
        dataset.SeriesInstanceUID = f"1.2.3.4.5.{number}.0"
        paths.append(tmp_path / f"{number}.dcm")
        write_dataset(dataset, paths[-1])
    engine = Deidentifier(Profile.load(profile), pseudonyms, pixels=False)
    written = engine.study(paths, tmp_path / "out").written
    outputs = [read_header(tmp_path / "out" / record.output) for record in written]
    assert {one.PatientID for one in outputs} == {pseudonyms.patient_key("MRN-740913", "ST ODILE")}
    assert len({one.StudyDate for one in outputs}) == 1


def test_two_issuers_of_one_number_are_two_patients() -> None:
    patients = {("4711", "A"), ("4711", "B"), ("4712", "A")}
    assert whole_identity(("4711", ""), patients) == ("4711", "")
    assert whole_identity(("4712", ""), patients) == ("4712", "A")
