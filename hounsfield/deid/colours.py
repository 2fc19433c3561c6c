"""ICC profiles without what people write into them (ISO 15076-1, which is ICC.1).

A profile tells what the colours of a slide or a photograph are, and beside that who made it, when,
of which device, and whatever else its maker liked. The numbers that the colours take stay.
"""

from __future__ import annotations

import re
import struct
from typing import Final

__all__ = ["clean_profile"]

_HEADER: Final = 128  # bytes, then the table of tags: signature, offset and size of each
_MOST: Final = 100  # tags
# Of the header (ICC.1 Section 7.2): version, class, colour space, where it leads to; flags;
# attributes, intent and illuminant. Not who wrote it, when, and for which device.
_TELLING: Final = (slice(8, 24), slice(36, 40), slice(44, 48), slice(56, 80))
_CLASSES: Final = re.compile(rb"(scnr|mntr|prtr|spac)(RGB |GRAY)(XYZ |Lab )")
_MAGIC: Final = b"acsp"
_COLOURS: Final = frozenset(
    b"""
    A2B0 A2B1 A2B2 B2A0 B2A1 B2A2 bTRC bXYZ bkpt chad chrm gTRC gXYZ gamt kTRC lumi meas rTRC rXYZ
    view wtpt
    """.split()
)
_NUMBERS: Final = frozenset((b"XYZ ", b"curv", b"para", b"mft1", b"mft2", b"mAB ", b"mBA ")) | {
    *(b"sf32", b"chrm", b"meas", b"view")
}
#: What each profile must have, with no text in any language (Section 10.15).
_NAMELESS: Final = dict.fromkeys((b"cprt", b"desc"), struct.pack(">4s4xII", b"mluc", 0, 12))


def clean_profile(profile: bytes) -> bytes:
    """A profile of the same colours, and of nothing else.

    Raises
    ------
    ValueError
        It is none, or none that an image may have (PS3.3 Section C.11.15).
    """
    header = profile[:_HEADER]
    if header[36:40] != _MAGIC or not _CLASSES.fullmatch(header[12:24]):
        raise ValueError("no profile of an image")
    kept = _NAMELESS | _colours(profile)
    place = _HEADER + 4 + 12 * len(kept)
    table, bodies = struct.pack(">I", len(kept)), b""
    for signature, body in sorted(kept.items()):
        table += struct.pack(">4sII", signature, place + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    told = bytearray(_HEADER)
    for part in _TELLING:
        told[part] = header[part]
    told[:4] = struct.pack(">I", place + len(bodies))
    return bytes(told) + table + bodies


def _colours(profile: bytes) -> dict[bytes, bytes]:
    """What holds numbers, by signature."""
    try:
        (count,) = struct.unpack_from(">I", profile, _HEADER)
        places = [
            struct.unpack_from(">4sII", profile, _HEADER + 4 + 12 * index)
            for index in range(min(count, _MOST))
        ]
    except struct.error:
        raise ValueError("a profile that ends too early") from None
    bodies = {signature: profile[at : at + size] for signature, at, size in places}
    return {
        signature: body
        for signature, body in bodies.items()
        if signature in _COLOURS and body[:4] in _NUMBERS
    }
