"""Which presentation contexts to propose, given that an association takes only 128.

For C-GET we propose, for each SOP class, one context per transfer syntax: an acceptor picks
one syntax per context (PS3.8 Section 9.3.3.2), so only then can the PACS send each instance
as it keeps it, without converting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydicom.uid import UID_dictionary
from pynetdicom import AllStoragePresentationContexts, build_role, evt, register_uid
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext
from pynetdicom.service_class import ServiceClass, StorageServiceClass
from pynetdicom.sop_class import Verification, uid_to_service_class

from hounsfield.pacs.association import context

__all__ = [
    "MAX_CONTEXTS",
    "STORAGE_CLASSES",
    "TRANSFER_SYNTAXES",
    "Batch",
    "guess",
    "mirror",
    "plan",
]

MAX_CONTEXTS = 128

_CLASS = "1.2.840.10008.5.1.4.1.1"
#: Of the Standard, those that it has retired too (ultrasound of before 1996): archives have them.
STORAGE_CLASSES: tuple[str, ...] = tuple(
    dict.fromkeys(
        (
            *(str(item.abstract_syntax) for item in AllStoragePresentationContexts),
            *(
                uid
                for uid, (name, *_) in UID_dictionary.items()
                if uid.startswith(f"{_CLASS}.") and "Storage" in name
            ),
        )
    )
)
_ACCEPTED = frozenset((*STORAGE_CLASSES, str(Verification)))

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

# Stems of SOP classes whose instances have no pixels to compress: SR, KO, presentation
# states, waveforms, RT plans, encapsulated documents.
_NO_PIXELS = tuple(f"{_CLASS}.{stem}." for stem in ("88", "11", "9", "104", "67", "68")) + tuple(
    f"{_CLASS}.481.{n}" for n in (3, 4, 5, 6, 7, 8, 9)
)
_MAY_BE_VIDEO = tuple(f"{_CLASS}.{stem}" for stem in ("77.1", "3.1", "7.2", "7.3", "7.4"))

# Modality → SOP classes that its series usually hold, for a PACS that does not tell the
# class. Suffixes of 1.2.840.10008.5.1.4.1.1. Secondary captures go with any modality.
_SECONDARY = ("7",)
_US = ("6.1", "3.1", "6.2")
_DX = ("1.1", "1.1.1")
_SC = ("7.1", "7.2", "7.3", "7.4")
_BY_MODALITY: dict[str, tuple[str, ...]] = {
    "ANN": ("91.1",),
    "CR": ("1",),
    "CT": ("2", "2.1", "2.2"),
    "DOC": ("104.1", "104.2"),
    "DX": _DX,
    "ECG": ("9.1.1", "9.1.2", "9.1.3"),
    "ES": ("77.1.1", "77.1.1.1"),
    "GM": ("77.1.2",),
    "IO": ("1.3", "1.3.1"),
    "IVUS": _US,
    "KO": ("88.59",),
    "MG": ("1.2", "1.2.1", "13.1.3"),
    "MR": ("4", "4.1", "4.2", "4.3", "4.4"),
    "NM": ("20",),
    "OP": ("77.1.5.1", "77.1.5.2"),
    "OPT": ("77.1.5.4",),
    "OT": (*_SC, "104.1"),
    "PR": ("11.1", "11.2", "11.3", "11.4", "11.8"),
    "PT": ("128", "128.1", "130"),
    "PX": _DX,
    "REG": ("66.1", "66.3"),
    "RF": ("12.2", "12.2.1"),
    "RTDOSE": ("481.2",),
    "RTIMAGE": ("481.1",),
    "RTPLAN": ("481.5", "481.8"),
    "RTSTRUCT": ("481.3",),
    "SC": _SC,
    "SEG": ("66.4", "66.7", "66.5"),
    "SM": ("77.1.6", "77.1.2", "77.1.3"),
    "SR": ("88.11", "88.22", "88.33", "88.34", "88.67", "88.50", "88.65", "88.76"),
    "US": _US,
    "XA": ("12.1", "12.1.1", "13.1.1"),
    "XC": ("77.1.4", "77.1.4.1"),
}


# A SOP class and, for each of its contexts, the transfer syntaxes.
_Wanted = tuple[str, tuple[tuple[str, ...], ...]]


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
    """One context a class and syntax, in as few associations as they fit in.

    Parameters
    ----------
    reserved
        Contexts that each association needs for itself.
    """
    single = [(uid, tuple((s,) for s in syntaxes(uid))) for uid in dict.fromkeys(classes)]
    yield from _pack(single, reserved)


def combined(classes: Iterable[str], *, reserved: int) -> Iterator[Batch]:
    """One context a class with all its syntaxes: the PACS picks, and may convert.

    For a PACS that knows only the first context of a class (dcmqrscp), and as a cheap way to
    try every class there is.
    """
    yield from _pack([(uid, (syntaxes(uid),)) for uid in dict.fromkeys(classes)], reserved)


def plan(classes: Iterable[str], *, exhaustive: bool, reserved: int) -> Iterator[Batch]:
    """What to try, best first; the caller stops when nothing is missing.

    Parameters
    ----------
    classes
        What the instances are, or are likely to be.
    exhaustive
        Go on with every other storage class.
    """
    likely = tuple(dict.fromkeys(classes))
    yield from batches(likely, reserved=reserved)
    yield from combined(likely, reserved=reserved)
    if exhaustive:
        others = [uid for uid in STORAGE_CLASSES if uid not in likely]
        yield from combined(others, reserved=reserved)
        yield from batches(others, reserved=reserved)


def mirror(event: evt.Event) -> None:
    """A handler of EVT_REQUESTED: accepts storage in the order that the peer proposes.

    Private classes and syntaxes, too: it sends what it was asked for. An acceptor picks one
    syntax per context by its own order; the peer's own puts first what it can send as it is.
    """
    wanted: dict[str, list[str]] = {}
    for item in event.assoc.requestor.requested_contexts:
        uid = item.abstract_syntax
        if uid in _ACCEPTED or (uid.is_private and uid.is_valid):
            _serve_as_storage(str(uid))
            syntaxes_of = wanted.setdefault(str(uid), [])
            syntaxes_of.extend(str(s) for s in item.transfer_syntax if s not in syntaxes_of)
    event.assoc.acceptor.supported_contexts = [context(uid, *some) for uid, some in wanted.items()]


def _serve_as_storage(sop_class_uid: str) -> None:
    """Tells pynetdicom what a class is that it does not know, for it to take its C-STORE."""
    if uid_to_service_class(sop_class_uid) is ServiceClass:
        keyword = f"Storage_{sop_class_uid.replace('.', '_')}"
        register_uid(sop_class_uid, keyword, StorageServiceClass)


def _pack(wanted: Sequence[_Wanted], reserved: int) -> Iterator[Batch]:
    room = MAX_CONTEXTS - reserved
    group: list[_Wanted] = []
    for item in wanted:
        if group and sum(len(some) for _, some in group) + len(item[1]) > room:
            yield _batch(group)
            group = []
        group.append(item)
    if group:
        yield _batch(group)


def _batch(group: Sequence[_Wanted]) -> Batch:
    return Batch(
        classes=frozenset(uid for uid, _ in group),
        contexts=tuple(context(uid, *some) for uid, contexts in group for some in contexts),
        roles=tuple(build_role(uid, scp_role=True) for uid, _ in group),
    )
