"""Where a PACS calls us back: who else calls there keeps neither it nor us waiting."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from hounsfield.errors import PacsUnavailable
from hounsfield.pacs import DimseClient, DimsePeer, MoveDestination
from hounsfield.pacs.own_scp import called_back, entity_for
from tests.pacs.test_encrypted import mutual
from tests.ports import free_port


@pytest.mark.timeout(30)
@pytest.mark.parametrize("is_secured", [False, True])
def test_who_says_nothing_keeps_nobody_out_and_nobody_here(
    tmp_path: Path, is_secured: bool
) -> None:
    tls = mutual(tmp_path) if is_secured else None
    destination = MoveDestination("HFMOVE", free_port())
    peer = DimsePeer("PACS", "127.0.0.1", 104, tls=tls)
    pacs = DimsePeer("HFMOVE", "127.0.0.1", destination.port, calling_ae_title="PACS", tls=tls)
    with (
        ExitStack() as open_still,
        called_back(peer, destination, entity_for(peer, destination), []),
    ):
        open_still.enter_context(socket.create_connection(("127.0.0.1", destination.port)))
        DimseClient(pacs).echo()


def test_who_shows_no_certificate_is_not_heard(tmp_path: Path) -> None:
    tls, destination = mutual(tmp_path), MoveDestination("HFMOVE", free_port())
    peer = DimsePeer("PACS", "127.0.0.1", 104, tls=tls)
    bare = replace(tls, certificate=None, key=None)
    pacs = DimsePeer("HFMOVE", "127.0.0.1", destination.port, calling_ae_title="PACS", tls=bare)
    with called_back(peer, destination, entity_for(peer, destination), []):
        with pytest.raises(PacsUnavailable):
            DimseClient(pacs).echo()
        DimseClient(replace(pacs, tls=tls)).echo()
