"""TLS at the receiver's port, and mutual TLS."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hounsfield.errors import ConfigError
from hounsfield.pacs.tls import Tls
from tests.pacs.certificates import Authority
from tests.pacs.receiving import (
    CT,
    EXPLICIT,
    Receiver,
    associate,
    connected,
    encoded,
    receiving,
    send,
)
from tests.pacs.studies import dataset_bytes, write_study


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def secured(authority: Authority, *, is_mutual: bool) -> dict[str, Any]:
    """What configs/receiver.yaml says of TLS."""
    ours = authority.sign("receiver")
    tls = {"certificate": str(ours.certificate), "key": str(ours.key)}
    return tls | ({"ca": str(authority.file)} if is_mutual else {})


def speaks(receiver: Receiver, tls: Tls) -> bool:
    """Whether a caller with this identity can store an instance of some size."""
    arguments = (tls.client(), "127.0.0.1")
    association = associate(receiver.port, (CT, EXPLICIT), tls_args=arguments)
    if not association.is_established:
        return False
    body = encoded(DerivationDescription="x" * 300_000, ImageComments="y" * 300)
    status = send(association, body)
    association.release()
    (path,) = receiver.landed()
    return status == 0 and dataset_bytes(path) == body


@pytest.mark.filterwarnings("ignore:The value for the data element")
@pytest.mark.parametrize("is_mutual", [False, True])
def test_who_trusts_and_is_trusted_may_store(
    tmp_path: Path, free_port: Callable[[], int], authority: Authority, is_mutual: bool
) -> None:
    theirs = authority.sign("modality")
    caller = Tls(ca=authority.file, certificate=theirs.certificate, key=theirs.key)
    tls = secured(authority, is_mutual=is_mutual)
    with receiving(tmp_path, free_port(), tls=tls) as receiver:
        assert speaks(receiver, caller)


@pytest.mark.filterwarnings("ignore:The value for the data element")
def test_certificates_are_renewed_while_it_runs(
    tmp_path: Path, free_port: Callable[[], int], authority: Authority
) -> None:
    """All of them, by another authority; and a half that is written is not yet one."""
    (tmp_path / "new").mkdir()
    newer = Authority(tmp_path / "new", "newer")
    tls = secured(authority, is_mutual=False)
    with receiving(tmp_path, free_port(), tls=tls) as receiver:
        assert speaks(receiver, Tls(ca=authority.file))
        Path(tls["certificate"]).write_bytes(b"half")
        assert speaks(receiver, Tls(ca=authority.file))
        renewed = newer.sign("receiver")
        Path(tls["certificate"]).write_bytes(renewed.certificate.read_bytes())
        Path(tls["key"]).write_bytes(renewed.key.read_bytes())
        assert not speaks(receiver, Tls(ca=authority.file))
        assert speaks(receiver, Tls(ca=newer.file))


def test_without_a_certificate_of_the_authority_nobody_comes_in(
    tmp_path: Path,
    free_port: Callable[[], int],
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other", "stranger").sign("modality")
    tls = secured(authority, is_mutual=True)
    with receiving(tmp_path, free_port(), tls=tls) as receiver:
        for caller in (
            Tls(ca=authority.file),
            Tls(ca=authority.file, certificate=stranger.certificate, key=stranger.key),
        ):
            assert not speaks(receiver, caller)
        assert receiver.refused("tls") == 2
        assert receiver.landed() == []
    assert "127.0.0.1 (PEER_DID_NOT_RETURN_A_CERTIFICATE) was refused: tls" in caplog.text


def test_what_is_no_tls_is_hung_up_on_and_keeps_nobody_out(
    tmp_path: Path, free_port: Callable[[], int], authority: Authority
) -> None:
    """pynetdicom agrees upon TLS in the thread that accepts: one who is silent stops all."""
    tls = secured(authority, is_mutual=False)
    with receiving(tmp_path, free_port(), tls=tls, associate_seconds=3) as receiver:
        silent = [connected(receiver.port) for _ in range(5)]
        assert speaks(receiver, Tls(ca=authority.file))
        for connection in silent:
            assert connection.recv(1) == b""
            connection.close()
        assert not associate(receiver.port, (CT, EXPLICIT)).is_established
        assert receiver.refused("tls") == 6


def test_old_versions_are_refused(
    tmp_path: Path, free_port: Callable[[], int], authority: Authority
) -> None:
    old = ssl.create_default_context(cafile=str(authority.file))
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    tls = secured(authority, is_mutual=False)
    with receiving(tmp_path, free_port(), tls=tls) as receiver:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            old.wrap_socket(connected(receiver.port), server_hostname="127.0.0.1")
        assert speaks(receiver, Tls(ca=authority.file))


@pytest.mark.server
def test_storescu_speaks_mutual_tls(
    tmp_path: Path,
    free_port: Callable[[], int],
    authority: Authority,
    need_program: Callable[[str], str],
) -> None:
    _, paths = write_study(tmp_path / "study", slices=3)
    theirs = authority.sign("modality")
    tls = secured(authority, is_mutual=True)
    with receiving(tmp_path, free_port(), tls=tls) as receiver:
        command = [need_program("storescu"), "+tls", str(theirs.key), str(theirs.certificate)]
        command += ["+cf", str(authority.file), "-aec", "HOUNSFIELD", "127.0.0.1"]
        subprocess.run([*command, str(receiver.port), *map(str, paths)], check=True, timeout=60)
        assert len(receiver.landed()) == 3


def test_a_missing_certificate_is_told(tmp_path: Path, free_port: Callable[[], int]) -> None:
    tls = {"certificate": str(tmp_path / "none.pem"), "key": str(tmp_path / "none.key")}
    with pytest.raises(ConfigError, match="tls"), receiving(tmp_path, free_port(), tls=tls):
        pass
