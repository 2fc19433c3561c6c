"""Where a PACS is, and how we speak with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from hounsfield.errors import ConfigError
from hounsfield.pacs.mapping import parse_mapping
from hounsfield.pacs.tls import Tls

__all__ = [
    "MAX_INSTANCE",
    "DimsePeer",
    "MoveDestination",
    "RetrieveMethod",
    "Timeouts",
    "check_timeouts",
]

RetrieveMethod = Literal["c-get", "c-move", "auto"]

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

#: Bytes of the longest instance that is taken, where nothing else is said: pixels that are not
#: compressed are at most half of it (PS3.5 Section 7.1: their length has 32 bits).
MAX_INSTANCE = 1 << 33

_AE_TITLE_LENGTH = 16  # PS3.5 Table 6.2-1, AE
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for a peer.

    Attributes
    ----------
    connect
        For the TCP connection.
    associate
        For the answer to an association request or release (PS3.8 ARTIM).
    message
        For the next DIMSE message, once nothing moves any more: what is large may come slowly. A
        PACS that does not say that it is at it may take longer to find a study.
    idle
        For any byte at all on an open association, and for the peer to read one; where the PACS
        calls us back, for the next whole PDU.
    instance
        For the next instance of a retrieval, though the PACS keeps saying that it is at it. One
        that fetches from tape may take long.
    commitment
        For the report on a Storage Commitment, though nothing moves till then. A PACS may take
        its time: who asks comes back.
    """

    connect: float = 10.0
    associate: float = 15.0
    message: float = 60.0
    idle: float = 90.0
    commitment: float = 30.0
    instance: float = 3600.0

    def __post_init__(self) -> None:
        check_timeouts(self)


@dataclass(frozen=True, slots=True)
class MoveDestination:
    """Where the PACS calls us back, as it knows us: for C-MOVE (PS3.4 Section C.4.2), or with
    the report on a Storage Commitment (PS3.4 Section J.3.3).

    Attributes
    ----------
    ae_title, port
        Must be configured in the PACS together with this machine's address.
    bind
        The address to listen on; the loopback by default.
    """

    ae_title: str
    port: int
    bind: str = "127.0.0.1"

    def __post_init__(self) -> None:
        _check_ae_title(self.ae_title, "ae_title")
        _check_port(self.port, "port")
        _check_host(self.bind, "bind")


@dataclass(frozen=True, slots=True)
class DimsePeer:
    """A PACS that is reached by DIMSE (PS3.7).

    Attributes
    ----------
    ae_title
        The called AE title: the PACS's own.
    calling_ae_title
        Ours, which the PACS must know.
    get
        ``c-get``, ``c-move``, or ``auto``: C-GET where the PACS accepts it, else C-MOVE.
    move
        Where C-MOVE sends instances to.
    commitment
        Where reports on Storage Commitments go; None: to `move`. Without either, only a report
        on the association of the request reaches us.
    reports_to_receiver
        Whether they go to `hounsfield receive` instead, which the PACS has under
        `calling_ae_title`: it hears those, too, that come when nobody waits for them.
    tls
        How to speak TLS, with the PACS and with what it opens to `move` and `commitment`; None:
        unencrypted.
    max_results
        When a C-FIND gives this many studies, its answer is taken for cut off, and the time
        window is halved and asked again. Not more than the PACS itself lists: few say that
        they cut. That one lists less is seen by asking for parts of the window, but for studies
        of one second, or without StudyTime, which only PatientID tells apart: best it is more
        than a day has.
    max_pdu
        The longest PDU that we accept, in bytes.
    max_instance
        The longest instance that is fetched, in bytes: memory holds one. What comes without end
        is given up then.
    """

    ae_title: str
    host: str
    port: int
    calling_ae_title: str = "HOUNSFIELD"
    timeouts: Timeouts = field(default_factory=Timeouts)
    get: RetrieveMethod = "auto"
    move: MoveDestination | None = None
    commitment: MoveDestination | None = None
    reports_to_receiver: bool = False
    tls: Tls | None = None
    max_results: int = 500
    max_pdu: int = 131_072
    max_instance: int = MAX_INSTANCE

    def __post_init__(self) -> None:
        _check_ae_title(self.ae_title, "ae_title")
        _check_ae_title(self.calling_ae_title, "calling_ae_title")
        _check_port(self.port, "port")
        _check_host(self.host, "host")
        if self.get not in get_args(RetrieveMethod):
            raise ConfigError("unknown way to retrieve", where="get", remedy=_one_of_get())
        if self.get == "c-move" and self.move is None:
            raise ConfigError(
                "C-MOVE needs a destination", where="move", remedy="give ae_title and port"
            )
        if self.max_results < 1:
            raise ConfigError("the result cap must be at least 1", where="max_results")
        if self.max_instance < 1:
            raise ConfigError("an instance has at least 1 byte", where="max_instance")

    @property
    def where(self) -> str:
        """How errors and logs name this peer."""
        return f"PACS {self.ae_title}"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "peer") -> Self:
        """Parses a mapping as it stands in configs/, at the place `where`.

        Raises
        ------
        ConfigError
            On unknown or missing keys, and on values out of range.
        """
        values = dict(data)
        if "timeouts" in values:
            values["timeouts"] = parse_mapping(Timeouts, values["timeouts"], f"{where}.timeouts")
        for name in ("move", "commitment"):
            if values.get(name) is not None:
                values[name] = parse_mapping(MoveDestination, values[name], f"{where}.{name}")
        if values.get("tls") is not None:
            values["tls"] = Tls.from_dict(values["tls"], f"{where}.tls")
        return parse_mapping(cls, values, where)


def check_timeouts(timeouts: DataclassInstance) -> None:
    """Raises ConfigError if one of these numbers of seconds is none to wait for."""
    for item in fields(timeouts):
        if getattr(timeouts, item.name) <= 0:
            raise ConfigError("a time-out must be longer than 0 seconds", where=item.name)


def _check_ae_title(value: str, where: str) -> None:
    text = value.strip() if isinstance(value, str) else ""
    if not text or len(value) > _AE_TITLE_LENGTH or "\\" in value or not value.isascii():
        raise ConfigError("an AE title has 1 to 16 ASCII characters and no backslash", where=where)


def _check_host(value: str, where: str) -> None:
    # An empty one would be this very machine, or all of its addresses.
    if value.split() != [value]:
        raise ConfigError("not a host name or address", where=where)
    try:
        value.encode("idna")  # as it is asked for an address
    except UnicodeError:
        raise ConfigError("not a host name or address", where=where) from None


def _check_port(value: int, where: str) -> None:
    if not 1 <= value <= _LAST_PORT:
        raise ConfigError("a port is a number from 1 to 65535", where=where)


def _one_of_get() -> str:
    return "one of " + ", ".join(get_args(RetrieveMethod))
