"""The corpus: cases by modality, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
)

from tests.deid.burned_in import scenes
from tests.deid.burned_in.writing import (
    SCRIPTS,
    SIZES,
    Picture,
    Sheet,
    foreign_glyphs,
    glyphs_of,
    identity_lines,
)

_CLASSES = {
    "US": UltrasoundImageStorage,
    "CR": ComputedRadiographyImageStorage,
    "DX": DigitalXRayImageStorageForPresentation,
    "MG": DigitalMammographyXRayImageStorageForPresentation,
    "SC": SecondaryCaptureImageStorage,
    "CT": CTImageStorage,
}
MODALITIES = tuple(_CLASSES)
_MARKERS = {
    "US": ("L", "R", "RT", "LT"),
    "CR": ("L", "R", "PA", "AP", "PORTABLE", "ERECT"),
    "DX": ("L", "R", "LAT", "AP", "RT"),
    "MG": ("RMLO", "LMLO", "RCC", "LCC"),
}
#: One in four is clean; one in six of CR, DX and MG is as large as such images are.
_CLEAN_EACH, _LARGE_EACH = 4, 6
_TURNED = (0, 0, 0, 90, 0, 0, 270, 0, 180, 0)  # and every fifth leans a little


@dataclass(frozen=True, slots=True)
class Case:
    """One object, or the slices of one series.

    Attributes
    ----------
    traits
        What is hard about it, for a report of what failed.
    slices
        One for all but CT.
    texts
        Pixels of telling text, one mask a slice.
    marks
        Pixels of each marker, in any slice.
    """

    name: str
    modality: str
    traits: tuple[str, ...]
    slices: tuple[Dataset, ...]
    texts: tuple[NDArray[np.bool_], ...]
    marks: tuple[NDArray[np.bool_], ...]

    @property
    def is_clean(self) -> bool:
        return not any(text.any() for text in self.texts)


def draw(seed: int, kind: str, number: int) -> Case:
    """One case of a modality, or of a name in a script that the recogniser was not trained on."""
    if kind in SCRIPTS:
        return _foreign(np.random.default_rng([seed, 99, number, len(kind)]), kind, number)
    rng = np.random.default_rng([seed, MODALITIES.index(kind), number])
    return _case(rng, kind, number)


def _foreign(rng: np.random.Generator, script: str, number: int) -> Case:
    modality = ("SC", "CR")[number % 2]
    sheet = Sheet(_scene(rng, modality, large=False))
    size = int(rng.choice((16, 20, 24, 32)))
    sheet.write(rng, foreign_glyphs(SCRIPTS[script], size), place="corner")
    return _finished(f"{script}-{number}", modality, (f"{size}px",), sheet, rng)


def _case(rng: np.random.Generator, modality: str, number: int) -> Case:
    clean = number % _CLEAN_EACH == _CLEAN_EACH - 1
    name = f"{modality}-{number:02d}"
    if modality == "CT":
        return _ct(rng, name, number, clean=clean)
    large = modality in ("CR", "DX", "MG") and number % _LARGE_EACH == 1
    sheet = Sheet(_scene(rng, modality, large=large))
    traits = ["large"] if large else []
    if not clean:
        traits += _write_identity(rng, sheet, number, colour=modality in ("US", "SC"))
    for text in _markers(rng, modality):
        size = int(rng.choice((24, 32, 40))) * (2 if large else 1)
        angle = float(rng.uniform(-8, 8)) if rng.random() < 0.3 else 0.0
        sheet.write(rng, glyphs_of(rng, (text,), size, angle), marker=True)
    return _finished(name, modality, tuple(traits), sheet, rng)


def _scene(rng: np.random.Generator, modality: str, *, large: bool) -> Picture:
    shape = (3000, 2400) if large else (int(rng.integers(500, 1300)), int(rng.integers(500, 1200)))
    drawn: dict[str, Callable[[], Picture]] = {
        "US": lambda: scenes.ultrasound(rng),
        "CR": lambda: scenes.chest_radiograph(rng, shape),
        "DX": lambda: scenes.limb_radiograph(rng, shape),
        "MG": lambda: scenes.mammogram(rng, shape),
        "SC": lambda: scenes.screenshot(rng),
    }
    return drawn[modality]()


def _markers(rng: np.random.Generator, modality: str) -> tuple[str, ...]:
    known = _MARKERS.get(modality)
    if known is None or (modality == "US" and rng.random() < 0.6):
        return ()
    return tuple(str(text) for text in rng.choice(known, int(rng.integers(1, 3)), replace=False))


def _write_identity(
    rng: np.random.Generator, sheet: Sheet, number: int, *, colour: bool
) -> list[str]:
    traits = []
    for block in range(int(rng.integers(1, 4))):
        size = SIZES[(number + 3 * block) % len(SIZES)]
        angle = float(_TURNED[(number + block) % len(_TURNED)])
        if number % 5 == 2 and block == 0:
            angle = float(rng.uniform(2, 12)) * (1 if number % 2 else -1)
        lines = identity_lines(rng, 1 if angle % 90 else int(rng.integers(1, 4)))
        place = "corner" if rng.random() < 0.7 else ""
        drawn = glyphs_of(rng, lines, size, angle)
        if sheet.write(rng, drawn, place=place, colour=colour):
            traits.append(f"{size}px@{angle:.0f}")
    return traits


def _ct(rng: np.random.Generator, name: str, number: int, *, clean: bool) -> Case:
    """Text on one slice, or the same text on all of them."""
    volume = scenes.ct_slices(rng)
    bearers: tuple[int, ...] = ()
    if not clean:
        bearers = tuple(range(len(volume))) if number % 3 == 0 else (int(rng.integers(12)),)
    plain = Sheet(volume[bearers[0] if bearers else 0].copy())
    traits = _write_identity(rng, plain, number, colour=False) if bearers else []
    wrote = np.abs(plain.picture - volume[bearers[0]]) > 0 if bearers else plain.text
    for bearer in bearers:
        volume[bearer][wrote] = plain.picture[wrote]
    stored = np.rint(volume * 4095 - 1024).astype(np.int16)
    texts = tuple(plain.text if z in bearers else np.zeros_like(plain.text) for z in range(12))
    values = {"PixelRepresentation": 1, "BitsStored": 16, "HighBit": 15}
    slices = tuple(_dataset("CT", plane, **values) for plane in stored)
    traits.append("all slices" if len(bearers) > 1 else "one slice")
    return Case(name, "CT", tuple(traits), slices, texts, ())


def _finished(
    name: str, modality: str, traits: tuple[str, ...], sheet: Sheet, rng: np.random.Generator
) -> Case:
    """Digitises a sheet as its modality does."""
    picture = sheet.picture.clip(0, 1)
    if picture.ndim == 3:
        stored = np.rint(picture * 255).astype(np.uint8)
        if rng.random() < 0.4:
            quality = int(rng.integers(35, 90))
            stored, traits = _through_jpeg(stored, quality), (*traits, f"jpeg {quality}")
        dataset = _dataset(modality, stored)
    else:
        bits = int(rng.choice((10, 12, 14)))
        inverted = rng.random() < 0.4
        if rng.random() < 0.2:
            quality = int(rng.integers(50, 90))
            picture = _through_jpeg(np.rint(picture * 255).astype(np.uint8), quality) / 255
            traits = (*traits, f"jpeg {quality}")
        stored = np.rint((1 - picture if inverted else picture) * (2**bits - 1)).astype(np.uint16)
        photometric = "MONOCHROME1" if inverted else "MONOCHROME2"
        values = {"PhotometricInterpretation": photometric, "BitsStored": bits, "HighBit": bits - 1}
        dataset = _dataset(modality, stored, **values)
        traits = (*traits, photometric)
    return Case(name, modality, traits, (dataset,), (sheet.text,), tuple(sheet.marks))


def _through_jpeg(stored: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    _, content = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, quality])
    flags = cv2.IMREAD_COLOR if stored.ndim == 3 else cv2.IMREAD_GRAYSCALE
    return np.asarray(cv2.imdecode(content, flags), np.uint8)


def _dataset(modality: str, stored: NDArray[Any], **values: Any) -> Dataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, is_implicit_VR=False, is_little_endian=True)
    bits = stored.dtype.itemsize * 8
    colour = stored.ndim == 3
    described = {
        "SOPClassUID": _CLASSES[modality],
        "Modality": modality,
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
        **values,
    }
    if colour:
        described["PlanarConfiguration"] = 0
    for keyword, value in described.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
    return dataset
