"""What a file hides from those who look at its pictures: it is refused, or looked at."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, generate_fragments
from pydicom.filereader import dcmread
from pydicom.uid import (
    JPEGBaseline8Bit,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    ParametricMapStorage,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from hounsfield.deid import Deidentifier, Profile, StudyReport
from hounsfield.dicom.reading import find_files, read_header
from hounsfield.dicom.surplus import surplus
from hounsfield.dicom.writing import write_dataset
from hounsfield.gate import Output, inspect
from hounsfield.pseudonyms import Pseudonyms
from tests.deid.pixels.drawing import NAME, drawn, picture
from tests.deid.test_candidates import fractions

Make = Callable[..., FileDataset]
SECRET = b"Quill^Ottoline 740913"


def one_frame(make: Make, **values: Any) -> FileDataset:
    return picture(make, drawn(""), NumberOfFrames=1, **values)


def compressed(make: Make, syntax: str, frames: list[bytes]) -> FileDataset:
    """One frame, says the header."""
    dataset = one_frame(make)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate(frames, has_bot=False)
    dataset["PixelData"].is_undefined_length = True
    return dataset


def jpeg(text: str) -> bytes:
    content = BytesIO()
    Image.fromarray(drawn(text)[0]).save(content, "JPEG")
    return content.getvalue()


def rle(make: Make) -> bytes:
    dataset = one_frame(make)
    dataset.compress(RLELossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    return list(generate_fragments(dataset.PixelData))[1]


def native(make: Make, behind: bytes) -> FileDataset:
    dataset = one_frame(make)
    dataset.PixelData += behind + b"\0" * (len(behind) % 2)
    return dataset


HIDING: dict[str, Callable[[Make], FileDataset]] = {
    "a second frame": lambda make: native(make, drawn(NAME)[0].tobytes()),
    "text behind the last frame": lambda make: native(make, SECRET),
    "a second frame in JPEG": lambda make: compressed(
        make, JPEGBaseline8Bit, [jpeg(""), jpeg(NAME)]
    ),
    "text behind a frame in JPEG": lambda make: compressed(
        make, JPEGBaseline8Bit, [jpeg("") + SECRET]
    ),
    "a second frame in RLE": lambda make: compressed(make, RLELossless, [rle(make), rle(make)]),
}


def deidentify(datasets: list[FileDataset], folder: Path, *, pixels: bool = True) -> StudyReport:
    folder.mkdir(exist_ok=True)
    for number, dataset in enumerate(datasets):
        write_dataset(dataset, folder / f"{number}.dcm")
    engine = Deidentifier(Profile.load("research"), Pseudonyms(bytes(32)), pixels=pixels)
    return engine.study(sorted(folder.glob("*.dcm")), folder / "out")


@pytest.mark.parametrize("name", HIDING)
@pytest.mark.parametrize("pixels", [True, False])
def test_more_than_the_frames_is_refused(
    name: str, pixels: bool, make_dataset: Make, tmp_path: Path
) -> None:
    report = deidentify([HIDING[name](make_dataset)], tmp_path, pixels=pixels)
    (refused,) = report.refused
    assert not report.written
    assert "pixel data hold" in refused.reason and "Quill" not in refused.reason


@pytest.mark.parametrize("pixels", [True, False])
def test_more_than_the_frames_is_refused_among_slices_that_are_alike(
    pixels: bool, make_dataset: Make, tmp_path: Path
) -> None:
    slices = [native(make_dataset, b"" if number < 3 else SECRET) for number in range(4)]
    for dataset in slices:
        dataset.SOPClassUID, dataset.Modality = "1.2.840.10008.5.1.4.1.1.2", "CT"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    report = deidentify(slices, tmp_path, pixels=pixels)
    assert len(report.written) == 3
    (refused,) = report.refused
    assert refused.source == 3 and "pixel data hold" in refused.reason


@pytest.mark.parametrize("keyword", ["FloatPixelData", "DoubleFloatPixelData"])
@pytest.mark.parametrize("pixels", [True, False])
def test_more_than_a_parametric_map_is_refused(
    keyword: str, pixels: bool, make_dataset: Make, tmp_path: Path
) -> None:
    whole, long, double = (
        fractions(make_dataset, keyword, ParametricMapStorage, number) for number in range(3)
    )
    setattr(long, keyword, getattr(long, keyword) + SECRET + b"\0" * 3)
    double.PixelData = SECRET + b"\0"
    double["PixelData"].VR = "OW"
    report = deidentify([whole, long, double], tmp_path, pixels=pixels)
    assert [record.source for record in report.refused] == [1, 2]
    assert all("pixel data hold" in record.reason for record in report.refused)


@pytest.mark.parametrize("name", HIDING)
def test_the_gate_holds_more_than_the_frames(name: str, make_dataset: Make, tmp_path: Path) -> None:
    path = tmp_path / "one.dcm"
    write_dataset(HIDING[name](make_dataset), path)
    report = inspect([Output(path, path)], [path], Profile.load("research"))
    assert "pixels that cannot be decoded" in {finding.rule for finding in report.findings}


def test_padding_hides_nothing(make_dataset: Make) -> None:
    assert not surplus(native(make_dataset, b"\0" * 512))
    assert not surplus(native(make_dataset, b"\xcc\xcc"))
    assert not surplus(compressed(make_dataset, JPEGBaseline8Bit, [jpeg("") + b"\xff\x00"]))
    content = jpeg("")
    in_parts = [content[:1000], content[1000:]]
    assert not surplus(compressed(make_dataset, JPEGBaseline8Bit, in_parts))


@pytest.mark.data
def test_no_real_file_is_refused_for_it(real_data: Path) -> None:
    counted = 0
    for path in find_files(real_data):
        if path.parent.name.startswith("bad_") or path.suffix in (".csv", ".md"):
            continue
        assert not surplus(dcmread(path, force=True)), path.name
        counted += 1
    assert counted > 500


@pytest.mark.parametrize(
    ("kind", "frames", "shown"),
    [
        (MultiFrameGrayscaleByteSecondaryCaptureImageStorage, 12, 4),  # pages
        (UltrasoundMultiFrameImageStorage, 6, 1),
        (UltrasoundMultiFrameImageStorage, 12, 6),
    ],
)
def test_text_of_one_frame_that_no_extreme_shows(
    kind: str, frames: int, shown: int, make_dataset: Make, tmp_path: Path
) -> None:
    array = np.zeros((frames, *drawn("").shape[1:]), np.uint8)
    array[1::2] = 255
    array[shown] = np.where(drawn(NAME)[0] > 150, 140, 100)
    report = deidentify([picture(make_dataset, array, SOPClassUID=kind)], tmp_path)
    (done,) = report.written
    assert done.pixels.boxes
    released = read_header(tmp_path / "out" / done.output, stop_before_pixels=False)
    assert set(np.unique(released.pixel_array[shown])) == {100}
