"""The image's scripts, run here as they run there."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import make_url

from hounsfield.provenance import bundle_digest
from hounsfield.pseudonyms import load_key
from tests.docker.conftest import COMPOSE, DOCKER, ROOT

PATH = os.environ["PATH"]


def run(
    *command: str | Path, check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        env={"PATH": PATH, **environment},
        capture_output=True,
        text=True,
        check=check,
        timeout=60,
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the image has the bundle's digest."""
    (tmp_path / "bundle.sha256").write_text("d1\n")
    return tmp_path


def through_entrypoint(root: Path, **environment: str) -> dict[str, str]:
    """The environment that a service's command sees."""
    entry = (DOCKER / "entrypoint.sh", "env", "-0")
    done = run(*entry, HOUNSFIELD_ROOT=str(root), **environment)
    return dict(item.split("=", 1) for item in done.stdout.split("\0") if item)


@pytest.mark.parametrize(
    "name",
    [
        *("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"),
        *("HOUNSFIELD_VAULT_URL", "MLFLOW_BACKEND_STORE_URI", "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_a_secret_comes_from_its_file(root: Path, name: str) -> None:
    text = "a secret=with $(touch danger) `marks` \"and\" 'quotes'\\"
    (root / "secret").write_text(f"{text}\n")
    seen = through_entrypoint(root, **{f"{name}_FILE": str(root / "secret")})
    assert seen[name] == text
    assert not (root / "danger").exists()


@pytest.mark.parametrize(
    "name",
    [
        "HOUNSFIELD_KEY_FILE",
        "SSL_CERT_FILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AIRFLOW__FAB__CONFIG_FILE",
    ],
)
def test_a_path_that_is_meant_stays_a_path(root: Path, name: str) -> None:
    (root / "secret").write_text("text")
    seen = through_entrypoint(root, **{name: str(root / "secret")})
    assert seen[name] == str(root / "secret")
    assert name.removesuffix("_FILE") not in seen


def test_a_secret_that_is_missing_stops_the_service(root: Path) -> None:
    """Else Airflow would start on SQLite, and nobody would notice."""
    done = run(
        *(DOCKER / "entrypoint.sh", "echo", "started"),
        check=False,
        HOUNSFIELD_ROOT=str(root),
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_FILE=str(root / "none"),
    )
    assert done.returncode == 1
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_FILE" in done.stderr
    assert "started" not in done.stdout


def test_the_bundles_digest_reaches_the_provenance(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = through_entrypoint(root)
    assert seen["HOUNSFIELD_BUNDLE_DIGEST"] == "d1"
    monkeypatch.setenv("HOUNSFIELD_BUNDLE_DIGEST", seen["HOUNSFIELD_BUNDLE_DIGEST"])
    assert bundle_digest() == "d1"


def test_the_entrypoint_hands_over(root: Path) -> None:
    """The command is the same process, so that it gets the signals."""
    done = run(
        DOCKER / "entrypoint.sh", "sh", "-c", "exit 3", check=False, HOUNSFIELD_ROOT=str(root)
    )
    assert done.returncode == 3
    assert (DOCKER / "entrypoint.sh").read_text().rstrip().endswith('exec "$@"')


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A small bundle with all its folders."""
    for name in ("dags", "plugins", "operators", "hounsfield", "models", "configs"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "a file.py").write_text(name)
        (tmp_path / name / "deep" / "b.py").write_text("b")
    return tmp_path


def digest(bundle: Path) -> str:
    return run(DOCKER / "bundle-digest.sh", bundle).stdout.strip()


def test_the_digest_is_of_every_byte_and_name(bundle: Path) -> None:
    first = digest(bundle)
    assert re.fullmatch(r"[0-9a-f]{64}", first)
    (bundle / "models" / "deep" / "__pycache__").mkdir()
    (bundle / "models" / "deep" / "__pycache__" / "b.pyc").write_text("compiled")
    assert digest(bundle) == first, "what Python leaves there is none of it"
    (bundle / "models" / "deep" / "b.py").write_text("B")
    second = digest(bundle)
    (bundle / "models" / "deep" / "b.py").rename(bundle / "models" / "deep" / "c.py")
    assert len({first, second, digest(bundle)}) == 3


def test_the_digest_does_not_depend_on_the_place(bundle: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(bundle, tmp_path / "elsewhere" / "x")
    shutil.rmtree(copied / "elsewhere", ignore_errors=True)
    assert digest(copied) == digest(bundle)


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    run(DOCKER / "make-secrets.sh", tmp_path / "secrets")
    return tmp_path / "secrets"


def read(secrets: Path) -> dict[str, str]:
    return {path.name: path.read_text().strip() for path in secrets.iterdir()}


def test_the_secrets_are_those_that_compose_names(secrets: Path) -> None:
    assert read(secrets).keys() == COMPOSE["secrets"].keys()
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}


def test_the_folder_is_for_its_owner_alone(secrets: Path) -> None:
    """A container's user has another number, so the files in it have to be readable."""
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets.iterdir()} == {0o644}


def test_secrets_stay_and_what_is_missing_is_made(secrets: Path) -> None:
    before = read(secrets)
    (secrets / "jwt_secret").unlink()
    run(DOCKER / "make-secrets.sh", secrets)
    after = read(secrets)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"jwt_secret"}


def test_the_keys_are_what_the_programs_take(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOUNSFIELD_PROJECT_KEY", raising=False)
    made = read(secrets)
    assert len(load_key(secrets / "project_key", create=False)) == 32
    Fernet(made["fernet_key"])  # raises if it is none
    assert len(set(made.values())) == len(made), "no secret is used twice"
    assert len(made["admin_password"]) == 20


def test_each_database_has_its_own_role(secrets: Path) -> None:
    made = read(secrets)
    sql = (DOCKER / "databases.sql").read_text()
    created = dict(re.findall(r"CREATE DATABASE (\w+) OWNER (\w+);", sql))
    for name in ("airflow", "catalog", "vault", "mlflow"):
        url = make_url(made[f"{name}_database"])
        assert (url.host, url.database, url.username) == ("postgres", name, name)
        assert url.password == made[f"{name}_password"]
        assert created[name] == name
        assert f"\\set {name}_password `cat /run/secrets/{name}_password`" in sql
        url.get_dialect().import_dbapi()  # the driver is in the lock
    backend = make_url(made["celery_result_backend"].removeprefix("db+"))
    assert (backend.database, backend.password) == ("airflow", made["airflow_password"])


def test_no_secret_is_ever_committed_or_sent_to_the_engine() -> None:
    assert "/secrets/" in (DOCKER / ".gitignore").read_text().splitlines()
    assert "docker/secrets" in (ROOT / ".dockerignore").read_text().splitlines()


def test_scripts_are_bash_and_executable() -> None:
    for path in DOCKER.glob("*.sh"):
        assert os.access(path, os.X_OK), path.name
        assert path.read_text().startswith("#!/usr/bin/env bash\n")
        run("bash", "-n", path)


def test_the_pools_of_init_are_the_codes(tmp_path: Path) -> None:
    """The small program in init.sh writes what Airflow imports."""
    import json

    from operators.policy import POOLS

    script = (DOCKER / "init.sh").read_text()
    program = script.split("<< 'PYTHON'\n")[1].split("\nPYTHON\n")[0]
    pools = json.loads(run(sys.executable, "-c", program, PYTHONPATH=str(ROOT)).stdout)
    assert {name: pool["slots"] for name, pool in pools.items()} == {
        name: slots for name, (slots, _) in POOLS.items()
    }
