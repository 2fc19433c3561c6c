"""One local installation: what it keeps, what is secret, and what its processes see."""

from __future__ import annotations

import json
import socket
import stat
from dataclasses import asdict
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from operators.local.installation import ROOT, USERS, Installation, _free_ports


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "home")


def test_secrets_are_for_their_owner_alone(installation: Installation) -> None:
    _ = installation.environment, installation.passwords
    folder = installation.home / "secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"airflow.json": 0o600, "passwords.json": 0o600}


def test_secrets_and_ports_stay(installation: Installation) -> None:
    again = Installation(installation.home)
    assert again.ports == installation.ports
    assert again.passwords == installation.passwords
    assert again.environment == installation.environment


def test_two_installations_share_no_secret(installation: Installation, tmp_path: Path) -> None:
    other = Installation(tmp_path / "other")
    assert not set(other.passwords.values()) & set(installation.passwords.values())
    secret = "AIRFLOW__CORE__FERNET_KEY"
    assert other.environment[secret] != installation.environment[secret]


def test_every_user_has_a_password(installation: Installation) -> None:
    assert installation.passwords.keys() == USERS.keys()
    assert min(map(len, installation.passwords.values())) >= 12


def test_a_user_who_is_new_gets_a_password_and_the_others_keep_theirs(
    installation: Installation,
) -> None:
    older = {"admin": "as-it-was-before"}
    path = installation.home / "secrets" / "passwords.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(older))
    assert installation.passwords == {**installation.passwords, **older}
    assert installation.passwords.keys() == USERS.keys()
    assert json.loads(path.read_text()) == installation.passwords


def test_a_taken_port_is_replaced() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert _free_ports({"airflow": port})["airflow"] != port
    assert _free_ports({"airflow": port}) == {"airflow": port}


def test_two_that_are_set_up_at_once_share_no_port(tmp_path: Path) -> None:
    """Neither listens yet when the other chooses."""
    ports = [json.dumps(asdict(Installation(tmp_path / name).ports)) for name in "ab"]
    first, second = (set(json.loads(text).values()) for text in ports)
    assert not first & second


def test_no_setting_of_another_airflow_leaks_in(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("AIRFLOW__CORE__SOMETHING_ELSE", "theirs")
    monkeypatch.setenv("AIRFLOW_CONN_THEIRS", "postgres://elsewhere")
    monkeypatch.setenv("AIRFLOW_HOME", "/theirs")
    environment = installation.environment
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert environment["AIRFLOW_HOME"] == str(installation.home / "airflow")
    assert not {"AIRFLOW__CORE__SOMETHING_ELSE", "AIRFLOW_CONN_THEIRS"} & environment.keys()


def test_the_environment_is_whole(installation: Installation) -> None:
    environment = installation.environment
    assert environment["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"
    assert environment["AIRFLOW__CORE__DAGS_FOLDER"] == str(ROOT / "dags")
    assert environment["HOUNSFIELD_HOME"] == str(installation.home)
    Fernet(environment["AIRFLOW__CORE__FERNET_KEY"])  # raises if it is none
    assert len(bytes.fromhex(environment["AIRFLOW__API_AUTH__JWT_SECRET"])) == 32
    assert all(isinstance(value, str) for value in environment.values())


def test_everything_listens_on_loopback(installation: Installation) -> None:
    environment = installation.environment
    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    ports = json.loads((installation.home / "ports.json").read_text())
    assert len(set(ports.values())) == len(ports)
