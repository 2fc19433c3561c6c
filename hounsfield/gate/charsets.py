"""Text of any Specific Character Set as a string (PS3.3 Section C.12.1.1.2, PS3.5 Section 6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

__all__ = ["decoded"]

_CODECS: Final = {
    "ISO_IR 100": "latin-1",
    "ISO_IR 101": "iso8859-2",
    "ISO_IR 109": "iso8859-3",
    "ISO_IR 110": "iso8859-4",
    "ISO_IR 144": "iso8859-5",
    "ISO_IR 127": "iso8859-6",
    "ISO_IR 126": "iso8859-7",
    "ISO_IR 138": "iso8859-8",
    "ISO_IR 148": "iso8859-9",
    "ISO_IR 203": "iso8859-15",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 166": "tis_620",
    "ISO_IR 192": "utf-8",
    "GB18030": "gb18030",
    "GBK": "gbk",
}
# Escape sequences (PS3.3 Table C.12-3 and C.12-4) → the codec of the bytes that follow, and
# what that codec must find before them.
_ESCAPES: Final[dict[bytes, tuple[str, bytes]]] = {
    b"(B": ("ascii", b""),
    b"(J": ("shift_jis", b""),
    b")I": ("shift_jis", b""),
    b"$B": ("iso2022_jp", b"\x1b$B"),
    b"$@": ("iso2022_jp", b"\x1b$@"),
    b"$(D": ("iso2022_jp_1", b"\x1b$(D"),
    b"$)C": ("euc_kr", b""),
    b"$)A": ("gb2312", b""),
    b"-A": ("latin-1", b""),
    b"-B": ("iso8859-2", b""),
    b"-C": ("iso8859-3", b""),
    b"-D": ("iso8859-4", b""),
    b"-F": ("iso8859-7", b""),
    b"-G": ("iso8859-6", b""),
    b"-H": ("iso8859-8", b""),
    b"-L": ("iso8859-5", b""),
    b"-M": ("iso8859-9", b""),
    b"-T": ("tis_620", b""),
}
_ESCAPE = re.compile(rb"\x1b(\$\([A-Z]|\$\)[A-Z]|\$[@A-Z]|[()\-][A-Z])")


def decoded(value: bytes, charset: bytes = b"") -> Iterator[str]:
    """What a value may say: as its character set has it, and as UTF-8 where it can be that.

    A set that is named wrongly must not hide a name, so there may be two answers.

    Parameters
    ----------
    charset
        Value of SpecificCharacterSet; the first of several counts where no escape does.
    """
    codec = _codec(charset)
    yield _by_escapes(value, codec) if b"\x1b" in value else value.decode(codec, "replace")
    if codec != "utf-8" and not value.isascii():
        try:
            yield value.decode("utf-8")
        except UnicodeDecodeError:
            return


def _codec(charset: bytes) -> str:
    name = charset.split(b"\\")[0].decode("ascii", "replace").strip(" \0").upper()
    return _CODECS.get(name.replace("ISO 2022 IR", "ISO_IR"), "latin-1")


def _by_escapes(value: bytes, codec: str) -> str:
    first, *rest = _ESCAPE.split(value)
    text = first.decode(codec, "replace")
    for escape, part in zip(rest[::2], rest[1::2], strict=True):
        name, before = _ESCAPES.get(escape, (codec, b""))
        text += (before + part).decode(name, "replace")
    return text
