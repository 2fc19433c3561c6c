"""Pixel data as stored values, or a reason.

Stored values (PS3.3 C.7.6.3.1) are what the scanner wrote: no rescale, no window, no palette,
no colour conversion. A header may lie about the size of what follows it, so sizes are checked
before anything of that size is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import parse_fragments
from pydicom.pixels import get_decoder
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    UID_dictionary,
)

from hounsfield.errors import UndecodablePixels

__all__ = [
    "MAX_FRAME_BYTES",
    "PIXEL_KEYWORDS",
    "check_frame_bytes",
    "check_syntax",
    "claimed_bytes",
    "decode",
    "decode_colours",
    "decode_picture",
    "decode_words",
    "has_low_bits",
    "panics_as_errors",
    "pixel_dtype",
    "transfer_syntax_of",
]

PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")

#: No plane of any modality comes near this; a header that claims more lies (46,341 squared
#: overflows a signed 32-bit count).
MAX_FRAME_BYTES = 1 << 30

# The fastest decoder that gave equal values on the marker data; any other one where it fails.
_FASTEST: dict[str, str] = {
    JPEGLossless: "gdcm",
    JPEGLosslessSV1: "gdcm",
    JPEG2000Lossless: "gdcm",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    RLELossless: "pylibjpeg",
}

#: Photometric interpretation as stored → without its subsampling (PS3.3 C.7.6.3.1.2).
_FULL = {"YBR_FULL_422": "YBR_FULL"}

_REMEDY = "ask its source for it again, or for another transfer syntax"


def transfer_syntax_of(dataset: Dataset) -> UID:
    """The transfer syntax from the File Meta Information, or as the bytes were found to be."""
    meta = getattr(dataset, "file_meta", None)
    uid = meta.get("TransferSyntaxUID") if meta is not None else None
    if uid:
        return UID(uid)
    implicit, little = dataset.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRBigEndian if little is False else ExplicitVRLittleEndian


def pixel_dtype(dataset: Dataset) -> np.dtype[Any]:
    """The dtype of the stored values, by BitsAllocated and PixelRepresentation.

    Raises
    ------
    UndecodablePixels
        No dtype has that many bits.
    """
    if "FloatPixelData" in dataset:
        return np.dtype(np.float32)
    if "DoubleFloatPixelData" in dataset:
        return np.dtype(np.float64)
    bits = _count(dataset, "BitsAllocated")
    if bits not in (1, 8, 16, 32):
        raise UndecodablePixels(f"BitsAllocated is {bits}, not 1, 8, 16 or 32", remedy=_REMEDY)
    signed = dataset.get("PixelRepresentation", 0) == 1
    return np.dtype(f"{'i' if signed else 'u'}{max(1, bits // 8)}")


def decode(dataset: Dataset, *, frame: int | None = None) -> np.ndarray:
    """The stored values of an instance.

    Parameters
    ----------
    dataset
        With its pixel data.
    frame
        Zero-based; None for all.

    Returns
    -------
    numpy.ndarray
        Axes (frame, row, column), or (frame, row, column, sample) where there are several
        samples a pixel, in the colour space that the codec gives. One frame is an axis of 1.

    Raises
    ------
    UndecodablePixels
        There are no pixels, fewer than the header says, or no codec here reads them.
    """
    return decode_picture(dataset, frame=frame)[0]


def decode_picture(dataset: Dataset, *, frame: int | None = None) -> tuple[np.ndarray, str]:
    """As :func:`decode`, with the PhotometricInterpretation of what it gives.

    That differs from the header's where the codec turns colours back (YBR_RCT becomes RGB), or
    where chroma was subsampled and is not any more (YBR_FULL_422 becomes YBR_FULL).
    """
    syntax = transfer_syntax_of(dataset)
    check_syntax(syntax)
    shape = _claimed_shape(dataset)
    _check_claim(dataset, syntax, shape)
    if frame is not None:
        if not 0 <= frame < shape[0]:
            raise UndecodablePixels(f"there is no frame {frame} among {shape[0]}")
        shape = (1, *shape[1:])
    try:
        with panics_as_errors():
            array, photometric = _decode(dataset, syntax, frame)
    except (MemoryError, RecursionError):
        raise UndecodablePixels("the pixel data need more memory than there is") from None
    except UndecodablePixels:
        raise
    except Exception as error:  # codecs raise whatever the bytes lead them to
        raise UndecodablePixels(
            f"the pixel data cannot be decoded from {syntax.name}",
            where=type(error).__name__,
            remedy=_REMEDY,
        ) from None
    if array.size != math.prod(shape):
        raise UndecodablePixels(
            f"decoding gave {array.size} values for {math.prod(shape)}", remedy=_REMEDY
        )
    is_float = array.dtype.kind == "f"
    if not (is_float or has_low_bits(dataset)) and _is_beyond(array, dataset.BitsStored):
        raise _not_low_bits(dataset)
    # Explicit VR Big Endian gives its own byte order, which is no part of the values.
    native = array.reshape(shape).astype(array.dtype.newbyteorder("="), copy=False)
    return native, _FULL.get(photometric, photometric)


def decode_words(dataset: Dataset) -> np.ndarray:
    """The words that the stored values lie in, with the bits that are no part of a value.

    Returns
    -------
    numpy.ndarray
        Unsigned, with the axes of :func:`decode`.

    Raises
    ------
    UndecodablePixels
        As :func:`decode`.
    """
    whole = Dataset(dict(dataset.items()))
    whole.file_meta = FileMetaDataset()
    whole.file_meta.TransferSyntaxUID = transfer_syntax_of(dataset)
    bits = _count(dataset, "BitsAllocated")
    for keyword, value in (("BitsStored", bits), ("HighBit", bits - 1), ("PixelRepresentation", 0)):
        whole.add_new(keyword, "US", value)  # not into the elements that both hold
    return decode(whole)


def decode_colours(dataset: Dataset) -> np.ndarray:
    """All frames of a colour image as RGB, whatever the file holds.

    Returns
    -------
    numpy.ndarray
        Axes (frame, row, column, RGB).

    Raises
    ------
    UndecodablePixels
        As :func:`decode`.
    """
    shape = decode(dataset, frame=0).shape  # refuses what lies about its size
    try:
        with panics_as_errors():
            array = np.stack(list(_in_colours(dataset)))
    except Exception as error:
        raise UndecodablePixels(
            "colour pixels cannot be decoded", where=type(error).__name__
        ) from None
    return array.reshape(-1, *shape[1:])


def _in_colours(dataset: Dataset) -> Iterator[np.ndarray]:
    """Frame by frame: a conversion of colours holds several copies of what it converts."""
    syntax = transfer_syntax_of(dataset)
    decoder = get_decoder(syntax)
    if syntax.is_encapsulated:
        yield from (frame for frame, _ in decoder.iter_array(dataset, raw=False))
        return
    # pydicom, asked for all, takes each frame after the first for as long as an RGB one.
    for index in range(_count(dataset, "NumberOfFrames", 1)):
        yield decoder.as_array(dataset, index=index, raw=False)[0]


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """Turns a panic of a codec in Rust, which is no Exception, into a ValueError."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise ValueError("a codec gave up") from None
        raise


def _decode(dataset: Dataset, syntax: UID, frame: int | None) -> tuple[np.ndarray, str]:
    decoder = get_decoder(syntax)
    preferred = _FASTEST.get(syntax)
    if preferred is not None and preferred in decoder.available_plugins:
        try:
            with panics_as_errors():
                return _stated(
                    decoder.as_array(dataset, index=frame, raw=True, decoding_plugin=preferred)
                )
        except Exception:  # noqa: S110
            pass  # the next decoder may read it
    return _stated(decoder.as_array(dataset, index=frame, raw=True, allow_excess_frames=False))


def _stated(decoded: tuple[np.ndarray, dict[str, Any]]) -> tuple[np.ndarray, str]:
    array, properties = decoded
    return array, str(properties["photometric_interpretation"])


def has_low_bits(header: Any) -> bool:
    """Whether stored values are the low bits of their words (PS3.5 Section 8.1.1).

    Retired editions allowed others; decoders here would take the low ones all the same.

    Parameters
    ----------
    header
        Answers to ``get``, by keyword.
    """
    high, stored = header.get("HighBit"), header.get("BitsStored")
    if not isinstance(high, int) or not isinstance(stored, int):
        return True
    return high == stored - 1 or stored == header.get("BitsAllocated")


def _is_beyond(values: np.ndarray, bits: int) -> bool:
    """Whether some do not fit into so many bits."""
    end = 1 << (bits - (values.dtype.kind == "i"))
    return bool(values.max() >= end or values.min() < -end)


def _not_low_bits(dataset: Dataset) -> UndecodablePixels:
    return UndecodablePixels(
        f"HighBit is {dataset.HighBit} of {dataset.BitsStored} stored bits", remedy=_REMEDY
    )


def _count(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    value = dataset.get(keyword)
    try:
        number = default if value is None or value == "" else int(value)
    except (TypeError, ValueError):
        number = None
    if number is None or number < 1:
        raise UndecodablePixels(f"{keyword} is missing or no positive number", remedy=_REMEDY)
    return number


def _claimed_shape(dataset: Dataset) -> tuple[int, ...]:
    if not any(keyword in dataset for keyword in PIXEL_KEYWORDS):
        raise UndecodablePixels("there are no pixel data")
    frames = _count(dataset, "NumberOfFrames", 1)
    samples = _count(dataset, "SamplesPerPixel", 1)
    plane = (_count(dataset, "Rows"), _count(dataset, "Columns"))
    return (frames, *plane) if samples == 1 else (frames, *plane, samples)


def check_syntax(syntax: UID) -> None:
    """Refuses a transfer syntax before frames are counted: a video has all of them in one fragment.

    Raises
    ------
    UndecodablePixels
        It is unknown, or no codec here reads it.
    """
    if not (syntax in UID_dictionary and syntax.is_transfer_syntax):
        raise UndecodablePixels("the transfer syntax is unknown", remedy=_REMEDY)
    try:
        get_decoder(syntax)
    except NotImplementedError:
        raise UndecodablePixels(
            f"no codec here reads {syntax.name}", remedy="ask its source for another one"
        ) from None


def check_frame_bytes(rows: int, columns: int, size: int) -> None:
    """Refuses a claim before anything of its size is asked for.

    Raises
    ------
    UndecodablePixels
        A frame of so many bytes is larger than any modality makes.
    """
    if size > MAX_FRAME_BYTES:
        raise UndecodablePixels(
            f"the header claims {rows} rows of {columns} columns, more than "
            f"{MAX_FRAME_BYTES >> 20} MiB a frame",
            remedy=_REMEDY,
        )


def claimed_bytes(dataset: Dataset) -> int:
    """Bytes that the header's frames take, uncompressed and without a byte to make them even.

    Raises
    ------
    UndecodablePixels
        Something that decides about it is missing, or is no number.
    """
    each = 1 if dataset.get("BitsAllocated") == 1 else pixel_dtype(dataset).itemsize * 8
    bits = math.prod(_claimed_shape(dataset)) * each
    if dataset.get("PhotometricInterpretation") == "YBR_FULL_422":
        bits = bits * 2 // 3  # two samples a pixel where the header says three: C.7.6.3.1.2
    return -(-bits // 8)


def _check_claim(dataset: Dataset, syntax: UID, shape: tuple[int, ...]) -> None:
    frames, *plane = shape
    bits = math.prod(plane) * pixel_dtype(dataset).itemsize * 8
    if dataset.get("BitsAllocated") == 1:
        bits = math.prod(plane)
    check_frame_bytes(shape[1], shape[2], bits // 8)
    stored = dataset.get("BitsStored")
    if "PixelData" in dataset and isinstance(stored, int):
        allocated = _count(dataset, "BitsAllocated")
        if not 0 < stored <= allocated:
            raise UndecodablePixels(f"BitsStored is {stored} of {allocated}", remedy=_REMEDY)
        # A JPEG stream has low bits as a rule, whatever the header says: its values tell.
        in_words = not syntax.is_encapsulated or syntax == RLELossless
        if in_words and not has_low_bits(dataset):
            raise _not_low_bits(dataset)
    content = next(dataset[keyword].value for keyword in PIXEL_KEYWORDS if keyword in dataset)
    size = len(content or b"")
    if syntax.is_encapsulated:
        try:
            held = parse_fragments(content)[0] - 1  # the first is the Basic Offset Table
        except Exception:
            held = 0
        if frames > max(held, 0):
            raise UndecodablePixels(
                f"{frames} frames are claimed and {max(held, 0)} fragments are there",
                remedy=_REMEDY,
            )
        return
    wanted = claimed_bytes(dataset)
    if size < wanted:
        raise UndecodablePixels(
            f"{wanted} bytes of pixel data are claimed and {size} are there", remedy=_REMEDY
        )
