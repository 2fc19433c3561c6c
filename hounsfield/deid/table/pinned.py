"""The data files and the digests they must have: an edited table is not the Standard's."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from hounsfield.errors import IntegrityError
from hounsfield.records import digest_of

__all__ = ["DIGESTS", "EDITION", "read_pinned", "table_digest"]

EDITION = "2024e"

#: SHA-256 of each data file. Whoever changes a table changes its digest here, in one commit.
DIGESTS = {
    "ps3.15_e1-1_2024e.csv": "91477466dd1036d41e12c71c1998bbeee701b846d4d68cbc65391387acd5eec3",
    "additions.csv": "20a1bcdb9eee50ada3b1e9ddfc34c6594c2618142325967a0291d3e17ffc7ee3",
    "safe_private.csv": "22bdbe95367601e827c6068bffd7edfbb0c1a0a39cc932343f15f4adede518cb",
    "vocabulary.csv": "097d58f2db09e3d5c6e3b551eecacdcee029034f03e34664c95e25c9f14bc89c",
    "attribute_types.json": "0b4abedb121ccfb5688e1484f56dbdfc61ff0034f46dd6e7b68a4026b9d9c80f",
}


@cache
def read_pinned(name: str) -> str:
    """The text of a data file.

    Raises
    ------
    IntegrityError
        If its digest is not the pinned one.
    """
    raw = files("hounsfield.deid.table").joinpath(name).read_bytes()
    if hashlib.sha256(raw).hexdigest() != DIGESTS[name]:
        raise IntegrityError(
            "a de-identification table differs from the pinned one",
            where=name,
            remedy="install Hounsfield again",
        )
    return raw.decode()


def table_digest() -> str:
    """One digest over all tables; part of every profile's digest."""
    return digest_of(DIGESTS)
