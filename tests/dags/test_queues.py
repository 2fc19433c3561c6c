"""Tasks of a study run on the queue of its region: Airflow's own policies set it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hounsfield.catalog.models import Snapshot, Study, utc_now
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


def run_of(**values: Any) -> Any:
    """A Dag run, as far as the policy looks at one."""
    usual = {"run_id": "r1", "dag_id": "prepare", "partition_key": None, "conf": None}
    return SimpleNamespace(**usual | values)


@pytest.mark.parametrize(
    ("dag_id", "conf", "then"),
    [
        ("train_model", {"snapshot": "chest-us"}, "gpu-us"),
        ("train_model", {"snapshot": "chest-eu"}, "gpu"),
        ("train_model", None, "gpu"),  # of another region it has to be named
        ("train_model", {"snapshot": "phantoms"}, "gpu"),
        ("train_model", {"snapshot": "never frozen"}, "gpu"),
        ("snapshot_dataset", {"region": "us"}, "gpu-us"),
        ("snapshot_dataset", {}, "gpu"),
        ("evaluate_drift", {}, "gpu"),
    ],
)
def test_training_is_where_its_snapshot_is(
    policy: Any, site: Site, dag_id: str, conf: dict[str, str] | None, then: str
) -> None:
    for days, region in ((2, "eu"), (1, "us")):
        uri = site.zone("datasets", region).uri("snapshots/1")
        when = utc_now() - timedelta(days=days)
        name = f"chest-{region}"
        site.catalog.put(Snapshot(digest=f"{region}1", name=name, uri=uri, created_at=when))
    task = SimpleNamespace(queue="gpu")
    policy.task_instance_mutation_hook(task, run_of(dag_id=dag_id, conf=conf))
    assert task.queue == then


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
        policy.task_instance_mutation_hook(task, run_of(partition_key=study_key))
        assert task.queue == then
    policy.task_instance_mutation_hook(task, None)
    assert task.queue == then


def test_without_the_catalog_a_task_goes_nowhere(
    policy: Any, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the scheduler goes on."""
    monkeypatch.setattr(policy, "_site", lambda: Site(site.settings.model_copy(update={"site": 0})))
    task, run = SimpleNamespace(queue="gpu"), run_of(partition_key="st-us")
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
