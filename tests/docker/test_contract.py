"""The services' commands and variables are those that the code has."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tests.docker.conftest import DOCKER, OURS, ROOT, SERVICES, command_of

#: Read by others than us: MLflow and uvicorn's children.
FOREIGN = {"MLFLOW_BACKEND_STORE_URI", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION"}

#: Asks Airflow, configured as in the image, to parse commands and to list its options.
ASK = """
import json, sys
from airflow.cli import cli_parser
from airflow.configuration import conf

parser = cli_parser.get_parser()
for command in json.loads(sys.argv[1]):
    parser.parse_args(command)
sections = conf.configuration_description
print(json.dumps({name: sorted(section["options"]) for name, section in sections.items()}))
"""


def environment_of(service: dict[str, Any]) -> dict[str, Any]:
    """With the entrypoint's doing: NAME_FILE is NAME, but where a path is meant."""
    given = service.get("environment", {})
    keep = "HOUNSFIELD_KEY_FILE"
    return {k if k == keep else k.removesuffix("_FILE"): v for k, v in given.items()}


def airflow_commands() -> list[list[str]]:
    """Of compose.yaml and of init.sh, without the program's name."""
    commands = [command_of(service) for service in OURS.values()]
    found = [command[1:] for command in commands if command[0] == "airflow"]
    script = (DOCKER / "init.sh").read_text().replace("\\\n", " ")
    lines = (line.strip() for line in script.splitlines())
    found += [shlex.split(line)[1:] for line in lines if line.startswith("airflow ")]
    return found


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Airflow's options by section; the commands of the services parse, or this fails."""
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        **{
            key: OURS["scheduler"]["environment"][key]
            for key in ("AIRFLOW__CORE__EXECUTOR", "AIRFLOW__CORE__AUTH_MANAGER")
        },
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(airflow_commands())],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_airflow_knows_its_commands(options: dict[str, list[str]]) -> None:
    assert [command[0] for command in airflow_commands()].count("celery") == 2
    assert options


def test_airflow_knows_its_variables(options: dict[str, list[str]]) -> None:
    names = {name for service in OURS.values() for name in environment_of(service)}
    names |= set(re.findall(r"AIRFLOW__\w+", (DOCKER / "Dockerfile").read_text()))
    asked = {name for name in names if name.startswith("AIRFLOW__")}
    known = {
        f"AIRFLOW__{section}__{option}".upper()
        for section in options
        for option in options[section]
    }
    assert asked
    assert asked <= known


def test_the_entrypoint_leaves_airflows_own_paths_alone(options: dict[str, list[str]]) -> None:
    """An option that ends in ``_file`` means a file, not a secret in it."""
    script = (DOCKER / "entrypoint.sh").read_text()
    for section, names in options.items():
        for name in names:
            if name.endswith("_file"):
                assert f"AIRFLOW__{section}__{name}".upper().removesuffix("_FILE") in script


def test_the_services_serve_every_queue_and_pool() -> None:
    from operators.policy import GPU_QUEUE

    workers = [command for command in map(command_of, OURS.values()) if "worker" in command]
    queues = {command[command.index("--queues") + 1] for command in workers}
    assert queues == {"default", GPU_QUEUE}


def test_our_commands_exist(ours: dict[str, Any]) -> None:
    from hounsfield.cli import main

    program, *arguments = command_of(ours)
    if program != "hounsfield":
        return
    name, *rest = arguments
    main.commands[name].make_context(name, rest, resilient_parsing=False)


def test_the_set_up_of_init_exists() -> None:
    from hounsfield.cli import main

    lines = (DOCKER / "init.sh").read_text().splitlines()
    names = [line.split()[1] for line in lines if line.startswith("hounsfield ")]
    assert names == ["setup"]
    assert set(names) <= main.commands.keys()


def test_mlflow_knows_its_command() -> None:
    from mlflow.cli import cli

    program, name, *arguments = command_of(SERVICES["mlflow"])
    assert program == "mlflow"
    command = cli.commands[name]
    assert isinstance(command, click.Command)
    flags = {flag for option in command.params for flag in option.opts}
    assert {word for word in arguments if word.startswith("--")} <= flags
    allowed = arguments[arguments.index("--allowed-hosts") + 1].split(",")
    uri = OURS["worker"]["environment"]["MLFLOW_TRACKING_URI"]
    assert uri.removeprefix("http://") in allowed, "else it answers 403 to every task"


class Asked(dict[str, str]):
    """An empty environment that keeps what it was asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        self.names.add(name)
        return default


def variables_that_the_code_reads() -> set[str]:
    """Named in configs/ or by an option, or asked of the environment in the code."""
    from hounsfield.cli import main
    from hounsfield.stages.announce import Airflow

    found: set[str] = set()
    for path in (ROOT / "configs").rglob("*.yaml"):
        found |= set(re.findall(r"\$\{([A-Z][A-Z0-9_]*)", path.read_text()))
    found |= {str(o.envvar) for c in main.commands.values() for o in c.params if o.envvar}
    Airflow.from_environment(asked_for := Asked())
    found |= asked_for.names
    asked = re.compile(r"(?:environ|variables|getenv)\b[^\n]{0,20}?[\"']([A-Z][A-Z0-9_]*)[\"']")
    for path in (*(ROOT / "hounsfield").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")):
        found |= set(asked.findall(path.read_text()))
    return found


def test_every_variable_of_ours_is_read_by_the_code(ours: dict[str, Any]) -> None:
    scripts = "".join((DOCKER / name).read_text() for name in ("init.sh", "entrypoint.sh"))
    names = {n for n in environment_of(ours) if not n.startswith("AIRFLOW__")} - FOREIGN
    unread = names - variables_that_the_code_reads()
    assert {name for name in unread if f"${name}" not in scripts} == set()


def test_helm_sets_variables_that_the_code_reads() -> None:
    values = yaml.safe_load((DOCKER / "values.yaml").read_text())
    names = [item["name"] for item in values["env"]]
    names += [item["envName"] for item in values["secret"]]
    names += [
        item["name"] for set_ in values["workers"]["celery"]["sets"] for item in set_.get("env", ())
    ]
    assert set(names) <= variables_that_the_code_reads()
    assert values["airflowVersion"] in (ROOT / "pyproject.toml").read_text()


def test_the_image_sets_variables_that_the_code_reads() -> None:
    text = (DOCKER / "Dockerfile").read_text()
    names = set(re.findall(r"\b(HOUNSFIELD_\w+)=", text))
    assert names <= variables_that_the_code_reads()


def test_settings_load_in_each_service(ours: dict[str, Any], tmp_path: Path) -> None:
    """With the variables of the service, and what make-secrets.sh makes."""
    from hounsfield.settings import Settings
    from tests.docker.conftest import interpolated

    given = {k: interpolated(str(v)) for k, v in environment_of(ours).items()}
    home = {"HOUNSFIELD_ROOT": str(ROOT), "HOUNSFIELD_HOME": "/data"}
    settings = Settings.load({**given, **home})
    if "MLFLOW_TRACKING_URI" in given:
        assert settings.site.mlflow.uri == "http://mlflow:5000"
    if "HOUNSFIELD_KEY_FILE" in given:
        assert settings.site.key_file == Path("/run/secrets/project_key")
