from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hounsfield.errors import ConfigError
from hounsfield.pacs import DimseClient, DimsePeer, Secret, StudyFilter, WebClient, WebPeer
from hounsfield.pacs.connect import client_of
from hounsfield.settings import DestinationSettings, SourceSettings

GOOD: dict[str, Any] = {"ae_title": "PACS", "host": "pacs.example", "port": 104}


def test_from_dict() -> None:
    peer = DimsePeer.from_dict(
        {**GOOD, "timeouts": {"message": 5}, "move": {"ae_title": "HF", "port": 11113}}
    )
    assert peer.timeouts.message == 5
    assert peer.move is not None
    assert peer.move.port == 11113
    assert peer.get == "auto"


@pytest.mark.parametrize(
    "wrong",
    [
        {"prot": 104},
        {"ae_title": ""},
        {"ae_title": "SEVENTEENLETTERSX"},
        {"ae_title": "BACK\\SLASH"},
        {"port": 0},
        {"port": "104"},
        {"get": "c-steal"},
        {"get": "c-move"},
        {"max_results": 0},
        {"max_instance": 0},
        {"timeouts": {"message": 0}},
        {"timeouts": {"mesage": 1}},
        {"move": {"ae_title": "HF"}},
        {"move": {"ae_title": "HF", "port": 11114, "bind": ""}},
        {"commitment": {"ae_title": "HF", "port": 0}},
        {"tls": {"cert": "a.pem"}},
        {"timeouts": 5},
        {"host": None},
        {"host": "pacs..example"},
        {"host": ""},
        {"host": " pacs.example"},
        {"max_pdu": "large"},
        {"max_results": True},
        {"tls": True},
        {"tls": {"check_host": "false"}},
        {"tls": {"ca": 5}},
    ],
)
def test_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        DimsePeer.from_dict({**GOOD, **wrong})


def test_missing_key() -> None:
    with pytest.raises(ConfigError):
        DimsePeer.from_dict({"ae_title": "PACS"})


def test_tls_and_a_place_for_reports() -> None:
    peer = DimsePeer.from_dict(
        {**GOOD, "tls": {"ca": "ca.pem"}, "commitment": {"ae_title": "HF", "port": 11115}}
    )
    assert peer.tls is not None
    assert str(peer.tls.ca) == "ca.pem"
    assert peer.commitment is not None
    assert peer.commitment.port == 11115


WEB: dict[str, Any] = {"url": "https://pacs.example:8443/dicom-web/"}


def test_web_from_dict() -> None:
    peer = WebPeer.from_dict(
        {
            **WEB,
            "user": "reader",
            "password": {"variable": "PACS_PASSWORD"},
            "tls": {"ca": "ca.pem", "check_host": False},
            "timeouts": {"message": 5},
            "wado_prefix": "/wado/",
        }
    )
    assert peer.password == Secret(variable="PACS_PASSWORD")
    assert peer.where == "PACS pacs.example:8443"
    assert peer.timeouts.message == 5
    assert peer.address(peer.wado_prefix, "studies/1.2") == (
        "https://pacs.example:8443/dicom-web/wado/studies/1.2"
    )
    assert peer.address(peer.qido_prefix, "studies") == (
        "https://pacs.example:8443/dicom-web/studies"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"uri": "https://pacs.example"},
        {"url": "pacs.example/dicom-web"},
        {"url": "ftp://pacs.example"},
        {"url": "https://reader:secret@pacs.example"},
        {"url": "https://pacs.example/dicom-web?x=1"},
        {"url": "https://pacs.example:port/"},
        {"url": 8042},
        {"user": "reader"},
        {"password": {"variable": "P"}},
        {"user": "reader", "password": "secret"},
        {"user": "reader", "password": {"variable": "P", "file": "p"}},
        {"user": "reader", "password": {}},
        {"user": "reader", "password": {"variable": "P"}, "token": {"variable": "T"}},
        {"max_results": 0},
        {"max_instance": 0},
        {"timeouts": {"connect": 0}},
        {"timeouts": {"associate": 1}},
        {"tls": {"cert": "a.pem"}},
    ],
)
def test_web_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as failure:
        WebPeer.from_dict({**WEB, **wrong})
    assert "secret@" not in str(failure.value)


def test_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "from the environment")
    assert Secret(variable="A_SECRET").read() == "from the environment"
    (tmp_path / "secret").write_text("from a file\n")
    assert Secret(file=str(tmp_path / "secret")).read() == "from a file"
    (tmp_path / "empty").write_text("\n")
    for missing in (
        Secret(variable="NO_SUCH_SECRET"),
        Secret(file=str(tmp_path / "none")),
        Secret(file=str(tmp_path / "empty")),
    ):
        with pytest.raises(ConfigError):
            missing.read()


@pytest.mark.parametrize(
    ("system", "told"),
    [
        ({"peer": {"ae_title": "PACS", "host": "pacs"}}, "peer.port: this setting is missing"),
        ({"peer": {**GOOD, "port": 0}}, "peer.port: a port is"),
        ({"peer": {**GOOD, "host": ""}}, "peer.host: not a host name"),
        ({"peer": {**GOOD, "move": {"ae_title": "HF"}}}, "peer.move.port: this setting is missing"),
        ({"peer": {**GOOD, "timeouts": {"idle": 0}}}, "peer.timeouts.idle: a time-out"),
        ({"peer": {**GOOD, "tls": {"cert": "a"}}}, "peer.tls: unknown setting 'cert'"),
        ({"web": {"url": "nowhere"}}, "web.url: not the address"),
        ({"web": {**WEB, "user": "reader"}}, "web.user: user and password"),
        ({"web": {**WEB, "token": {}}}, "web.token.variable: give either"),
    ],
)
def test_a_mistake_is_told_with_its_place(system: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as failure:
        client_of(SourceSettings(**system), "archive")
    assert str(failure.value).startswith(f"configs/sources.yaml: archive.{told}")


def test_client_of() -> None:
    assert isinstance(client_of(SourceSettings(peer=GOOD), "pacs"), DimseClient)
    assert isinstance(client_of(DestinationSettings(web=WEB), "cloud"), WebClient)
    with pytest.raises(ConfigError):
        client_of(SourceSettings(web={"url": "nowhere"}), "cloud")


@pytest.mark.parametrize(
    ("pattern", "description", "counts"),
    [
        ("", "CT Head", True),
        ("Head", "CT Head, acute", True),
        ("^Head", "CT Head", False),
        ("(?i)head", "CT HEAD", True),
        ("head", "CT HEAD", False),
        ("head", "", True),  # not told: a study too many is none lost
    ],
)
def test_descriptions(pattern: str, description: str, counts: bool) -> None:
    assert StudyFilter(description=pattern).describes(description) is counts


def test_a_description_that_is_no_regular_expression() -> None:
    with pytest.raises(ConfigError):
        StudyFilter(description="(")
