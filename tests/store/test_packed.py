"""The cold form: few objects, from which every file comes again byte for byte."""

from __future__ import annotations

import errno
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from hounsfield.errors import IntegrityError, NotFound, StoreUnavailable
from hounsfield.store import Grouping, Zone, packed, seal, transfer
from hounsfield.store.product import MANIFEST, UNPACKED
from hounsfield.store.recode import recode
from hounsfield.store.zone import Assembly

PLACE = "st-a/0123"
CONTENTS = {
    "instances/a.dcm": b"one",
    "instances/b.dcm": b"two",
    "instances/c.dcm": bytes(1000),
    "manifest.json": b"{}",
}
Change = Callable[[Dataset], None]


def picture(change: Change = lambda _: None, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """A slice of 12 bits, as a scanner writes it."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, "1.2.3.4"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 32, 31, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    pixels = np.random.default_rng(1).integers(0, 4096, (32, 31), dtype="<u2")
    dataset.PixelData = pixels.tobytes()
    dataset.private_block(0x0099, "OURS", create=True).add_new(1, "LO", "after")
    dataset.add_new(0xFFFCFFFC, "OB", b"\0" * 10)  # Data Set Trailing Padding
    change(dataset)
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def colours(dataset: Dataset) -> None:
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PlanarConfiguration = 5, 5, 3, 0
    dataset.PhotometricInterpretation, dataset.HighBit = "RGB", 7
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.PixelData = bytes(range(75)) + b"\0"


def two_frames(dataset: Dataset) -> None:
    dataset.NumberOfFrames = 2
    dataset.PixelData *= 2


def signed(dataset: Dataset) -> None:
    dataset.PixelRepresentation, dataset.BitsStored, dataset.HighBit = 1, 16, 15
    dataset.PixelData = np.arange(-496, 496, dtype="<i2").tobytes()


def overlay_in_high_bits(dataset: Dataset) -> None:
    dataset.PixelData = (np.frombuffer(dataset.PixelData, "<u2") | 0x8000).tobytes()


def bytes_behind(dataset: Dataset) -> None:
    dataset.PixelData += b"more"


def no_picture(dataset: Dataset) -> None:
    del dataset.PixelData


@pytest.fixture
def hot(tmp_path: Path) -> Zone:
    return Zone("hot", str(tmp_path / "hot"))


@pytest.fixture
def cold(tmp_path: Path) -> Zone:
    return Zone("cold", str(tmp_path / "cold"))


def publish(zone: Zone, contents: dict[str, bytes]) -> None:
    with zone.draft() as draft:
        for name, content in contents.items():
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            (draft / name).write_bytes(content)
        seal(draft, product_id="p", kind="raw", study_key="st-a", detail={"code": "1"})
        zone.commit(draft, PLACE)


def files(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def group(name: str) -> str:
    return "series-1" if name == "instances/a.dcm" else "series-2"


def pack(hot: Zone, cold: Zone, contents: dict[str, bytes], *, recoding: bool = False) -> None:
    publish(hot, contents)
    transfer(hot, cold, PLACE, pack=group, recoding=recoding)


def test_there_is_one_object_a_series_that_any_tool_opens(hot: Zone, cold: Zone) -> None:
    pack(hot, cold, CONTENTS)
    stored = files(Path(cold.root) / PLACE)
    assert set(stored) == {"series-1.zip", "series-2.zip", "manifest.json", UNPACKED, MANIFEST}
    with zipfile.ZipFile(BytesIO(stored["series-2.zip"])) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["instances/b.dcm", "instances/c.dcm"]
        assert {item.compress_type for item in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.read("instances/b.dcm") == b"two"
    product = cold.verify(PLACE)
    assert product.detail["originals"] == "all files are kept as they came"


def test_read_it_is_what_it_was(hot: Zone, cold: Zone) -> None:
    pack(hot, cold, CONTENTS)
    with hot.open(PLACE) as first, cold.open(PLACE) as again:
        assert files(again) == files(first)


def test_moved_back_it_is_what_it_was(hot: Zone, cold: Zone, tmp_path: Path) -> None:
    pack(hot, cold, CONTENTS)
    back = Zone("back", str(tmp_path / "back"))
    transfer(cold, back, PLACE)
    assert files(Path(back.root) / PLACE) == files(Path(hot.root) / PLACE)


def test_packed_again_it_is_the_same_object(hot: Zone, cold: Zone, tmp_path: Path) -> None:
    """Else a packing that was killed would begin anew."""
    pack(hot, cold, CONTENTS)
    other = Zone("other", str(tmp_path / "other"))
    transfer(hot, other, PLACE, pack=group)
    assert files(Path(other.root)) == files(Path(cold.root))


def test_what_is_packed_stays_packed_on_its_way_to_a_colder_tier(
    hot: Zone, cold: Zone, tmp_path: Path
) -> None:
    pack(hot, cold, CONTENTS)
    colder = Zone("colder", str(tmp_path / "colder"))
    transfer(cold, colder, PLACE, pack=group)
    assert files(Path(colder.root)) == files(Path(cold.root))


def test_what_was_read_otherwise_than_it_was_proven_is_not_packed(
    hot: Zone, cold: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the source goes, and the object's own checksum is over what never was there."""
    publish(hot, CONTENTS)
    new = packed._new

    def short(archive: zipfile.ZipFile, name: str) -> Any:
        member = new(archive, name)
        monkeypatch.setattr(member, "write", lambda data, write=member.write: write(data[:2]))
        return member

    monkeypatch.setattr(packed, "_new", short)
    with pytest.raises(IntegrityError):
        transfer(hot, cold, PLACE, pack=group)
    assert not cold.files()


def test_a_full_disk_where_it_is_packed_is_told_and_nothing_is_left(
    hot: Zone, cold: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hot, CONTENTS)
    new = packed._new

    def full(archive: zipfile.ZipFile, name: str) -> Any:
        if name == "instances/c.dcm":
            raise OSError(errno.ENOSPC, "No space left on device")
        return new(archive, name)

    monkeypatch.setattr(packed, "_new", full)
    with pytest.raises(StoreUnavailable, match="no space left"):
        transfer(hot, cold, PLACE, pack=group)
    assert not cold.files() and hot.verify(PLACE)


@pytest.mark.parametrize("grouping", [None, group], ids=["files", "packed"])
def test_nothing_is_left_of_the_copy_of_what_is_deleted_meanwhile(
    hot: Zone, cold: Zone, monkeypatch: pytest.MonkeyPatch, grouping: Grouping | None
) -> None:
    """Of a patient who is erased, it would stay."""
    publish(hot, CONTENTS)
    put = Assembly.put

    def then_deleted(assembly: Assembly, *file: Any) -> None:
        put(assembly, *file)
        hot.purge(PLACE)

    monkeypatch.setattr(Assembly, "put", then_deleted)
    with pytest.raises(NotFound):
        transfer(hot, cold, PLACE, pack=grouping)
    assert not cold.files()


def test_an_object_that_lacks_a_file_is_not_unpacked(
    hot: Zone, cold: Zone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(hot, cold, CONTENTS)
    names = zipfile.ZipFile.namelist
    monkeypatch.setattr(zipfile.ZipFile, "namelist", lambda archive: names(archive)[1:])
    back = Zone("back", str(tmp_path / "back"))
    with pytest.raises(IntegrityError):
        transfer(cold, back, PLACE)
    assert not back.files()


@pytest.mark.parametrize("byte", [40, -200, -1])
def test_a_flipped_bit_in_an_object_is_found(hot: Zone, cold: Zone, byte: int) -> None:
    pack(hot, cold, CONTENTS)
    path = Path(cold.root) / PLACE / "series-2.zip"
    content = bytearray(path.read_bytes())
    content[byte] ^= 1
    path.write_bytes(content)
    for reading in (cold.verify, lambda place: cold.open(place).__enter__()):
        with pytest.raises(IntegrityError):
            reading(PLACE)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("change", [lambda _: None, colours, two_frames, signed])
def test_a_picture_is_recoded_and_made_again(
    hot: Zone, cold: Zone, change: Change, syntax: str
) -> None:
    original = picture(change, syntax)
    pack(hot, cold, {**CONTENTS, "instances/a.dcm": original}, recoding=True)
    with zipfile.ZipFile(Path(cold.root) / PLACE / "series-1.zip") as archive:
        recoded = dcmread(BytesIO(archive.read("instances/a.dcm")))
    assert recoded.file_meta.TransferSyntaxUID == JPEGLSLossless
    assert recoded.SOPInstanceUID == "1.2.3.4"
    assert (recoded.pixel_array == dcmread(BytesIO(original)).pixel_array).all()
    with cold.open(PLACE) as folder:
        assert (folder / "instances/a.dcm").read_bytes() == original
    told = cold.product(PLACE).detail["originals"]
    assert told == "1 files are made again from JPEG-LS, proven at packing; 3 are kept as they came"


@pytest.mark.parametrize("change", [overlay_in_high_bits, bytes_behind, no_picture])
def test_what_could_not_be_made_again_is_kept(hot: Zone, cold: Zone, change: Change) -> None:
    original = picture(change)
    pack(hot, cold, {**CONTENTS, "instances/a.dcm": original}, recoding=True)
    with zipfile.ZipFile(Path(cold.root) / PLACE / "series-1.zip") as archive:
        assert archive.read("instances/a.dcm") == original
    assert cold.product(PLACE).detail["recoded"] == {}


def test_what_is_compressed_already_is_kept(tmp_path: Path) -> None:
    dataset = dcmread(BytesIO(picture()))
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(tmp_path / "x.dcm")
    assert recode(tmp_path / "x.dcm") is None
