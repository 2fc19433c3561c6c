"""A process that erases a patient again and again, and is killed at random each time.

``python -m tests.stages.killed HOME SEED POINTS`` counts what a whole erasure does (statements
and removals), and then dies of SIGKILL after so many of these, in a child; a second child goes
on. Prints, as JSON, what was left each time.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event, select

from hounsfield.catalog.models import Product, Snapshot, Study
from hounsfield.records import RunContext
from hounsfield.settings import Settings
from hounsfield.site import Site
from hounsfield.stages.erase import (
    APPROVALS,
    certify_erasure,
    decide_erasure,
    erase,
    plan_erasure,
)
from hounsfield.stages.infer import tracker_of
from hounsfield.store.product import file_digest
from tests.stages.kept import keep_two_patients, remains

RUN = RunContext(actor="admin", dag_id="erase_patient", run_id="r1", task_id="erase")


def open_site(home: Path) -> Site:
    return Site(Settings.load({"HOUNSFIELD_HOME": str(home)}))


def prepare(home: Path) -> dict[str, str]:
    site = open_site(home)
    site.set_up()
    ada, bea, _ = keep_two_patients(site, tracker_of(site), RUN)
    told = plan_erasure(site, ada.patient_key, why="asked for", requested_by="patient", run=RUN)
    case, seen = told["erasure_id"], told["plan"]
    decide_erasure(site, case, "Erase", APPROVALS[0], plan=seen, approver="officer", run=RUN)
    return {"case": case, "ada": ada.study_key, "bea": bea.study_key}


def do(home: Path, case: str) -> None:
    erase(open_site(home), case, run=RUN)
    certify_erasure(open_site(home), case, run=RUN)


def watch(then: Callable[[int], None]) -> None:
    """Calls `then` with the number of each statement, and of each file that is changed."""
    done = 0

    def count(*_: Any) -> None:
        nonlocal done
        done += 1
        then(done)

    event.listen(Engine, "before_cursor_execute", count)
    event.listen(Engine, "commit", count)
    changes = {"os.remove", "os.rmdir", "os.rename", "os.mkdir", "shutil.rmtree"}
    sys.addaudithook(lambda name, _: count() if name in changes else None)


def in_child(action: Callable[[], object]) -> int:
    """The status of a child that does it."""
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def count_steps(home: Path, case: str) -> int:
    """How much a whole erasure does, counted in a child."""
    path = home.parent / "count"

    def counted() -> None:
        watch(lambda done: path.write_text(str(done)) and None)
        do(home, case)

    assert in_child(counted) == 0
    return int(path.read_text())


def die_at(point: int) -> Callable[[int], None]:
    return lambda done: os.kill(os.getpid(), signal.SIGKILL) if done >= point else None


def killed(home: Path, case: str, point: int) -> None:
    watch(die_at(point))
    do(home, case)


def state(home: Path, told: dict[str, str]) -> dict[str, Any]:
    site = open_site(home)
    with site.catalog.read() as session:
        studies = sorted(session.scalars(select(Study.study_key)))
        products = sorted(session.scalars(select(Product.product_id)))
        snapshots = sorted((row.state, row.members) for row in session.scalars(select(Snapshot)))
    stones = site.catalog.tombstones(case=told["case"])
    site.audit.verify()
    (certificate,) = home.glob("zones/evidence/erasures/*/certificate.json")
    listed = json.loads(certificate.read_bytes())
    return {
        "left": remains(site, told["ada"]),
        "vault": [site.vault.knows(told["ada"]), site.vault.knows(told["bea"])],
        "studies": studies,
        "products": products,
        "snapshots": snapshots,
        "other": _named(home, remains(site, told["bea"])),
        "runs": [len(tracker_of(site).predictions_of(told[name])) for name in ("ada", "bea")],
        "stones": sorted([stone.kind, stone.uri, bool(stone.deleted_at)] for stone in stones),
        "certified": sorted(entry["kind"] for entry in listed["deleted"]),
        "models": listed["models"],
    }


def _named(home: Path, names: list[str]) -> dict[str, str]:
    """Digest by name; runs of MLflow have names of their own each time, so they are counted."""
    runs = [name for name in names if name.startswith("mlflow/snapshots")]
    files = [home / name for name in names if name not in runs and (home / name).is_file()]
    told = {path.relative_to(home).as_posix(): file_digest(path) for path in files}
    return {**told, "mlflow/snapshots": str(len(runs))}


def main(home: Path, seed: int, points: int) -> None:
    kept = home.with_name("kept")
    path = home.parent / "told"
    assert in_child(lambda: path.write_text(json.dumps(prepare(home)))) == 0
    told = json.loads(path.read_text())
    shutil.copytree(home, kept)
    total = count_steps(home, told["case"])
    report = [{"point": 0, "total": total, "status": 0} | look(home, told)]
    for point in sorted(random.Random(seed).sample(range(1, total), points)):
        shutil.rmtree(home)
        shutil.copytree(kept, home)
        status = in_child(lambda point=point: killed(home, told["case"], point))
        assert in_child(lambda: do(home, told["case"])) == 0
        report.append({"point": point, "total": total, "status": status} | look(home, told))
    print(json.dumps(report))


def look(home: Path, told: dict[str, str]) -> dict[str, Any]:
    """The state, from a child: this process opens no database, so that it can be forked."""
    path = home.parent / "state"
    assert in_child(lambda: path.write_text(json.dumps(state(home, told)))) == 0
    return json.loads(path.read_text())


if __name__ == "__main__":
    import mlflow.cli  # noqa: F401 - once here, and not in each child

    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
