"""What is copied from slice to slice is what cleaning each by itself gives, byte for byte."""

from __future__ import annotations

import struct
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import FileDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from hounsfield.deid import Deidentifier, Profile, StudyReport
from hounsfield.deid.pixels import Look
from hounsfield.deid.plan import Rule
from hounsfield.deid.recipe import Recipe
from hounsfield.deid.repeats import Repeats, Slice
from hounsfield.deid.walker import Walker
from hounsfield.dicom.reading import read_header
from hounsfield.dicom.writing import file_header, write_dataset
from hounsfield.pseudonyms import Pseudonyms
from tests.deid.test_raw import CT, HEAD, element

Make = Callable[..., FileDataset]
KEYS = Pseudonyms(bytes(range(32)), project="tests")


@contextmanager
def without_repeats() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Repeats, "read", lambda *_: None)
        yield


def cleaned(engine: Deidentifier, paths: list[Path], out: Path) -> tuple[StudyReport, list[bytes]]:
    report = engine.files(paths, out, lambda index, *_: f"{index}.dcm")
    return report, [(out / record.output).read_bytes() for record in report.written]


def assert_no_difference(engine: Deidentifier, paths: list[Path], out: Path) -> None:
    repeated = cleaned(engine, paths, out / "repeated")
    with without_repeats():
        each = cleaned(engine, paths, out / "each")
    assert repeated == each


def walks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many elements of the top level are walked, object by object."""
    counted: list[int] = []
    before = Walker.walk_each

    def walk_each(self: Walker, dataset: Any, tags: Any) -> Any:
        counted.append(len(list(tags)))
        return before(self, dataset, tags)

    monkeypatch.setattr(Walker, "walk_each", walk_each)
    return counted


def series(make: Make, folder: Path, *slices: dict[str, Any]) -> list[Path]:
    paths = []
    for number, values in enumerate(slices):
        uid = f"1.2.3.4.5.{number}"
        base = {"SOPInstanceUID": uid, "PixelRepresentation": 0, "InstanceNumber": number}
        paths.append(folder / f"{number}.dcm")
        write_dataset(make(**{**base, **values}), paths[-1])
    return paths


@pytest.mark.data
@pytest.mark.parametrize("profile", ["strict", "research", "internal"])
def test_real_studies_come_out_the_same(real_data: Path, tmp_path: Path, profile: str) -> None:
    engine = Deidentifier(Profile.load(profile), KEYS, pixels=False)
    for folder in sorted(path for path in real_data.iterdir() if path.is_dir()):
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        assert_no_difference(engine, paths[:24], tmp_path / folder.name)


@pytest.mark.data
def test_a_real_stack_comes_out_the_same_with_its_pixels_looked_at(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Deidentifier(Profile.load("research"), KEYS)
    paths = sorted((real_data / "ct_head_phantom").iterdir())[:8]
    assert_no_difference(engine, paths, tmp_path)
    counted = walks(monkeypatch)
    cleaned(engine, paths, tmp_path / "again")
    assert counted[0] > 50 > 12 > max(counted[1:])


def test_only_what_differs_is_walked(
    make_dataset: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = series(make_dataset, tmp_path, {}, {}, {"ContentTime": "101113"})
    counted = walks(monkeypatch)
    engine = Deidentifier(Profile.load("research"), KEYS, pixels=False)
    cleaned(engine, paths, tmp_path / "out")
    # SOPInstanceUID and InstanceNumber; of the last also a time.
    assert counted == [counted[0], 2, 3]
    assert counted[0] > 20


@pytest.mark.parametrize(
    "values",
    [
        {"PatientID": "MRN-2"},
        {"IssuerOfPatientID": "Other"},
        {"SpecificCharacterSet": "ISO_IR 100"},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"},
        {"PixelRepresentation": 1},
        {"SeriesInstanceUID": "1.2.3.4.5.9"},
        {"DeidentificationMethod": "by somebody"},
        {"Manufacturer": "Brackenbury"},
    ],
)
def test_another_context_is_another_object(
    make_dataset: Make, tmp_path: Path, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = series(make_dataset, tmp_path, {}, values)
    engine = Deidentifier(Profile.load("research"), KEYS, pixels=False)
    assert_no_difference(engine, paths, tmp_path)
    counted = walks(monkeypatch)
    cleaned(engine, paths, tmp_path / "again")
    assert min(counted) > 20, "nothing is taken over from it"


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("pixels", [b"", None])
def test_a_slice_without_pixels_is_not_taken_for_one_with(
    make_dataset: Make, tmp_path: Path, syntax: str, pixels: bytes | None
) -> None:
    shape = {"Rows": 8, "Columns": 8, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    shape |= {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}
    paths = []
    for number, content in enumerate((bytes(64), pixels, bytes(64))):
        dataset = make_dataset(SOPInstanceUID=f"1.2.{number}", PixelRepresentation=0, **shape)
        dataset.file_meta.TransferSyntaxUID = syntax
        if content is not None:
            dataset.PixelData = content
            dataset["PixelData"].VR = "OB"
        paths.append(tmp_path / f"{number}.dcm")
        write_dataset(dataset, paths[-1])
    assert_no_difference(Deidentifier(Profile.load("research"), KEYS), paths, tmp_path)


def test_a_name_that_only_a_later_slice_tells_is_taken_out_of_all(
    make_dataset: Make, tmp_path: Path
) -> None:
    paths = series(make_dataset, tmp_path, {}, {}, {"OperatorsName": "Wintergreen^Basil"})
    last = series(make_dataset, tmp_path / "last", {"SeriesDescription": "seen by Wintergreen"})
    engine = Deidentifier(Profile.load("internal"), KEYS, pixels=False)
    _, contents = cleaned(engine, [*last, *paths], tmp_path / "out")
    assert all(b"Wintergreen" not in content for content in contents)


def test_what_a_recipe_adds_and_masks_is_not_repeated_wrongly(
    make_dataset: Make, tmp_path: Path
) -> None:
    recipe = Recipe.parse("FORMAT dicom\n\n%header\n\nADD PatientComments released\n")
    engine = Deidentifier(Profile.load("research"), KEYS, recipe, pixels=False)
    paths = series(make_dataset, tmp_path, {}, {}, {"PatientComments": "something else"})
    assert_no_difference(engine, paths, tmp_path)
    _, contents = cleaned(engine, paths, tmp_path / "out")
    assert all(b"released" in content for content in contents)


def test_a_damaged_slice_is_refused_and_its_fellows_are_not(
    make_dataset: Make, tmp_path: Path
) -> None:
    paths = series(make_dataset, tmp_path, {}, {}, {}, {})
    paths[2].write_bytes(paths[2].read_bytes()[:-3])
    engine = Deidentifier(Profile.load("research"), KEYS, pixels=False)
    assert_no_difference(engine, paths, tmp_path)
    report, _ = cleaned(engine, paths, tmp_path / "out")
    assert [record.source for record in report.refused] == [2]


def test_little_is_remembered(
    make_dataset: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is forgotten is worked out again."""
    monkeypatch.setattr("hounsfield.deid.repeats._REMEMBERED", 300)
    sizes: list[int] = []
    before = Slice.clean

    def clean(self: Slice, walker: Walker) -> Any:
        found = before(self, walker)
        sizes.append(sum(map(len, self.context.fates)))
        return found

    monkeypatch.setattr(Slice, "clean", clean)
    slices = [{"ImageComments": f"number {number}" + " axial" * 20} for number in range(12)]
    engine = Deidentifier(Profile.load("research"), KEYS, pixels=False)
    assert_no_difference(engine, series(make_dataset, tmp_path, *slices), tmp_path)
    assert sizes and max(sizes) < 2000


Bytes = dict[int, tuple[str, bytes]]


def files_of(folder: Path, *slices: Bytes, follow: dict[int, bytes] | None = None) -> list[Path]:
    """Slices as they are given, byte for byte; the first also with what is to follow in it."""
    folder.mkdir(exist_ok=True)
    paths = []
    for number, own in enumerate(slices):
        uid = f"1.2.3.{number}"
        body = {
            **HEAD,
            0x00080018: ("UI", uid.encode() + b"\0" * (len(uid) % 2)),
            0x00280103: ("US", b"\0\0"),
            **own,
        }
        parts = {tag: element(tag, *what) for tag, what in body.items()}
        parts |= follow or {} if not number else {}
        content = b"".join(part for _, part in sorted(parts.items()))
        paths.append(folder / f"{number}.dcm")
        paths[-1].write_bytes(file_header(CT, uid, "1.2.840.10008.1.2.1") + content)
    return paths


def test_what_cannot_be_written_is_refused_and_its_fellows_are_not(tmp_path: Path) -> None:
    paths = files_of(tmp_path, {}, {0x00280100: ("US", b"abc")}, {})
    engine = Deidentifier(Profile.load("research"), KEYS, pixels=False)
    assert_no_difference(engine, paths, tmp_path)
    report, _ = cleaned(engine, paths, tmp_path / "out")
    assert [record.source for record in report.refused] == [1]


def test_rows_that_are_no_number_are_refused_and_their_fellows_are_not(tmp_path: Path) -> None:
    shape = {
        0x00280002: ("US", b"\1\0"),
        0x00280004: ("CS", b"MONOCHROME2 "),
        **dict.fromkeys((0x00280010, 0x00280011, 0x00280100, 0x00280101), ("US", b"\x08\0")),
        0x00280102: ("US", b"\7\0"),
        0x00280301: ("CS", b"YES "),
        0x7FE00010: ("OB", bytes(64)),
    }
    paths = files_of(tmp_path, shape, {**shape, 0x00280010: ("LO", b"Wintergreen ")}, shape)
    engine = Deidentifier(Profile.load("research"), KEYS)
    assert_no_difference(engine, paths, tmp_path)
    report, _ = cleaned(engine, paths, tmp_path / "out")
    assert [record.source for record in report.refused] == [1]


@pytest.mark.parametrize("tag", [0x00080016, 0x00080018])
@pytest.mark.parametrize(
    ("vr", "value"),
    [("UI", b""), ("UI", b"1.2\\1.3\0"), ("UI", b"1.2.3.4 "), ("LO", b"1.2.3.4 "), ("UT", b"1.22")],
)
def test_an_object_that_does_not_say_what_it_is_is_refused_each_time(
    tmp_path: Path, tag: int, vr: str, value: bytes
) -> None:
    profile = Profile.load("research").model_copy(update={"retain_uids": True})
    for number, profile_ in enumerate((Profile.load("research"), profile)):
        folder = tmp_path / str(number)
        paths = files_of(folder, *[{tag: (vr, value)}] * 3)
        engine = Deidentifier(profile_, KEYS, pixels=False)
        assert_no_difference(engine, paths, folder)


def test_texts_in_a_slice_s_own_sequence_are_of_the_character_set_that_all_share(
    tmp_path: Path,
) -> None:
    """The set is read once for all; the sequence, of undefined length, with each slice."""
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    engine = Deidentifier(Profile.load("internal"), KEYS, pixels=False)
    slices: list[Bytes] = [{0x00080005: ("CS", b"ISO_IR 192")}] * 3
    paths = files_of(tmp_path, *slices)
    for number, path in enumerate(paths):
        text = f"頭部 {number}".encode()
        inner = element(0x00080102, "SH", b"DCM ") + element(0x00080104, "LO", text)
        item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
        own = element(0x00081032, "SQ", item + end, 0xFFFFFFFF)
        name = element(0x00100010, *HEAD[0x00100010])
        path.write_bytes(path.read_bytes().replace(name, own + name))
    assert_no_difference(engine, paths, tmp_path)
    _, contents = cleaned(engine, paths, tmp_path / "out")
    assert all("頭部".encode() in content for content in contents)


def test_a_name_that_one_file_hides_from_pydicom_is_known_from_the_next(tmp_path: Path) -> None:
    """An item claims what follows its sequence, up to a delimiter in another element."""
    name = element(0x00100010, "PN", b"Wintergreen^Basil ")
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    claims = struct.pack("<HH2sH", 0x0008, 0x1155, b"UI", len(end) + len(name) + 12)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(claims)) + claims
    hiding = {
        0x00081111: element(0x00081111, "SQ", item + end, 0xFFFFFFFF),
        0x00100010: name,
        0x00100015: element(0x00100015, "OB", end),
    }
    text = {0x00180024: ("SH", b"of Wintergreen"), 0x00100010: ("PN", b"Wintergreen^Basil ")}
    paths = files_of(tmp_path, text, text, follow=hiding)
    engine = Deidentifier(Profile.load("internal"), KEYS, pixels=False)
    _, contents = cleaned(engine, paths, tmp_path / "out")
    assert len(contents) == 2
    assert all(b"Wintergreen" not in content for content in contents)
    assert_no_difference(engine, paths, tmp_path)


@pytest.mark.parametrize("way", ["another VR", "a recipe"])
@pytest.mark.parametrize("small", [-1, 64 << 20])
def test_what_decides_about_others_and_goes_decides_no_more(
    tmp_path: Path, way: str, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hounsfield.deid.study._SMALL", small)
    sign = ("LO", b"1 ") if way == "another VR" else ("US", b"\1\0")
    blank = Rule("Pixel Representation", "Z", "X/Z/D", "", "")  # which no recipe's text may say
    recipe = Recipe({0x00280103: blank}) if way == "a recipe" else None
    slices = [{0x00280103: sign, 0x00280106: ("UN", bytes([n, 0x80]))} for n in range(3)]
    engine = Deidentifier(Profile.load("research"), KEYS, recipe, pixels=False)
    assert_no_difference(engine, files_of(tmp_path, *slices), tmp_path)


def test_series_of_one_slice_each_are_not_remembered_without_end(
    make_dataset: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hounsfield.deid.study._SMALL", -1)
    monkeypatch.setattr("hounsfield.deid.repeats._REMEMBERED", 6000)
    slices = [{"SeriesInstanceUID": f"1.2.3.4.{number}"} for number in range(40)]
    paths = series(make_dataset, tmp_path, *slices)
    engine = Deidentifier(Profile.load("research"), KEYS, pixels=False)
    repeats = Repeats(engine.plan, engine.recipe)
    contexts = []
    for path in paths:
        slice_ = repeats.read(path)
        assert slice_ is not None
        slice_.learn_look(Look.NONE, read_header(path))
        contexts.append(weakref.ref(slice_.context))
    held = [context for reference in contexts if (context := reference())]
    assert sum(len(piece) for context in held for piece in context.told) < 6000
    assert_no_difference(engine, paths, tmp_path)


# Slices of one made-up series, each with some of these instead of what its fellows have.
PLACES = (
    (0x00080005, "CS"),
    (0x00080022, "DA"),
    (0x00080080, "LO"),
    (0x00080104, "LO"),
    (0x00081030, "LO"),
    (0x0008103E, "SH"),
    (0x00090010, "LO"),
    (0x00090011, "UN"),
    (0x00091001, "LO"),
    (0x00091101, "UN"),
    (0x00100020, "LO"),
    (0x00100030, "DA"),
    (0x00101010, "AS"),
    (0x00180050, "DS"),
    (0x00190010, "LO"),
    (0x00191002, "SL"),
    (0x00200013, "IS"),
    (0x00204000, "LT"),
    (0x00280106, "SS"),
    (0x00280106, "US"),
    (0x00400275, "SQ"),
    (0x00400275, "UN"),
    (0x00280103, "US"),
)
VALUES = (
    b"",
    b"\1\0",
    b"\0\0\1\0",
    b"Quillfeather",
    b"MRN-740913",
    b"CT of Ottoline Quillfeather ",
    b"20240229",
    b"093Y",
    b"1.25",
    b"ISO_IR 100",
    b"ISO_IR 192",
    b"\\ISO 2022 IR 87 ",
    b"GEMS_IDEN_01",
    b"GEMS_ACQU_01",
    b"\xd6dland",
    b"odd",
    b"\xfe\xff\x00\xe0\x10\0\0\0" + element(0x00100010, "PN", b"Ab^Quill"),
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff",
)
PROFILES = ("research", "internal")
CHANGES = st.dictionaries(st.sampled_from(PLACES), st.sampled_from(VALUES), max_size=6)


@settings(deadline=None)
@given(
    CHANGES, st.lists(CHANGES, min_size=2, max_size=5), st.sampled_from(["research", "internal"])
)
def test_any_series_comes_out_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    shared: dict[tuple[int, str], bytes],
    changes: list[dict[tuple[int, str], bytes]],
    profile: str,
) -> None:
    folder = tmp_path_factory.mktemp("series", numbered=True)
    paths = []
    for number, change in enumerate(changes):
        uid = f"1.2.3.{number}".encode()
        body = {
            **HEAD,
            0x00080018: ("UI", uid + b"\0" * (len(uid) % 2)),
            0x00280103: ("US", b"\0\0"),
            **{tag: (vr, value) for (tag, vr), value in {**shared, **change}.items()},
        }
        content = b"".join(element(tag, *what) for tag, what in sorted(body.items()))
        paths.append(folder / f"{number}.dcm")
        paths[-1].write_bytes(file_header(CT, uid.decode(), "1.2.840.10008.1.2.1") + content)
    engine = Deidentifier(Profile.load(profile), KEYS, pixels=False)
    assert_no_difference(engine, paths, folder)
