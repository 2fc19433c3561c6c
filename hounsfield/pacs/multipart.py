"""multipart/related (RFC 2387, PS3.18 Section 8.6), read as it comes.

dicomweb-client has a reader too. It takes what a broken connection leaves of the last part
for a whole part, and a server that ends its answers by hanging up (Orthanc) gives no other
sign of it. Here a part counts only when the boundary after it has come.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from email.message import Message

__all__ = ["CutOffBody", "PartTooLong", "boundary_of", "parts"]

_LONGEST_HEADER = 65_536  # bytes of one part
_LENGTH = re.compile(rb"\r\nContent-Length:[ \t]*([0-9]{1,18})", re.IGNORECASE)
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{1,200}")  # RFC 2046 has 70: servers have more


class CutOffBody(Exception):
    """The body ended before its last boundary, or is not made of parts at all."""


class PartTooLong(Exception):
    """A part goes on beyond what is taken, if it has an end."""


def boundary_of(content_type: str) -> bytes | None:
    """The boundary of a multipart body; None where the media type is another one."""
    message = Message()
    message["Content-Type"] = content_type.replace("\r", " ").replace("\n", " ")
    if message.get_content_type() != "multipart/related":
        return None
    boundary = message.get_param("boundary")
    if not isinstance(boundary, str) or not _BOUNDARY.fullmatch(boundary):
        return None
    return boundary.encode("ascii")


def parts(
    chunks: Iterable[bytes], boundary: bytes, *, longest: float = math.inf
) -> Iterator[bytes]:
    """The content of each part, without its header, once it is whole.

    Memory holds one part at a time.

    Parameters
    ----------
    longest
        Bytes of a part, above which no more is read.

    Raises
    ------
    CutOffBody
        After the last whole part, if the closing boundary did not come.
    PartTooLong
        After the last whole part, if there is one that is longer.
    """
    delimiter = b"\r\n--" + boundary
    buffer = bytearray(b"\r\n")  # so that the first delimiter looks like all others
    searched = 0
    is_first = True
    for chunk in chunks:
        buffer += chunk
        while (at := _end_of_part(buffer, delimiter, searched)) is not None:
            if not is_first:
                yield _content(memoryview(buffer)[:at].tobytes())
            is_first = False
            after = at + len(delimiter)
            if buffer[after : after + 2] == b"--":
                return
            del buffer[:after]
            searched = 0
        if len(buffer) > longest:
            raise PartTooLong
        searched = max(0, len(buffer) - len(delimiter) - 1)
    raise CutOffBody


def _end_of_part(buffer: bytearray, delimiter: bytes, start: int) -> int | None:
    """Where the next delimiter is; None if it, or the two bytes that tell its kind, lack."""
    at = buffer.find(delimiter, start)
    return at if 0 <= at <= len(buffer) - len(delimiter) - 2 else None


def _content(part: bytes) -> bytes:
    """A part after its header; the line break that ends the boundary's line comes first.

    A proxy may end properly what its server left off in the middle: where the header tells how
    long the part is, it is no shorter.
    """
    if part.startswith(b"\r\n\r\n"):  # no header at all
        return part[4:]
    end = part.find(b"\r\n\r\n", 0, _LONGEST_HEADER)
    if end < 0:
        raise CutOffBody
    told = _LENGTH.search(part, 0, end)
    if told is not None and len(part) - end - 4 < int(told[1]):
        raise CutOffBody
    return part[end + 4 :]
