"""Text in pictures of a few pixels, and what is told of those that are too small for any."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from hounsfield.deid import Deidentifier, Profile
from hounsfield.deid.pixels import clean_pixels, find_text
from hounsfield.deid.pixels.markers import is_telling
from hounsfield.dicom.reading import read_header
from hounsfield.dicom.writing import write_dataset
from hounsfield.pseudonyms import Pseudonyms
from tests.deid.pixels.drawing import Make, picture


def thumbnail(text: str, rows: int, columns: int) -> np.ndarray:
    """As broad as it is; uint8, axes (frame, row, column)."""
    large = np.full((4 * rows, 4 * columns), 20, np.uint8)
    for scale in (1.0, 3.6 * columns / cv2.getTextSize(text, 0, 1.0, 8)[0][0]):
        width, height = cv2.getTextSize(text, 0, scale, 8)[0]
    at = (4 * columns - width) // 2, (4 * rows + height) // 2
    cv2.putText(large, text, at, 0, scale, 250, 5, cv2.LINE_AA)
    return cv2.resize(large, (columns, rows), interpolation=cv2.INTER_AREA)[None]


@pytest.mark.parametrize(
    ("text", "rows", "columns"), [("KIM", 18, 18), ("KIM", 24, 24), ("MAYR", 12, 32)]
)
def test_a_name_in_a_thumbnail_is_masked(
    text: str, rows: int, columns: int, make_dataset: Make
) -> None:
    dataset = picture(make_dataset, thumbnail(text, rows, columns))
    record = clean_pixels(dataset)
    assert record.changed and record.looked == "each"
    assert not any(is_telling(text.text) for text in find_text(dataset.pixel_array))


@pytest.mark.parametrize("modality", ["OT", "CT"])
def test_what_is_too_small_to_be_read_is_not_called_clean(
    modality: str, make_dataset: Make, pseudonyms: Pseudonyms, tmp_path: Path
) -> None:
    """By itself, and as slices of a stack of which the later ones are as the first."""
    paths = [tmp_path / f"{number}.dcm" for number in range(3)]
    for path in paths:
        small = picture(make_dataset, np.zeros((1, 16, 17), np.uint16), Modality=modality)
        small.SOPInstanceUID = f"1.2.3.{path.stem}"
        write_dataset(small, path)
    report = Deidentifier(Profile.load("research"), pseudonyms).study(paths, tmp_path / "out")
    assert len(report.written) == 3
    for record in report.written:
        told = record.pixels.looked, record.pixels.reason
        assert told == ("none", "too small to bear text")
        cleaned = read_header(tmp_path / "out" / record.output)
        codes = {item.CodeValue for item in cleaned.DeidentificationMethodCodeSequence}
        assert "BurnedInAnnotation" not in cleaned and "113101" not in codes
