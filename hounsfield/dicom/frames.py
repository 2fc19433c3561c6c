"""Pixels straight from the file into their place, past pydicom where that gives the same values.

Where it might not, pydicom gets one frame at a time: a film is not in memory whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import jpeg_ls
import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLSLossless, RLELossless
from rle.rle import decode_frame

from hounsfield.dicom.alike import CodedPixels, NativePixels
from hounsfield.dicom.codecs import (
    MAX_FRAME_BYTES,
    has_low_bits,
    panics_as_errors,
    pixel_dtype,
)
from hounsfield.errors import StoreUnavailable, UndecodablePixels

__all__ = ["CodedFrames", "Frames", "NativeFrames", "frames_of", "read_frames"]

#: What a header must say for its pixels to be values as they lie there.
_PLAIN: Final = {
    "SamplesPerPixel": (1,),
    "PixelRepresentation": (0, 1),
    "PhotometricInterpretation": ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"),
}

#: Pixels share their chroma, so that frames are shorter (PS3.3 C.7.6.3.1.2).
_SHARED: Final = ("YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420")


def _of_rle(coded: bytes, like: np.ndarray) -> np.ndarray:
    decoded = decode_frame(coded, like.size, 8 * like.itemsize, "<")
    return np.frombuffer(decoded, like.dtype.newbyteorder("<")).reshape(like.shape)


def _of_jpegls(coded: bytes, like: np.ndarray) -> np.ndarray:
    decoded, told = jpeg_ls.decode_pixel_data(coded)
    if told["components"] != 1 or told["allowed_lossy_error"]:
        raise ValueError("not one lossless sample a pixel")
    if like.dtype.kind == "i" and told["bits_per_sample"] != 8 * like.itemsize:
        raise ValueError("a stream has no sign: what becomes of fewer bits is for pydicom to say")
    return np.frombuffer(decoded, like.dtype).reshape(told["height"], told["width"])


#: By transfer syntax; of others pydicom's decoders are as fast, or what is faster than they are
#: writes over its memory where a stream is spoilt, or keeps quiet about it.
_DECODERS: Final[dict[str, Callable[[bytes, np.ndarray], np.ndarray]]] = {
    RLELossless: _of_rle,
    JPEGLSLossless: _of_jpegls,
}


@dataclass(frozen=True, slots=True)
class NativeFrames:
    """The frames of uncompressed pixel data.

    Attributes
    ----------
    offset
        Of the first, in bytes.
    frame_bytes
        Of each.
    count
        How many there are.
    unused_bits
        BitsAllocated less BitsStored: what lies in them is no part of the value (PS3.5
        Section 8.1.1). None where what lies there is for pydicom to read, such as colours.
    """

    offset: int
    frame_bytes: int
    count: int
    unused_bits: int | None

    @property
    def is_direct(self) -> bool:
        """Whether :meth:`fill` may read them: they are of one sample a pixel."""
        return self.unused_bits is not None

    @property
    def is_film(self) -> bool:
        return self.count > 1

    def alone(self, header: Dataset, path: Path, frame: int) -> Dataset:
        """One frame as an image of its own, for pydicom.

        Parameters
        ----------
        header
            Of the file, without its pixels.
        """
        with _opened(path) as file:
            content = _bytes_at(file, self.offset + frame * self.frame_bytes, self.frame_bytes)
        content += b"\0" * (len(content) % 2)  # PS3.5 Section 8.1.1
        return _image(header, content, "OW" if header.get("BitsAllocated") > 8 else "OB")

    def fill(self, values: np.ndarray, file: BinaryIO, frame: int) -> None:
        """Reads one frame into an array of its size."""
        if self.unused_bits is None:
            raise UndecodablePixels("a frame is for pydicom to read")
        file.seek(self.offset + frame * self.frame_bytes)
        if file.readinto(values.data.cast("B")) != self.frame_bytes:  # type: ignore[attr-defined]
            raise UndecodablePixels("a file became shorter while it was read")
        if self.unused_bits:
            np.left_shift(values, self.unused_bits, out=values)
            np.right_shift(values, self.unused_bits, out=values)


@dataclass(frozen=True, slots=True)
class CodedFrames:
    """Frames of compressed pixel data.

    Attributes
    ----------
    frames
        For each, offset and length of its fragments, in bytes.
    syntax
        The transfer syntax.
    unused_bits
        BitsAllocated less BitsStored; None where what is decoded is for pydicom to say.
    """

    frames: tuple[tuple[tuple[int, int], ...], ...]
    syntax: str
    unused_bits: int | None

    @property
    def is_direct(self) -> bool:
        """Whether :meth:`fill` may decode them: they are of one lossless sample a pixel."""
        return self.unused_bits is not None

    @property
    def is_film(self) -> bool:
        return len(self.frames) > 1

    def alone(self, header: Dataset, path: Path, frame: int) -> Dataset:
        """One frame as an image of its own, for pydicom.

        Parameters
        ----------
        header
            Of the file, without its pixels.
        """
        with _opened(path) as file:
            coded = self._coded(file, frame)
        image = _image(header, encapsulate([coded]), "OB")
        image["PixelData"].is_undefined_length = True
        return image

    def fill(self, values: np.ndarray, file: BinaryIO, frame: int) -> None:
        """Decodes one frame into an array of its size."""
        if self.unused_bits is None:
            raise UndecodablePixels("a frame is for pydicom to decode")
        coded = self._coded(file, frame)
        try:
            with panics_as_errors():
                decoded = _DECODERS[self.syntax](coded, values)
        except Exception as error:  # codecs raise whatever the bytes lead them to
            raise UndecodablePixels(
                "a frame is not what its header says", where=type(error).__name__
            ) from None
        if decoded.shape != values.shape:
            raise UndecodablePixels("a frame is not what its header says")
        if self.unused_bits and decoded.max() >> (8 * values.itemsize - self.unused_bits):
            raise UndecodablePixels("a frame has values of more bits than its header says")
        values[:] = decoded

    def _coded(self, file: BinaryIO, frame: int) -> bytes:
        return b"".join(_bytes_at(file, *fragment) for fragment in self.frames[frame])


#: How to read the frames of an instance.
Frames: TypeAlias = NativeFrames | CodedFrames


def frames_of(header: Any, pixels: NativePixels | CodedPixels, frames: int) -> Frames | None:
    """How to read frames without pydicom; None where it had better look at them.

    Parameters
    ----------
    header
        Answers to ``get``, by keyword.
    """
    unused = _unused_bits(header)
    if isinstance(pixels, CodedPixels):
        # What the sign of fewer bits than an element has becomes is for pydicom to say.
        is_signed = header.get("PixelRepresentation") == 1
        is_plain = pixels.syntax in _DECODERS and not (unused and is_signed)
        coded = pixels.frames(frames)
        return CodedFrames(coded, pixels.syntax, unused if is_plain else None) if coded else None
    is_odd = header.get("BitsAllocated") == 1 or header.get("PhotometricInterpretation") in _SHARED
    if unused is None and (frames == 1 or is_odd):
        return None
    samples = int(header.get("SamplesPerPixel") or 1)
    values = int(header.get("Rows")) * int(header.get("Columns")) * samples
    frame_bytes = values * pixel_dtype(header).itemsize
    if frame_bytes > MAX_FRAME_BYTES or frame_bytes * frames > pixels.length:
        return None
    return NativeFrames(pixels.offset, frame_bytes, frames, unused)


def _image(header: Dataset, pixels: bytes, vr: str) -> Dataset:
    # Without the Extended Offset Table, which is of all frames.
    image = Dataset({tag: item for tag, item in header.items() if tag.group != 0x7FE0})
    image.file_meta = header.file_meta
    image.NumberOfFrames = 1
    image.add_new("PixelData", vr, pixels)
    return image


def _unused_bits(header: Any) -> int | None:
    """BitsAllocated less BitsStored; None where values are not simply what lies there."""
    allocated, stored = header.get("BitsAllocated"), header.get("BitsStored")
    if pixel_dtype(header).kind == "f" or allocated not in (8, 16, 32):
        return None
    if not isinstance(stored, int) or not 0 < stored <= allocated or not has_low_bits(header):
        return None
    if any(header.get(keyword) not in allowed for keyword, allowed in _PLAIN.items()):
        return None
    return int(allocated - stored)


def read_frames(path: Path, wanted: list[tuple[Frames, int]], out: list[np.ndarray]) -> None:
    """Reads frames of one file into arrays of their size.

    Parameters
    ----------
    wanted
        Frames, with their zero-based numbers.
    out
        For each of them a C-contiguous array in this machine's byte order, to be filled.

    Raises
    ------
    UndecodablePixels
        The file is shorter than it was when its header was read, or a compressed frame is not
        what the header says: pydicom may know better.
    StoreUnavailable
        The file could not be read at all.
    """
    with _opened(path) as file:
        for (frames, frame), values in zip(wanted, out, strict=True):
            frames.fill(values, file, frame)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb", buffering=0) as file:
            yield file
    except OSError as error:
        raise StoreUnavailable(
            f"a file could not be read: {error.strerror}",
            remedy="see the disk and the permissions, then run it again",
        ) from None


def _bytes_at(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    found = file.read(length)
    if len(found) != length:
        raise UndecodablePixels("a file became shorter while it was read")
    return found
