"""What applications write into compressed frames goes, and no pixel changes for it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.filereader import dcmread
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from hounsfield.deid import Deidentifier, InstanceRecord, Profile, StudyReport
from hounsfield.deid.pixels import read_pixels
from hounsfield.dicom.codecs import decode, transfer_syntax_of
from hounsfield.dicom.reading import find_files, read_header
from hounsfield.dicom.streams import blank, blank_all
from hounsfield.dicom.writing import write_dataset
from hounsfield.errors import UndecodablePixels
from hounsfield.gate import Output, inspect
from hounsfield.gate.pictures import pictures
from hounsfield.pseudonyms import Pseudonyms
from tests.deid.test_encodings import colour, described, grey

Make = Callable[..., FileDataset]
SECRET = b"Vantreek^Odilon 19310407"  # whom nothing else of the study names
CODEC = b"LEAD Technologies Inc. V1.01\0"
COM, APP0, APP1, APP2, APP8, APP13, APP14 = 0xFE, 0xE0, 0xE1, 0xE2, 0xE8, 0xED, 0xEE


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def behind(frame: bytes, start: bytes, *segments: bytes) -> bytes:
    """A frame with segments behind the first `start`."""
    at = frame.index(start) + len(start)
    return frame[:at] + b"".join(segments) + frame[at:]


def before(frame: bytes, end: bytes, *segments: bytes) -> bytes:
    at = frame.rindex(end)
    return frame[:at] + b"".join(segments) + frame[at:]


def jpeg(**options: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(colour()[0]).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


def coded(syntax: UID, make: Make) -> bytes:
    """A frame as pydicom's codecs write it."""
    array = grey()
    dataset = described(make, array, array.tobytes())
    dataset.compress(syntax, generate_instance_uid=False)
    return next(generate_frames(dataset.PixelData, number_of_frames=1))


def in_tile_part(stream: bytes, text: bytes) -> bytes:
    """A codestream with a comment in the header of its first tile-part."""
    comment, tile = segment(0x64, b"\0\1" + text), stream.index(b"\xff\x90")
    (length,) = struct.unpack_from(">L", stream, tile + 6)
    longer = struct.pack(">L", length + len(comment) if length else 0)
    rest = stream[tile + 10 : tile + 12] + comment + stream[tile + 12 :]
    return stream[: tile + 6] + longer + rest


def in_jp2(stream: bytes, *boxes: tuple[bytes, bytes]) -> bytes:
    """A codestream in the file format around it, with more boxes."""
    size = struct.pack(">LLHBBBB", *grey().shape[1:], 1, 7, 7, 0, 0)
    header = box(b"ihdr", size) + box(b"colr", b"\1\0\0" + struct.pack(">L", 17))
    start = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ") + box(b"jp2h", header)
    return start + b"".join(box(*each) for each in boxes) + box(b"jp2c", stream)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">L", len(content) + 8) + kind + content


def camera() -> bytes:
    exif = Image.Exif()
    exif[0x013B], exif[0x0132] = SECRET.decode(), "2024:02:29 10:11:12"
    exif.get_ifd(0x8769)[0xA431] = "SN-C39QX77K"
    exif.get_ifd(0x8825)[1] = "N"
    return jpeg(exif=exif.tobytes())


def progressive() -> bytes:
    """With a comment between its scans."""
    frame = jpeg(progressive=True)
    return before(frame, b"\xff\xda", segment(COM, SECRET))


THUMBNAIL = b"Exif\0\0II*\0" + bytes(40) + jpeg()[:9000] + SECRET
J = JPEGBaseline8Bit
SPOKEN: dict[str, tuple[UID, Callable[[Make], bytes]]] = {
    "a camera's EXIF": (J, lambda _: camera()),
    "a thumbnail in EXIF": (J, lambda _: behind(jpeg(), b"\xff\xd8", segment(APP1, THUMBNAIL))),
    "a comment": (J, lambda _: behind(jpeg(), b"\xff\xd8", segment(COM, SECRET))),
    "a comment behind 64 KiB": (
        J,
        lambda _: behind(
            jpeg(), b"\xff\xd8", segment(APP13, b"\1" * 65000), segment(COM, bytes(900) + SECRET)
        ),
    ),
    "a comment behind a codec's": (
        J,
        lambda _: behind(jpeg(), b"\xff\xd8", segment(COM, CODEC + SECRET)),
    ),
    "a comment behind the scan": (J, lambda _: before(jpeg(), b"\xff\xd9", segment(COM, SECRET))),
    "a comment between scans": (J, lambda _: progressive()),
    "fill bytes": (J, lambda _: behind(jpeg(), b"\xff\xd8", b"\xff\xff" + segment(COM, SECRET))),
    "markers by chance": (
        J,
        lambda _: behind(
            jpeg(),
            b"\xff\xd8",
            segment(APP2, b"ICC_PROFILE\0\1\1\xff\x90\xff\xda\xff\xd9"),
            segment(APP1, SECRET),
        ),
    ),
    "a thumbnail in JFXX": (
        J,
        lambda _: behind(jpeg(), b"\xff\xd8", segment(APP0, b"JFXX\0\x13\x04\x04" + 2 * SECRET)),
    ),
    "a thumbnail in JFIF": (
        J,
        lambda _: b"\xff\xd8" + segment(APP0, b"JFIF\0\1\1\0\0\1\0\1\2\4" + SECRET) + jpeg()[20:],
    ),
    "more than Adobe's marker": (
        J,
        lambda _: behind(jpeg(), b"\xff\xd8", segment(APP14, b"Adobe\0\x64\0\0\0\0\1" + SECRET)),
    ),
    "application data in JPEG-LS": (
        JPEGLSLossless,
        lambda make: behind(
            coded(JPEGLSLossless, make), b"\xff\xd8", segment(APP8, b"mrfx" + SECRET)
        ),
    ),
    "a comment in JPEG 2000": (
        JPEG2000Lossless,
        lambda make: before(
            coded(JPEG2000Lossless, make), b"\xff\x90", segment(0x64, b"\0\1" + SECRET)
        ),
    ),
    "a comment in a tile-part": (
        JPEG2000Lossless,
        lambda make: in_tile_part(coded(JPEG2000Lossless, make), SECRET),
    ),
    "a box of a JP2 file": (
        JPEG2000Lossless,
        lambda make: in_jp2(coded(JPEG2000Lossless, make), (b"xml ", b"<p>" + SECRET + b"</p>")),
    ),
}


def with_table(table: bytes) -> bytes:
    """A frame behind a Basic Offset Table (PS3.5 A.4)."""
    items = table, jpeg() + b"\0" * (len(jpeg()) % 2)
    return b"".join(b"\xfe\xff\0\xe0" + struct.pack("<L", len(item)) + item for item in items)


def image(
    make: Make, syntax: UID, frames: list[bytes], fragments: int = 1, **values: Any
) -> FileDataset:
    array = colour(len(frames)) if syntax == JPEGBaseline8Bit else grey(len(frames))
    if array.ndim == 4:
        values["PhotometricInterpretation"] = "YBR_FULL_422"
    content = encapsulate(frames, fragments_per_frame=fragments)
    dataset = described(make, array, content, **values)
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def deidentify(datasets: list[FileDataset], folder: Path, *, pixels: bool = False) -> StudyReport:
    folder.mkdir(exist_ok=True)
    for number, dataset in enumerate(datasets):
        write_dataset(dataset, folder / f"{number}.dcm")
    engine = Deidentifier(Profile.load("research"), Pseudonyms(bytes(32)), pixels=pixels)
    return engine.study(sorted(folder.glob("*.dcm")), folder / "out")


def released(record: InstanceRecord, folder: Path) -> FileDataset:
    return read_header(folder / "out" / record.output, stop_before_pixels=False)


@pytest.fixture(params=SPOKEN)
def spoken(request: pytest.FixtureRequest, make_dataset: Make) -> tuple[UID, bytes]:
    syntax, write = SPOKEN[request.param]
    return syntax, write(make_dataset)


@pytest.mark.parametrize("fragments", [1, 3])
@pytest.mark.parametrize("pixels", [True, False])
def test_what_applications_wrote_goes_and_the_picture_stays(
    spoken: tuple[UID, bytes],
    fragments: int,
    pixels: bool,
    make_dataset: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hounsfield.deid.pixels.second_look.find_text", lambda *_, **__: [])
    syntax, frame = spoken
    before = image(make_dataset, syntax, [frame, frame], fragments)
    report = deidentify([before], tmp_path, pixels=pixels)
    (record,) = report.written
    after = released(record, tmp_path)
    content = (tmp_path / "out" / record.output).read_bytes()
    for text in (SECRET, SECRET[:8], b"19310407", b"2024:02:29", b"C39QX77K"):
        assert text not in content
    assert np.array_equal(decode(before), decode(after))
    assert len(after.PixelData) == len(before.PixelData), "offset tables hold"
    assert record.rules["7FE00010 cleaned"] == 1
    assert not record.pixels.changed
    gate = inspect(
        [Output(tmp_path / "0.dcm", tmp_path / "out" / record.output)],
        [tmp_path / "0.dcm"],
        Profile.load("research"),
        pixels=False,
    )
    assert not [finding for finding in gate.findings if finding.check == "sentinels"]


def test_slices_that_are_alike_lose_theirs_too(make_dataset: Make, tmp_path: Path) -> None:
    texts = [b"", b"", SECRET, b"", SECRET]
    slices = [
        image(
            make_dataset,
            JPEGBaseline8Bit,
            [behind(jpeg(), b"\xff\xd8", segment(COM, text))],
            SOPInstanceUID=generate_uid(),
        )
        for text in texts
    ]
    report = deidentify(slices, tmp_path)
    assert [("7FE00010 cleaned" in record.rules) for record in report.written] == [
        bool(text) for text in texts
    ]
    for record, dataset in zip(report.written, slices, strict=True):
        after = released(record, tmp_path)
        assert SECRET not in after.PixelData
        assert np.array_equal(decode(after), decode(dataset))


def test_an_extended_offset_table_goes(make_dataset: Make, tmp_path: Path) -> None:
    """What stands in it is looked at by nobody, and each frame is one fragment without it, too."""
    frames = [behind(jpeg(), b"\xff\xd8", segment(COM, SECRET[:n])) for n in (4, 24)]
    before = image(make_dataset, JPEGBaseline8Bit, frames)
    content, before.ExtendedOffsetTable, before.ExtendedOffsetTableLengths = encapsulate_extended(
        [frame + b"\0" * (len(frame) % 2) for frame in frames]
    )
    before["PixelData"].value = content
    (record,) = deidentify([before], tmp_path).written
    after = released(record, tmp_path)
    assert "ExtendedOffsetTable" not in after
    assert "ExtendedOffsetTableLengths" not in after
    assert np.array_equal(decode(after, frame=1), decode(before, frame=1))


def test_frames_are_looked_at_where_they_are_and_not_where_a_table_says(
    make_dataset: Make, tmp_path: Path
) -> None:
    """It goes: who reads what is released meets the frames in the order of their fragments."""
    stated = described(make_dataset, grey(2), grey(2).tobytes())
    stated.compress(RLELossless, encapsulate_ext=True, generate_instance_uid=False)
    stated.ExtendedOffsetTable = bytes(16)  # both begin where the first does
    write_dataset(stated, tmp_path / "a.dcm")
    assert np.array_equal(decode(read_pixels(tmp_path / "a.dcm")), grey(2))
    shown = dict(pictures([tmp_path / "a.dcm"]))  # by the gate, beside what was released
    assert np.array_equal([shown["frame 1"], shown["frame 2"]], grey(2))


def test_no_offset_table_stands_beside_pixels_that_have_no_fragments(
    make_dataset: Make, tmp_path: Path
) -> None:
    before = described(make_dataset, grey(), grey().tobytes())
    before.ExtendedOffsetTable = SECRET
    (record,) = deidentify([before], tmp_path).written
    assert "ExtendedOffsetTable" not in released(record, tmp_path)


@pytest.mark.parametrize("text", [CODEC, b"MITRA_DICOM_STANDARD", b"", bytes(40)])
def test_streams_in_which_nobody_speaks_are_the_same_object(text: bytes) -> None:
    frame = behind(jpeg(), b"\xff\xd8", segment(COM, text))
    content = encapsulate([frame, jpeg()])
    assert blank(frame) is frame
    assert blank_all(content, JPEGBaseline8Bit) is content
    for syntax in (RLELossless, ExplicitVRLittleEndian, UID("1.2.3")):
        assert blank_all(SECRET, syntax) is SECRET


def test_no_syntax_is_needed_to_see_that_pixels_are_compressed() -> None:
    frame = behind(jpeg(), b"\xff\xd8", segment(COM, SECRET))
    assert SECRET not in blank_all(encapsulate([frame]), UID("1.2.3"))


@given(spoil=st.binary(min_size=1, max_size=12), at=st.integers(0, 1 << 12))
def test_a_spoilt_stream_is_blanked_or_refused(spoil: bytes, at: int) -> None:
    frame = behind(jpeg(), b"\xff\xd8", segment(COM, SECRET))
    at %= len(frame)
    spoilt = frame[:at] + spoil + frame[at + len(spoil) :]
    try:
        blanked = blank(spoilt)
    except UndecodablePixels:
        return
    assert len(blanked) == len(spoilt)
    assert blank(blanked) is blanked


@pytest.mark.parametrize(
    "frame",
    [
        behind(jpeg(), b"\xff\xd8", SECRET),
        behind(jpeg(), b"\xff\xd8", b"\xff\xfe\xff\xff"),
        b"\xff\xd8" + segment(COM, SECRET),
        b"\xff\xd8\xff\xfe\0\0" + SECRET,
        b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\1xml " + b"\xff" * 8 + SECRET,
        SECRET,
    ],
)
def test_a_stream_that_nobody_can_follow_is_refused(
    frame: bytes, make_dataset: Make, tmp_path: Path
) -> None:
    report = deidentify([image(make_dataset, JPEGBaseline8Bit, [frame])], tmp_path)
    (refused,) = report.refused
    assert refused.code == "undecodable-pixels" and "Vantreek" not in refused.reason


def test_text_in_place_of_the_offset_table_is_refused(make_dataset: Make, tmp_path: Path) -> None:
    dataset = image(make_dataset, JPEGBaseline8Bit, [jpeg()])
    dataset["PixelData"].value = with_table(SECRET)
    (refused,) = deidentify([dataset], tmp_path).refused
    assert "offset table" in refused.reason and "Vantreek" not in refused.reason


@pytest.mark.data
def test_real_streams_keep_their_bytes_and_can_be_followed(real_data: Path) -> None:
    counted = 0
    for path in find_files(real_data):
        if path.parent.name.startswith("bad_") or path.suffix in (".csv", ".md"):
            continue
        dataset = dcmread(path, force=True)
        if not dataset.get("PixelData"):
            continue
        syntax = transfer_syntax_of(dataset)
        assert blank_all(dataset.PixelData, syntax) is dataset.PixelData, path
        counted += 1
    assert counted > 500


@pytest.mark.data
@pytest.mark.parametrize(
    "folder", ["syn_htj2k", "syn_jls_rgb", "syn_mr1", "syn_nm1", "mr_knee_t1", "us_ge_cine_burned"]
)
def test_pixels_of_real_files_do_not_change(folder: str, real_data: Path) -> None:
    found = 0
    for path in find_files(real_data / folder):
        dataset = dcmread(path, force=True)
        syntax = dataset.file_meta.TransferSyntaxUID
        # Of JPEG with 12 bits lossy, no codec here reads what is there as it stands.
        if not syntax.is_encapsulated or syntax in (RLELossless, JPEGExtended12Bit):
            continue
        was = decode(dataset, frame=0)
        frame = next(
            generate_frames(
                dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames") or 1)
            )
        )
        is_jpeg = frame.startswith(b"\xff\xd8")
        comment = segment(COM, SECRET)
        spoken = behind(frame, b"\xff\xd8", comment) if is_jpeg else in_tile_part(frame, SECRET)
        assert SECRET in spoken
        dataset.NumberOfFrames = 1
        dataset.PixelData = blank_all(encapsulate([spoken]), syntax)
        assert SECRET not in dataset.PixelData
        assert np.array_equal(decode(dataset), was), path.name
        found += 1
    assert found
