"""Which presentation contexts to propose, given that an association takes only 128.

For C-GET we propose, for each SOP class, one context per transfer syntax: an acceptor picks
one syntax per context (PS3.8 Section 9.3.3.2), so only then can the PACS send each instance
as it keeps it, without converting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pynetdicom import AllStoragePresentationContexts, build_role
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext

from hounsfield.pacs.association import context

__all__ = ["MAX_CONTEXTS", "STORAGE_CLASSES", "TRANSFER_SYNTAXES", "Batch", "batches", "guess"]

MAX_CONTEXTS = 128

STORAGE_CLASSES: tuple[str, ...] = tuple(
    str(item.abstract_syntax) for item in AllStoragePresentationContexts
)

_ROOT = "1.2.840.10008.1.2"
UNCOMPRESSED: tuple[str, ...] = (f"{_ROOT}.1", _ROOT)  # Explicit, Implicit VR Little Endian
_RARE = (f"{_ROOT}.1.99", f"{_ROOT}.2")  # Deflated, Explicit VR Big Endian


def _syntaxes(suffixes: str) -> tuple[str, ...]:
    return tuple(f"{_ROOT}.{suffix}" for suffix in suffixes.split())


_IMAGE = (
    *_syntaxes("4.50 4.51 4.57 4.70"),  # JPEG: baseline, extended, lossless
    *_syntaxes("4.80 4.81 4.90 4.91 4.92 4.93"),  # JPEG-LS, JPEG 2000 and its part 2
    *_syntaxes("4.201 4.202 4.203"),  # HTJ2K
    *_syntaxes("4.110 4.111 4.112"),  # JPEG XL
    *_syntaxes("5 8.1"),  # RLE, deflated frames
)
_VIDEO = (
    *_syntaxes("4.100 4.100.1 4.101 4.101.1"),  # MPEG-2
    *_syntaxes("4.102 4.102.1 4.103 4.103.1 4.104 4.104.1 4.105 4.105.1 4.106 4.106.1"),  # H.264
    *_syntaxes("4.107 4.108"),  # HEVC
)
TRANSFER_SYNTAXES: tuple[str, ...] = UNCOMPRESSED + _RARE + _IMAGE + _VIDEO

_CLASS = "1.2.840.10008.5.1.4.1.1"
# Stems of SOP classes whose instances have no pixels to compress: SR, KO, presentation
# states, waveforms, RT plans, encapsulated documents.
_NO_PIXELS = tuple(f"{_CLASS}.{stem}." for stem in ("88", "11", "9", "104", "67", "68")) + tuple(
    f"{_CLASS}.481.{n}" for n in (3, 4, 5, 6, 7, 8, 9)
)
_MAY_BE_VIDEO = tuple(f"{_CLASS}.{stem}" for stem in ("77.1", "3.1", "7.2", "7.3", "7.4"))

# Modality → SOP classes that its series usually hold, for a PACS that does not tell the
# class. Suffixes of 1.2.840.10008.5.1.4.1.1. Secondary captures go with any modality.
_SECONDARY = ("7",)
_BY_MODALITY: dict[str, tuple[str, ...]] = {
    "CR": ("1",),
    "CT": ("2", "2.1", "2.2"),
    "DX": ("1.1", "1.1.1"),
    "ECG": ("9.1.1", "9.1.2", "9.1.3"),
    "KO": ("88.59",),
    "MG": ("1.2", "1.2.1", "13.1.3"),
    "MR": ("4", "4.1", "4.2", "4.3", "4.4"),
    "NM": ("20",),
    "OT": ("7.1", "7.2", "7.3", "7.4", "104.1"),
    "PR": ("11.1", "11.2", "11.3", "11.4", "11.8"),
    "PT": ("128", "128.1", "130"),
    "REG": ("66.1", "66.3"),
    "RF": ("12.2", "12.2.1"),
    "RTDOSE": ("481.2",),
    "RTIMAGE": ("481.1",),
    "RTPLAN": ("481.5", "481.8"),
    "RTSTRUCT": ("481.3",),
    "SC": ("7.1", "7.2", "7.3", "7.4"),
    "SEG": ("66.4", "66.7", "66.5"),
    "SR": ("88.11", "88.22", "88.33", "88.34", "88.67", "88.50", "88.65", "88.76"),
    "US": ("6.1", "3.1", "6.2"),
    "XA": ("12.1", "12.1.1", "13.1.1"),
}


@dataclass(frozen=True, slots=True)
class Batch:
    """What one association is asked for.

    Attributes
    ----------
    classes
        SOP classes that this association can carry.
    contexts, roles
        To propose; the roles make us the SCP of the storage classes (PS3.7 D.3.3.4).
    """

    classes: frozenset[str]
    contexts: tuple[PresentationContext, ...]
    roles: tuple[SCP_SCU_RoleSelectionNegotiation, ...]


def guess(modality: str) -> tuple[str, ...]:
    """SOP classes that a series of `modality` may hold; empty where there is no telling."""
    suffixes = _BY_MODALITY.get(modality, ())
    return tuple(f"{_CLASS}.{suffix}" for suffix in (*suffixes, *_SECONDARY)) if suffixes else ()


def syntaxes(sop_class_uid: str) -> tuple[str, ...]:
    """The transfer syntaxes in which instances of a class may be kept."""
    if sop_class_uid.startswith(_NO_PIXELS):
        return UNCOMPRESSED + _RARE
    video = _VIDEO if sop_class_uid.startswith(_MAY_BE_VIDEO) else ()
    return UNCOMPRESSED + _RARE + _IMAGE + video


def batches(classes: Iterable[str], *, reserved: int) -> Iterator[Batch]:
    """Packs classes into as few associations as they fit in.

    Parameters
    ----------
    reserved
        Contexts that each association needs for itself.
    """
    yield from _pack([(uid, syntaxes(uid)) for uid in dict.fromkeys(classes)], reserved)


def last_resort(tried: Iterable[str], *, reserved: int) -> Iterator[Batch]:
    """Every other storage class, uncompressed: for what no guess has found."""
    known = frozenset(tried)
    yield from _pack([(u, UNCOMPRESSED) for u in STORAGE_CLASSES if u not in known], reserved)


def _pack(wanted: list[tuple[str, tuple[str, ...]]], reserved: int) -> Iterator[Batch]:
    room = MAX_CONTEXTS - reserved
    group: list[tuple[str, tuple[str, ...]]] = []
    for item in wanted:
        if group and sum(len(s) for _, s in group) + len(item[1]) > room:
            yield _batch(group)
            group = []
        group.append(item)
    if group:
        yield _batch(group)


def _batch(group: list[tuple[str, tuple[str, ...]]]) -> Batch:
    return Batch(
        classes=frozenset(uid for uid, _ in group),
        contexts=tuple(context(uid, syntax) for uid, some in group for syntax in some),
        roles=tuple(build_role(uid, scp_role=True) for uid, _ in group),
    )
