"""Pictures without text: anatomy-like, with the things that detectors take for letters.

Each gives a picture of 0 to 1, axes (row, column) or (row, column, RGB).
"""

from __future__ import annotations

from datetime import datetime
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hounsfield.phantom import chest_volume
from hounsfield.phantom.habits import PHILIPS
from hounsfield.phantom.headers import Visit
from hounsfield.phantom.identity import draw_patient
from hounsfield.phantom.pictures import radiograph

Picture = NDArray[np.float32]

_PEOPLE = 3  # different chests a seed; the rest of the variety is cut, flip and noise
_HU_LOW, _HU_SPAN = -1024, 4095


def ultrasound(rng: np.random.Generator) -> Picture:
    """Speckle in a fan or a rectangle, a grey bar, a scale with ticks; colour Doppler at times."""
    rows, columns = [(480, 640), (600, 800), (768, 1024)][int(rng.integers(3))]
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    top = rows * 0.12
    away, turn = np.hypot(x - columns / 2, y - top), np.arctan2(x - columns / 2, y - top + 1e-3)
    seen = (away > 30) & (away < rows * 0.8) & (np.abs(turn) < rng.uniform(0.4, 0.8))
    if rng.random() < 0.4:
        seen = (np.abs(x - columns / 2) < columns * 0.28) & (y > top) & (y < rows * 0.88)
    waves = rng.standard_normal((2, rows, columns)).astype(np.float32)
    speckle = np.hypot(*(ndimage.gaussian_filter(wave, (1.0, 2.2)) for wave in waves))
    tissue = 0.6 + 0.4 * np.tanh(80 * ndimage.gaussian_filter(waves[0], 25))
    grey = np.where(seen, speckle * tissue * np.exp(-away / 900) * 2, 0).clip(0, 1)
    for _ in range(int(rng.integers(1, 4))):  # vessels and cysts, with bright walls
        at = (int(rng.uniform(0.35, 0.65) * columns), int(rng.uniform(0.3, 0.7) * rows))
        axes = (int(rng.integers(12, 60)), int(rng.integers(8, 30)))
        cv2.ellipse(grey, at, axes, float(rng.uniform(0, 180)), 0, 360, 0.05, -1)
        cv2.ellipse(grey, at, axes, float(rng.uniform(0, 180)), 20, 150, 0.8, 2)
    picture = np.repeat(grey[..., None], 3, axis=2)
    if rng.random() < 0.35:
        flow = (ndimage.gaussian_filter(waves[1], 12) * 60).clip(-1, 1) * (np.abs(turn) < 0.2)
        flow = flow * ((away > rows * 0.3) & (away < rows * 0.5))
        picture[..., 0] += flow.clip(0, 1)
        picture[..., 2] += (-flow).clip(0, 1)
    _grey_bar(picture, columns - 24, int(rows * 0.2))
    _ticks(picture, columns - 40, step=int(rng.integers(14, 40)))
    if rng.random() < 0.5:
        _crosses(rng, picture)
    return picture.clip(0, 1)


def chest_radiograph(rng: np.random.Generator, shape: tuple[int, int]) -> Picture:
    """A projected chest with tubes, leads, a collimated border or a grid."""
    film = _chest_film(int(rng.integers(_PEOPLE)))
    film = film[:, ::-1] if rng.random() < 0.5 else film
    picture = _resized(film, shape) * np.float32(rng.uniform(0.75, 1.0))
    picture += rng.standard_normal(shape).astype(np.float32) * np.float32(0.01)
    if rng.random() < 0.6:
        _catheter(rng, picture)
    if rng.random() < 0.4:
        _border(rng, picture)
    if rng.random() < 0.3:
        picture[:: int(rng.integers(3, 7))] += np.float32(0.03)  # lines of an anti-scatter grid
    return np.ascontiguousarray(picture).clip(0, 1)


def limb_radiograph(rng: np.random.Generator, shape: tuple[int, int]) -> Picture:
    """Long bones with edges, screws, a ruler."""
    rows, columns = shape
    picture = np.zeros(shape, np.float32)
    unit = min(shape)
    x0 = columns * float(rng.uniform(0.35, 0.6))
    for number in range(int(rng.integers(1, 5))):
        x = int(x0 + number * unit * 0.12)
        lean = int(rng.uniform(-0.1, 0.1) * columns)
        ends = ((x, int(rows * 0.08)), (x + lean, int(rows * 0.92)))
        width = int(unit * rng.uniform(0.04, 0.09))
        cv2.line(picture, *ends, 0.75, width)
        cv2.line(picture, *ends, 0.45, max(1, int(width * 0.6)))
        for end in ends:
            cv2.circle(picture, end, int(width * 0.8), 0.6, -1)
        if rng.random() < 0.5:
            _screws(rng, picture, x + lean // 2, width)
    soft = ndimage.gaussian_filter(cv2.resize(picture, None, fx=0.25, fy=0.25), unit / 60)
    picture = 0.15 + 0.7 * picture + 0.8 * _resized(soft, shape)
    picture = cv2.GaussianBlur(picture, (0, 0), max(1.0, unit / 700))
    picture += rng.standard_normal(shape).astype(np.float32) * np.float32(0.012)
    if rng.random() < 0.5:
        _ticks(picture, int(columns * 0.1), step=max(8, unit // 60))
    if rng.random() < 0.6:
        _border(rng, picture)
    return picture.clip(0, 1)


def mammogram(rng: np.random.Generator, shape: tuple[int, int]) -> Picture:
    """A breast against air, with strands and specks of calcium."""
    rows, columns = shape
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    depth = np.hypot((y - rows * 0.5) / (rows * 0.42), x / (columns * rng.uniform(0.5, 0.75)))
    breast = np.clip((1 - depth) * 6, 0, 1)
    small = rng.standard_normal((rows // 8, columns // 8)).astype(np.float32)
    strands = sum(ndimage.gaussian_filter(small, s) * s for s in (1.5, 4, 10))
    strands = _resized(np.asarray(strands, np.float32), shape)
    picture = breast * (0.35 + 0.12 * strands)
    for _ in range(int(rng.integers(0, 25))):
        at = (int(rng.uniform(0.05, 0.4) * columns), int(rng.uniform(0.3, 0.7) * rows))
        cv2.circle(picture, at, int(rng.integers(1, 4)), 0.9, -1)
    picture += rng.standard_normal(shape).astype(np.float32) * np.float32(0.008)
    return (picture[:, ::-1] if rng.random() < 0.5 else picture).clip(0, 0.95)


def screenshot(rng: np.random.Generator) -> Picture:
    """Curves, tables and colour maps of a workstation, without their words."""
    rows, columns = [(512, 512), (600, 800), (768, 1024), (512, 640)][int(rng.integers(4))]
    paper = float(rng.choice((0.0, 0.05, 0.25, 0.9, 1.0)))
    picture = np.full((rows, columns, 3), paper, np.float32)
    ink = 0.9 if paper < 0.5 else 0.1
    box = (int(columns * 0.3), int(rows * 0.35), int(columns * 0.85), int(rows * 0.85))
    kind = int(rng.integers(4))
    if kind == 0:  # a curve in its axes
        cv2.rectangle(picture, box[:2], box[2:], (ink,) * 3, 1)
        _ticks(picture, box[0], step=20)
        t = np.linspace(0, 1, 120)
        curve = 0.5 + 0.4 * np.sin(t * rng.uniform(5, 20)) * np.exp(-t * 2)
        points = np.stack([box[0] + t * (box[2] - box[0]), box[1] + curve * (box[3] - box[1])], 1)
        cv2.polylines(picture, [points.astype(np.int32)], False, (0.2, 0.8, 0.3), 2)
    elif kind == 1:  # a ruled table
        for y in range(box[1], box[3], 26):
            cv2.line(picture, (box[0], y), (box[2], y), (ink,) * 3, 1)
        for x in range(box[0], box[2], 90):
            cv2.line(picture, (x, box[1]), (x, box[3]), (ink,) * 3, 1)
    elif kind == 2:  # a rendered slice with a colour bar
        plane = _ct_slices(int(rng.integers(_PEOPLE)))[int(rng.integers(3, 9))]
        window = ((plane - 0.2) * 8).clip(0, 1)
        image = _resized(window, (box[3] - box[1], box[2] - box[0]))
        picture[box[1] : box[3], box[0] : box[2]] = image[..., None]
        _grey_bar(picture, box[2] + 10, box[1])
    else:  # bars and icons
        for number in range(6):
            x = box[0] + number * 40
            height = int(rng.uniform(20, 160))
            tone = tuple(float(v) for v in rng.uniform(0.2, 1, 3))
            cv2.rectangle(picture, (x, box[3] - height), (x + 24, box[3]), tone, -1)
        cv2.circle(picture, (box[2], box[1]), 12, (0.9, 0.3, 0.2), -1)
    return picture.clip(0, 1)


def ct_slices(rng: np.random.Generator) -> Picture:
    """Twelve slices of a chest, axes (slice, row, column): 0 is -1024 HU and 1 is 3071 HU."""
    slices = _ct_slices(int(rng.integers(_PEOPLE)))
    slices = slices[:, :, ::-1] if rng.random() < 0.5 else slices
    noise = rng.standard_normal(slices.shape).astype(np.float32)
    slices = slices + noise * np.float32(rng.uniform(6, 25) / _HU_SPAN)
    if rng.random() < 0.3:
        for plane in slices[4:8]:  # wires of an ECG, a clip
            cv2.line(plane, (150, 120), (360, 132), 0.9, 2)
            cv2.rectangle(plane, (250, 250), (258, 256), 1.0, -1)
    return np.ascontiguousarray(slices).clip(0, 1)


@cache
def _chest_film(person: int) -> Picture:
    rng = np.random.default_rng(person)
    visit = Visit(f"burned-in/{person}", draw_patient(rng), PHILIPS, datetime(2024, 1, 1), 0)
    dataset = radiograph(visit, person)
    film = np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns)
    return film.astype(np.float32) / 4095


@cache
def _ct_slices(person: int) -> Picture:
    hu = chest_volume(person, shape=(12, 256, 256), spacing_zyx=(20, 1.6, 1.6), noise_hu=0).hu
    planes = [_resized(plane.astype(np.float32), (512, 512)) for plane in hu]
    return (np.stack(planes) - _HU_LOW) / _HU_SPAN


def _resized(picture: Picture, shape: tuple[int, int]) -> Picture:
    return np.asarray(cv2.resize(picture, shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


# What detectors take for letters. All draw in place.


def _tone(picture: Picture, value: float) -> float | tuple[float, ...]:
    return (value,) * 3 if picture.ndim == 3 else value


def _ticks(picture: Picture, x: int, *, step: int) -> None:
    rows = picture.shape[0]
    for number, y in enumerate(range(int(rows * 0.15), int(rows * 0.9), step)):
        length = 12 if number % 5 == 0 else 6
        cv2.line(picture, (x, y), (x + length, y), _tone(picture, 0.9), 1)


def _grey_bar(picture: Picture, x: int, y: int) -> None:
    ramp = np.linspace(1, 0, 120, dtype=np.float32)[:, None, None]
    part = picture[y : y + 120, x : x + 12]
    part[:] = ramp[: part.shape[0]]


def _crosses(rng: np.random.Generator, picture: Picture) -> None:
    """Callipers and the dotted line between them."""
    rows, columns = picture.shape[:2]
    ends = rng.uniform(0.35, 0.65, (2, 2)) * (columns, rows)
    for x, y in ends.astype(int).tolist():
        cv2.drawMarker(picture, (x, y), (0.9, 0.9, 0.2), cv2.MARKER_CROSS, 12, 1)
    for share in np.linspace(0, 1, 16):
        x, y = (ends[0] * (1 - share) + ends[1] * share).astype(int).tolist()
        cv2.circle(picture, (x, y), 1, (0.9, 0.9, 0.2), -1)


def _catheter(rng: np.random.Generator, picture: Picture) -> None:
    rows, columns = picture.shape
    t = np.linspace(0, 1, 60)
    x = columns * (0.5 + 0.2 * np.sin(t * rng.uniform(2, 6)) * t + rng.uniform(-0.1, 0.1))
    points = np.stack([x, rows * (0.02 + t * rng.uniform(0.4, 0.8))], axis=1).astype(np.int32)
    width = max(2, rows // 250)
    cv2.polylines(picture, [points], False, 0.95, width, cv2.LINE_AA)
    cv2.circle(picture, tuple(points[-1].tolist()), width * 3, 0.95, width)


def _border(rng: np.random.Generator, picture: Picture) -> None:
    """Outside a collimator, all is black or white."""
    rows, columns = picture.shape
    edge = float(rng.choice((0.0, 1.0)))
    top, left = int(rows * rng.uniform(0.01, 0.06)), int(columns * rng.uniform(0.01, 0.08))
    for strip in (picture[:top], picture[-top:], picture[:, :left], picture[:, -left:]):
        strip[:] = edge


def _screws(rng: np.random.Generator, picture: Picture, x: int, width: int) -> None:
    rows = picture.shape[0]
    for y in np.linspace(0.3, 0.6, int(rng.integers(2, 6))) * rows:
        ends = ((x - width, int(y)), (x + width, int(y) + width // 6))
        cv2.line(picture, *ends, 1.4, max(3, width // 8))
        for share in np.linspace(0.2, 0.8, 5):
            at = (int(ends[0][0] * (1 - share) + ends[1][0] * share), int(y))
            cv2.line(picture, (at[0], at[1] - 4), (at[0], at[1] + 4), 1.4, 1)
