"""From settings to a client."""

from __future__ import annotations

from hounsfield.errors import ConfigError
from hounsfield.pacs.client import PacsClient
from hounsfield.pacs.dimse import DimseClient
from hounsfield.pacs.peer import DimsePeer
from hounsfield.pacs.web import WebClient
from hounsfield.pacs.web_peer import WebPeer
from hounsfield.settings import Reached

__all__ = ["client_of"]

_FILE = "configs/sources.yaml"


def client_of(system: Reached, name: str) -> PacsClient:
    """The client that speaks with a source or a destination.

    Parameters
    ----------
    name
        Its own, in configs/sources.yaml.

    Raises
    ------
    ConfigError
        If how it is reached is not told rightly.
    """
    where = f"{_FILE}: {name}"
    if system.peer is not None:
        return DimseClient(DimsePeer.from_dict(system.peer, f"{where}.peer"))
    if system.web is not None:
        return WebClient(WebPeer.from_dict(system.web, f"{where}.web"))
    raise ConfigError("give either peer (DIMSE) or web (DICOMweb)", where=where)
