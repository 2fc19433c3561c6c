"""Tasks of a study run on the queue of its region: Airflow's own policies set it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hounsfield.catalog.models import Study
from hounsfield.settings import Settings
from hounsfield.site import Site
from tests.regions import environment, site_in_two_regions

ROOT = Path(__file__).parents[2]
STUDIES = {"st-eu": "eu", "st-us": "us", "st-old": None}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = site_in_two_regions(tmp_path)
    for study, region in STUDIES.items():
        site.catalog.put(Study(study_key=study, patient_key="pt-a", region=region))
    return site


def installed(folder: Path) -> Path:
    """What an installer writes of the entry points in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    points = project["entry-points"]["airflow.policy"]
    info = folder / "policies" / "hounsfield_policies-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hounsfield-policies\nVersion: 1\n")
    lines = [f"{name} = {module}" for name, module in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[airflow.policy]", *lines, ""]))
    return info.parent


def runs(folder: Path, variables: dict[str, str]) -> Any:
    """See `tests.dags.runs_of_studies`, in an Airflow that was never there before."""
    kept = {name: value for name, value in os.environ.items() if "HOUNSFIELD" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "tests.dags.runs_of_studies", *STUDIES],
        env=kept
        | variables
        | {
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONPATH": os.pathsep.join((str(installed(folder)), str(ROOT))),
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.usefixtures("site")
def test_airflow_puts_each_task_on_the_queue_of_its_study(tmp_path: Path) -> None:
    told = runs(tmp_path, environment(tmp_path))
    assert told["asks"]
    for moment in ("made", "cleared"):
        for study, tasks in told[moment].items():
            away = "-us" if study == "st-us" else ""
            assert len(tasks) > 10
            for name, queue in tasks.items():
                usual = "gpu" if name == "infer.model.run" else "default"
                assert queue == f"{usual}{away}", (moment, study, name)


def test_a_site_with_one_region_is_left_alone(tmp_path: Path) -> None:
    """There is not even a catalog to ask."""
    told = runs(tmp_path, {"HOUNSFIELD_HOME": str(tmp_path / "home")})
    assert not told["asks"]
    for moment in ("made", "cleared"):
        for tasks in told[moment].values():
            assert set(tasks.values()) == {"default", "gpu"}


@pytest.mark.parametrize(
    ("study_key", "queue", "then"),
    [
        ("st-us", "default", "default-us"),
        ("st-us", "gpu", "gpu-us"),
        ("st-eu", "default", "default"),
        ("st-old", "gpu", "gpu"),
        ("no-study", "default", "default"),
        (None, "default", "default"),
    ],
)
def test_asked_again_it_says_the_same(
    policy: Any, study_key: str | None, queue: str, then: str
) -> None:
    task = SimpleNamespace(queue=queue)
    for _ in range(2):
        policy.task_instance_mutation_hook(task, SimpleNamespace(partition_key=study_key))
        assert task.queue == then
    policy.task_instance_mutation_hook(task, None)
    assert task.queue == then


def test_without_the_catalog_a_task_goes_nowhere(
    policy: Any, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the scheduler goes on."""
    monkeypatch.setattr(policy, "_site", lambda: Site(site.settings.model_copy(update={"site": 0})))
    task, run = SimpleNamespace(queue="gpu"), SimpleNamespace(partition_key="st-us")
    for _ in range(2):
        policy.task_instance_mutation_hook(task, run)
        assert task.queue == policy.NOWHERE


@pytest.fixture
def policy(site: Site, monkeypatch: pytest.MonkeyPatch) -> Any:
    from operators import residency

    monkeypatch.setattr(residency, "_site", lambda: site)
    monkeypatch.setattr(residency, "_has_regions", lambda: True)
    return residency


def test_the_dags_of_all_studies_have_a_group_for_each_other_region(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.dag_processing.dagbag import DagBag

    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    assert Settings.load().site.every_region == ("eu", "us")
    found = {}
    for dag_id in ("ingest", "migrate_tiers", "scrub"):
        bag = DagBag(ROOT / "dags" / f"{dag_id}.py", load_op_links=False)
        assert bag.import_errors == {}
        found[dag_id] = {task.task_id: task.queue for task in bag.dags[dag_id].tasks}
    assert found == {
        "ingest": {
            "berlin.find": "default",
            "berlin.retrieve": "default",
            "boston.find": "default-us",
            "boston.retrieve": "default-us",
        },
        "migrate_tiers": {
            "plan": "default",
            "move": "default",
            "us.plan": "default-us",
            "us.move": "default-us",
        },
        "scrub": {
            "pick": "default",
            "verify": "default",
            "us.pick": "default-us",
            "us.verify": "default-us",
        },
    }
