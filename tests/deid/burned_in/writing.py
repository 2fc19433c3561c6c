"""Made-up identities drawn as glyphs: fonts, sizes, polarities, rotations."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from hounsfield.phantom.identity import draw_patient

Picture = NDArray[np.float32]

#: Of the font, in pixels; capital letters are about 0.73 of it.
SIZES = (10, 11, 12, 14, 16, 18, 20, 24, 28, 32, 40)
_FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSerif", "")
#: Half of a pixel or more is covered by a letter.
_INKED = 0.5
#: Least contrast of text with what lies under it, of the whole range.
_LEGIBLE = 0.35

# What no Latin recogniser reads; each is a made-up name with a date or a number.
SCRIPTS = {
    "Japanese": ("鵺野 澪汐 様", "薄氷 雷那 昭和42年"),
    "Cyrillic": ("Жмыхов Прокл Ильич", "Щукарёва Фёкла 1951"),
    "Greek": ("Ξυδάκης Φώτιος", "Ψωμάς Θρασύβουλος 1948"),
    "Chinese": ("欧阳鹮 女 58岁", "东方鲲 住院号 771"),
}


@dataclass
class Sheet:
    """A picture that is being written on.

    Attributes
    ----------
    picture
        Axes (row, column) or (row, column, RGB), 0 to 1.
    text, marks
        Pixels of telling text, and of each marker.
    taken
        Where something is written already.
    """

    picture: Picture
    text: NDArray[np.bool_] = field(init=False)
    marks: list[NDArray[np.bool_]] = field(default_factory=list)
    taken: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.text = np.zeros(self.picture.shape[:2], bool)
        self.taken = np.zeros(self.picture.shape[:2], bool)

    def write(
        self,
        rng: np.random.Generator,
        glyphs: Picture,
        *,
        place: str = "",
        marker: bool = False,
        colour: bool = False,
    ) -> bool:
        """Puts glyphs at a free place, with a contrast that a person can read."""
        spot = self._free_spot(rng, glyphs.shape, place)
        if spot is None:
            return False
        part = self.picture[spot]
        below = part.reshape(-1, part.shape[-1]).mean(axis=1) if part.ndim == 3 else part.ravel()
        ink = _ink(rng, below)
        if ink is None:
            plate = float(rng.integers(0, 2))
            part[:] = plate
            ink = 1 - plate
        tone = _tinted(rng, ink) if colour and part.ndim == 3 else ink
        cover = glyphs[..., None] if part.ndim == 3 else glyphs
        part[:] = part * (1 - cover) + cover * np.asarray(tone, np.float32)
        inked = np.zeros_like(self.taken)
        inked[spot] = glyphs >= _INKED
        self.taken[spot] = True
        if marker:
            self.marks.append(inked)
        else:
            self.text |= inked
        return True

    def _free_spot(
        self, rng: np.random.Generator, shape: tuple[int, ...], place: str
    ) -> tuple[slice, slice] | None:
        rows, columns = self.taken.shape
        height, width = shape
        if height > rows - 8 or width > columns - 8:
            return None
        for _ in range(40):
            y = int(rng.integers(4, rows - height - 3))
            x = int(rng.integers(4, columns - width - 3))
            if place == "corner":
                y = int(rng.choice((4, rows - height - 4))) if rng.random() < 0.7 else y
                x = int(rng.choice((4, columns - width - 4)))
            around = (slice(max(0, y - 12), y + height + 12), slice(max(0, x - 12), x + width + 12))
            if not self.taken[around].any():
                return slice(y, y + height), slice(x, x + width)
        return None


def _ink(rng: np.random.Generator, below: Picture) -> float | None:
    """A grey that stands out from all that lies below it, or none."""
    low, high = np.percentile(below, (5, 95))
    fits = [ink for ink in (1.0, 1.0, 0.85, 0.7, 0.0) if min(abs(ink - low), abs(ink - high)) > 0]
    fits = [
        ink for ink in fits if (ink - high >= _LEGIBLE if ink > high else low - ink >= _LEGIBLE)
    ]
    return float(rng.choice(fits)) if fits else None


def _tinted(rng: np.random.Generator, ink: float) -> tuple[float, float, float]:
    if ink < 0.5:
        return (ink, ink, float(rng.choice((ink, 0.4))))
    tints = ((1, 1, 0.2), (0.3, 1, 0.4), (0.3, 0.9, 1), (1, 0.7, 0.2), (1, 1, 1))
    red, green, blue = tints[int(rng.integers(len(tints)))]
    return (ink * red, ink * green, ink * blue)


def identity_lines(rng: np.random.Generator, count: int) -> tuple[str, ...]:
    """What consoles burn in: names, numbers, dates."""
    patient = draw_patient(rng)
    name, born = patient.drawn_name, patient.birth_date
    family, _, given = name.partition(" ")
    kinds = (
        name,
        f"{family.title()}, {given.title()}",
        f"Name: {name.title()}",
        f"ID: {patient.patient_id}",
        patient.patient_id,
        f"DOB {born[6:]}.{born[4:6]}.{born[:4]}",
        f"{born[:4]}-{born[4:6]}-{born[6:]}",
        f"{born[6:]}/{born[4:6]}/{born[:4]} F 63Y",
        f"Acc# {patient.accession_number}",
        f"Dr. {given.title()}",
        "Sankt-Quirl-Spital",
        f"{born[4:6]}/{born[6:]}/{born[2:4]}  {rng.integers(7, 19)}:{rng.integers(10, 59)}:21",
    )
    return tuple(str(line) for line in rng.choice(kinds, count, replace=False))


def glyphs_of(rng: np.random.Generator, lines: tuple[str, ...], size: int, angle: float) -> Picture:
    """Coverage 0 to 1 of left-aligned lines in one of the fonts, turned by degrees."""
    name = _FONTS[int(rng.integers(len(_FONTS)))]
    hard_edges = size >= 14 and rng.random() < 0.2  # consoles without anti-aliasing
    return _turned(_set(lines, _font(name, size), "1" if hard_edges else "L"), angle)


def foreign_glyphs(lines: tuple[str, ...], size: int) -> Picture:
    """The same in the Unicode font that OpenCV carries."""
    canvas = np.zeros((len(lines) * size * 2 + size, size * 24, 3), np.uint8)
    for number, line in enumerate(lines):
        at = (4, int(size * (1.3 + 1.6 * number)))
        cv2.putText(canvas, line, at, (255, 255, 255), cv2.FontFace("uni"), size)
    return _cropped(canvas[..., 0].astype(np.float32) / 255)


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if not name:
        return ImageFont.load_default(size)
    import matplotlib

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    return ImageFont.truetype(str(folder / f"{name}.ttf"), size)


def _set(lines: tuple[str, ...], font: ImageFont.FreeTypeFont, mode: str) -> Picture:
    probe = ImageDraw.Draw(Image.new(mode, (1, 1)))
    left, top, right, bottom = probe.multiline_textbbox((0, 0), "\n".join(lines), font=font)
    image = Image.new(mode, (int(right - left) + 4, int(bottom - top) + 4))
    ImageDraw.Draw(image).multiline_text((2 - left, 2 - top), "\n".join(lines), fill=255, font=font)
    return _cropped(np.asarray(image.convert("L"), np.float32) / 255)


def _cropped(cover: Picture) -> Picture:
    rows, columns = np.nonzero(cover > 0)
    return cover[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def _turned(cover: Picture, angle: float) -> Picture:
    if angle % 90 == 0:
        return np.ascontiguousarray(np.rot90(cover, int(angle // 90)))
    height, width = cover.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    cos, sin = abs(turn[0, 0]), abs(turn[0, 1])
    size = (int(height * sin + width * cos) + 3, int(height * cos + width * sin) + 3)
    turn[:, 2] += (size[0] / 2 - width / 2, size[1] / 2 - height / 2)
    return _cropped(np.clip(cv2.warpAffine(cover, turn, size, flags=cv2.INTER_CUBIC), 0, 1))
