"""What the status of a DIMSE response means for us, as tables."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydicom.dataset import Dataset

from hounsfield.errors import ConfigError, HounsfieldError, PacsUnavailable, PermanentError
from hounsfield.pacs.client import Verdict
from hounsfield.pacs.peer import DimsePeer

__all__ = [
    "Meaning",
    "check_retrieve",
    "endless_answer",
    "plain_words",
    "query_error",
    "store_meaning",
    "unreadable_answer",
]


@dataclass(frozen=True, slots=True)
class Meaning:
    """Of one C-STORE status."""

    verdict: Verdict
    words: str


# First and last status, and what it means: PS3.4 Table B.2-1 and PS3.7 Annex C.
_STORE: tuple[tuple[int, int, Meaning], ...] = (
    (0x0000, 0x0000, Meaning("stored", "success")),
    (0x0001, 0x0001, Meaning("warning", "stored, with a warning")),
    (0x0107, 0x0107, Meaning("warning", "stored, with some attributes ignored")),
    (0x0110, 0x0110, Meaning("busy", "processing failure")),
    (0x0111, 0x0111, Meaning("warning", "the PACS has this instance already")),
    (0x0116, 0x0116, Meaning("warning", "stored, with an attribute value out of range")),
    (0x0117, 0x0117, Meaning("refused", "invalid SOP instance")),
    (0x0122, 0x0122, Meaning("refused", "SOP class not supported")),
    (0x0124, 0x0124, Meaning("refused", "not authorised")),
    (0x0210, 0x0210, Meaning("busy", "duplicate invocation")),
    (0x0213, 0x0213, Meaning("busy", "resource limitation")),
    (0xA700, 0xA7FF, Meaning("busy", "out of resources")),
    (0xA900, 0xA9FF, Meaning("refused", "data set does not match SOP class")),
    (0xB000, 0xB000, Meaning("warning", "stored, with data elements coerced")),
    (0xB006, 0xB006, Meaning("warning", "stored, with elements discarded")),
    (0xB007, 0xB007, Meaning("warning", "stored, though the data set does not match its class")),
    (0xB001, 0xBFFF, Meaning("warning", "stored, with a warning")),
    (0xC000, 0xCFFF, Meaning("refused", "the PACS cannot understand the object")),
)
_UNKNOWN = Meaning("refused", "a status that the Standard does not know")

# What ends a C-FIND, C-GET or C-MOVE for good: PS3.4 Tables C.4-1, C.4-2, C.4-3.
_QUERY_PERMANENT: tuple[tuple[int, int, str, str], ...] = (
    (0x0122, 0x0122, "the PACS does not support this query", "see its conformance statement"),
    (0x0124, 0x0124, "the PACS does not authorise this query", "ask its administrator"),
    (0xA801, 0xA801, "the PACS knows or reaches no such move destination", "register it there"),
    (0xA900, 0xA9FF, "the PACS does not understand the query", "see its conformance statement"),
)

SUBOPERATIONS_FAILED = 0xA702
_WARNING = 0xB000


def store_meaning(status: int) -> Meaning:
    """Looks a C-STORE status up."""
    matches = (meaning for first, last, meaning in _STORE if first <= status <= last)
    return next(matches, _UNKNOWN)


def query_error(peer: DimsePeer, status: int) -> HounsfieldError:
    """The error for a C-FIND, C-GET or C-MOVE that ended with a failure.

    "Unable to process" (0xCxxx) counts as transient: PACS send it when their database is
    busy as well as when they stumble, and a bounded number of retries costs little.
    """
    for first, last, what, remedy in _QUERY_PERMANENT:
        if first <= status <= last:
            return ConfigError(f"{what} (0x{status:04X})", where=peer.where, remedy=remedy)
    return PacsUnavailable(
        f"the PACS could not process the request (0x{status:04X})",
        where=peer.where,
        remedy="try again",
    )


def check_retrieve(peer: DimsePeer, status: Dataset) -> bool:
    """Whether a C-GET or C-MOVE ended with every sub-operation done.

    Failed sub-operations alone raise nothing: the caller sees what is missing, and asks
    for that.
    """
    code = int(status.Status)
    if code in (_WARNING, SUBOPERATIONS_FAILED):
        return False
    if code != 0:
        raise query_error(peer, code)
    return not int(status.get("NumberOfFailedSuboperations") or 0)


# Words that a PACS's own comment may keep. All else might be a name: a list of what to
# remove would always lack one.
_PLAIN = frozenset(
    """
    a abstract accept accepted access action address affected after again aet already an and any
    archive are arguments as association at attribute attributes authorised authorized available
    bad be because been before busy but by calling called can cannot canceled cancelled character
    charset class code coercion command completed conflict conflicts conform connect connection
    context corrupt could data database dataset date decode decoding denied different directory
    disabled discarded disk does duplicate element elements empty encoding error exceeded exception
    exist existing exists expected fail failed failure file files filesystem find for format found
    from full group handle has have id identifier ignored illegal image images implementation in
    inconsistent incorrect index insert instance instances insufficient internal invalid is issuer
    item items its key known lacking length license limit list load local locked lossy lost
    mandatory match matching maximum memory message method mismatch missing modality move must no
    non none not null number object objects of offline on only open operation or out parse parsing
    patient pending permission permissions pixel please presentation private processing protocol
    query quota read received refused reject rejected rejecting request required resources retry
    retrieve rules sc scp scu sequence series server service size sop space sql status storage
    store stored study supported syntax system tag temporary than that the this time timeout to
    too transaction transfer type uid unable unauthorized unexpected unique unknown unsupported
    update value values verification version violates vr was while with without wrong write
    writing
    """.split()  # noqa: SIM905
)


def plain_words(comment: str) -> str:
    """A PACS's comment with each word that could be an identifier replaced by ``…``."""
    words = re.findall(r"[^\s.,;:()\[\]'\"]+", comment[:256])
    kept = [word if word.lower() in _PLAIN else "…" for word in words]
    text = " ".join(kept)
    return re.sub(r"…( …)+", "…", text) if set(kept) - {"…"} else ""


def unreadable_answer(peer: DimsePeer) -> PermanentError:
    """A C-FIND response whose identifier cannot be decoded."""
    return PermanentError(
        "the PACS sent a C-FIND response that cannot be read",
        where=peer.where,
        remedy="report it to the PACS's vendor",
    )


def endless_answer(peer: DimsePeer) -> PermanentError:
    """A C-FIND whose responses say the same again and again."""
    return PermanentError(
        "the PACS repeats itself in its answer to a C-FIND, without end",
        where=peer.where,
        remedy="report it to the PACS's vendor",
    )
