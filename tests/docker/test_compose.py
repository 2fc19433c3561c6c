"""compose.yaml: valid, whole, and no service knows more than it needs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from hounsfield.settings import Settings
from tests.docker.conftest import COMPOSE, DOCKER, OURS, SERVICES, interpolated, variables_of

TEXT = (DOCKER / "compose.yaml").read_text()

#: The rules of the Compose Specification for what is used here; any other key is a mistake.
_STRINGS = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
_DURATION = {"type": "string", "pattern": r"^(\d+(ms|s|m|h))+$"}
_SERVICE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["image"],
    "properties": {
        "image": {"type": "string"},
        "build": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"context": {"type": "string"}, "dockerfile": {"type": "string"}},
        },
        "command": {"type": "array", "items": {"type": "string"}},
        "restart": {"pattern": "^(no|always|unless-stopped|on-failure(:[0-9]+)?)$"},
        "environment": {
            "type": "object",
            "propertyNames": {"pattern": "^[A-Z][A-Z0-9_]*$"},
            "additionalProperties": {"type": ["string", "number", "null"]},
        },
        "secrets": _STRINGS,
        "volumes": _STRINGS,
        "ports": _STRINGS,
        "depends_on": {
            "oneOf": [
                _STRINGS,
                {
                    "type": "object",
                    "additionalProperties": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["condition"],
                        "properties": {
                            "condition": {
                                "enum": [
                                    "service_started",
                                    "service_healthy",
                                    "service_completed_successfully",
                                ]
                            }
                        },
                    },
                },
            ]
        },
        "healthcheck": {
            "type": "object",
            "additionalProperties": False,
            "required": ["test"],
            "properties": {
                "test": {
                    "type": "array",
                    "prefixItems": [{"enum": ["CMD", "CMD-SHELL", "NONE"]}],
                    "items": {"type": "string"},
                },
                "interval": _DURATION,
                "timeout": _DURATION,
                "start_period": _DURATION,
                "retries": {"type": "integer"},
            },
        },
        "deploy": {"type": "object"},
    },
}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "patternProperties": {"^x-": {}},
    "required": ["services"],
    "properties": {
        "name": {"pattern": "^[a-z0-9][a-z0-9_-]*$"},
        "services": {"type": "object", "additionalProperties": _SERVICE},
        "volumes": {"type": "object", "additionalProperties": {"type": ["object", "null"]}},
        "secrets": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "required": ["file"],
                "properties": {"file": {"type": "string"}},
            },
        },
    },
}


def test_it_follows_the_specification() -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(COMPOSE)


def test_composes_own_parser_takes_it(tmp_path: Path) -> None:
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed")
    # Version 1 does not know the project's name, and refuses what it does not know.
    (tmp_path / "compose.yaml").write_text(re.sub(r"(?m)^name: .*\n", "", TEXT))
    done = subprocess.run(
        [program, "--file", str(tmp_path / "compose.yaml"), "config"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["services"].keys() == SERVICES.keys()


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_a_service_refers_to_is_there(name: str) -> None:
    service = SERVICES[name]
    assert set(service.get("secrets", ())) <= COMPOSE["secrets"].keys()
    assert set(service.get("depends_on", ())) <= SERVICES.keys()
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        there = (
            (DOCKER / source).is_file() if source.startswith("./") else source in COMPOSE["volumes"]
        )
        assert there, source


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_is_waited_for_can_tell_that_it_is_well(name: str) -> None:
    waited = SERVICES[name].get("depends_on", {})
    for other, how in waited.items() if isinstance(waited, dict) else ():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]


def test_every_secret_and_volume_is_used() -> None:
    secrets = {name for service in SERVICES.values() for name in service.get("secrets", ())}
    volumes = {
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", ())
    }
    assert secrets == COMPOSE["secrets"].keys()
    assert COMPOSE["volumes"].keys() <= volumes


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_secret_that_is_read_is_given(name: str) -> None:
    service = SERVICES[name]
    values = (str(value) for value in service.get("environment", {}).values())
    read = {Path(value).name for value in values if value.startswith("/run/secrets/")}
    assert read <= set(service.get("secrets", ()))


def test_no_secret_is_written_here() -> None:
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            is_secret = re.search(r"PASSWORD|SECRET_KEY$|FERNET|JWT_SECRET$|PROJECT_KEY", key)
            assert not is_secret or key.endswith("_FILE"), key
            assert not re.search(r"://[^/]*:[^/]*@", str(value)), key


#: Who may know who anybody is (shared trust zones: ingest, de-identification, writeback).
TRUSTED = {"init", "worker", "receiver"}


@pytest.mark.parametrize("secret", ["project_key", "vault_database"])
def test_only_the_trusted_may_open_the_vault(secret: str) -> None:
    knows = {name for name, service in OURS.items() if secret in service.get("secrets", ())}
    assert knows == TRUSTED


def test_only_the_trusted_hold_studies_as_received() -> None:
    holds = {
        name
        for name, service in SERVICES.items()
        if any(volume.startswith("phi:") for volume in service.get("volumes", ()))
    }
    assert holds == TRUSTED
    for service in OURS.values():
        environment = service.get("environment", {})
        for variable in ("ZONE_RAW", "ZONE_QUARANTINE", "ZONE_OBJECTS"):
            root = environment.get(f"HOUNSFIELD_{variable}", "/data/phi/")
            assert root.startswith("/data/phi/")
        if "HOUNSFIELD_ZONE_RAW" in environment:
            told = {name: interpolated(str(value)) for name, value in environment.items()}
            tiers = Settings.load({**told, "HOUNSFIELD_HOME": "/data"}).tiers.tiers.values()
            assert all(tier.roots["raw"].startswith("/data/phi/") for tier in tiers)
    for name in ("worker", "worker-gpu", "api-server"):
        assert OURS[name]["environment"]["HOUNSFIELD_ZONE_OBJECTS"] == "/data/phi/objects"


def test_the_pages_see_what_a_reviewer_must_see_and_cannot_change_it() -> None:
    """The vault, the raw zone and the quarantine stay out of their reach."""
    mounted = {
        name: [volume for volume in service.get("volumes", ()) if volume.startswith("review:")]
        for name, service in SERVICES.items()
    }
    assert mounted.pop("api-server") == ["review:/data/review:ro"]
    assert {name for name, volumes in mounted.items() if volumes} == {"init", "worker"}
    for name in ("api-server", "worker"):
        assert OURS[name]["environment"]["HOUNSFIELD_ZONE_REVIEW"] == "/data/review"


def test_images_are_public_names_with_a_version() -> None:
    for service in SERVICES.values():
        image = interpolated(service["image"])
        name, _, tag = image.partition(":")
        assert re.fullmatch(r"([a-z0-9-]+/)?[a-z0-9-]+", name), "no host of a registry"
        assert re.match(r"v?\d", tag), "a version, not what is newest today"


def test_pages_listen_on_loopback_by_default() -> None:
    """Only what modalities and the PACS send to is open."""
    for name, service in SERVICES.items():
        for port in service.get("ports", ()):
            open_to = "0.0.0.0:" if name == "receiver" else "127.0.0.1:"
            assert interpolated(port).startswith(open_to)


def test_the_example_of_settings_is_whole() -> None:
    lines = (DOCKER / ".env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert example == variables_of(TEXT)


def test_the_pacs_knows_us() -> None:
    """Orthanc lets those fetch whom it knows, and sends there; the port is the mover's."""
    text = SERVICES["orthanc"]["environment"]["ORTHANC__DICOM_MODALITIES"]
    (modality,) = json.loads(interpolated(text)).values()
    sources = yaml.safe_load((DOCKER.parent / "configs" / "sources.yaml").read_text())
    port = sources["sources"]["pacs"]["peer"]["move"]["port"]
    assert modality == ["HOUNSFIELD", "worker", int(interpolated(port))]


def test_the_pacs_can_call_the_worker_back() -> None:
    """On loopback, as on one machine, nobody outside the container gets through."""
    told = {k: interpolated(str(v)) for k, v in SERVICES["worker"]["environment"].items()}
    peer = Settings.load({**told, "HOUNSFIELD_HOME": "/data"}).sources["pacs"].peer
    assert peer and peer["move"]["bind"] == "0.0.0.0"
    assert any(port.endswith(f":{peer['move']['port']}") for port in SERVICES["worker"]["ports"])


def test_ohif_asks_where_the_gateway_listens() -> None:
    roots = re.findall(r"Root: '(/[a-z-]+)'", (DOCKER / "ohif.js").read_text())
    assert set(roots) == {"/wado", "/dicom-web"}
    gateway = (DOCKER / "gateway.conf").read_text()
    locations = re.findall(r"location ~ (\S+) \{", gateway)
    for root in roots:
        assert any(re.match(location, f"{root}/studies") for location in locations)
    assert set(re.findall(r"set \$\w+ (\w+);", gateway)) <= SERVICES.keys()


def test_helm_keeps_nothing_in_a_pod() -> None:
    """Its disk goes with it."""
    values: dict[str, Any] = yaml.safe_load((DOCKER / "values.yaml").read_text())
    settings = Settings.load({item["name"]: item["value"] for item in values["env"]})
    roots = [root for tier in settings.tiers.tiers.values() for root in tier.roots.values()]
    assert all(root.startswith("s3://") for root in (*roots, *settings.site.zones.values()))
    docs = Settings.load({"HOUNSFIELD_HOME": "/data"}).site.docs
    assert str(docs) in {mount["mountPath"] for mount in values["volumeMounts"]}


def test_helm_makes_no_user_with_a_known_password() -> None:
    values: dict[str, Any] = yaml.safe_load((DOCKER / "values.yaml").read_text())
    assert values["createUserJob"]["defaultUser"]["enabled"] is False


def test_helm_gives_the_vault_to_one_set_of_workers() -> None:
    values: dict[str, Any] = yaml.safe_load((DOCKER / "values.yaml").read_text())
    sets = {item["name"]: item for item in values["workers"]["celery"]["sets"]}
    assert {name: item["queue"] for name, item in sets.items()} == {
        "default": "default",
        "gpu": "gpu",
    }
    everywhere = {item["name"] for item in values["env"]} | {
        item["envName"] for item in values["secret"]
    }
    private = {item["name"] for item in sets["default"]["env"]}
    assert private == {"HOUNSFIELD_VAULT_URL", "HOUNSFIELD_PROJECT_KEY"}
    assert not private & everywhere
