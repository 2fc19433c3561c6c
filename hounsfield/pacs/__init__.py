"""The PACS edge: finding, fetching and storing studies."""

from hounsfield.pacs.client import (
    Commitment,
    CommitmentNotSupported,
    FetchReport,
    InstanceRef,
    PacsClient,
    SeriesEntry,
    StoreOutcome,
    StudyEntry,
    StudyFilter,
)
from hounsfield.pacs.dimse import DimseClient
from hounsfield.pacs.folder import SendReport, send_folder
from hounsfield.pacs.peer import DimsePeer, MoveDestination, Timeouts
from hounsfield.pacs.tls import Tls
from hounsfield.pacs.web import WebClient
from hounsfield.pacs.web_peer import Secret, WebPeer, WebTimeouts
from hounsfield.pacs.window import Window

__all__ = [
    "Commitment",
    "CommitmentNotSupported",
    "DimseClient",
    "DimsePeer",
    "FetchReport",
    "InstanceRef",
    "MoveDestination",
    "PacsClient",
    "Secret",
    "SendReport",
    "SeriesEntry",
    "StoreOutcome",
    "StudyEntry",
    "StudyFilter",
    "Timeouts",
    "Tls",
    "WebClient",
    "WebPeer",
    "WebTimeouts",
    "Window",
    "send_folder",
]
