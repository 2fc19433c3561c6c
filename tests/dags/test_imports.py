"""A Dag file only declares: nothing heavy is imported, and parsing is quick."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.dags.conftest import FOLDER

ROOT = FOLDER.parent
#: What a Dag file may import from. Not other Dags, and not the domain: operators are the verbs.
ALLOWED = {"__future__", "airflow", "datetime", "operators", "pendulum", "typing"}
HEAVY = (
    *("torch", "monai", "mlflow", "great_expectations", "evidently", "highdicom", "pydicom"),
    *("pynetdicom", "numpy", "dask", "distributed", "pandas", "scipy", "zarr", "matplotlib"),
)

#: Parses all Dags three times, each time in a fresh child, as the Dag processor does.
PARSE = """
import json, os, sys, time
import airflow.sdk
from airflow.dag_processing.dagbag import DagBag

def parse(out):
    started = time.process_time()
    bag = DagBag(sys.argv[1], load_op_links=False)
    seconds = time.process_time() - started
    told = {"seconds": seconds, "dags": sorted(bag.dags), "modules": sorted(sys.modules)}
    os.write(out, json.dumps(told).encode())

for _ in range(3):
    back, out = os.pipe()
    if os.fork() == 0:
        os.close(back)
        parse(out)
        os._exit(0)
    os.close(out)
    with os.fdopen(back) as answer:
        print(answer.read())
    os.wait()
"""


@pytest.fixture(scope="module")
def parses(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow"))}
    environment["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(FOLDER)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_parsing_all_takes_less_than_a_second(parses: list[dict[str, Any]]) -> None:
    """The one figure that is demanded: of the CPU's time, since other work shares the cores."""
    assert len(parses) == 3
    assert parses[0]["dags"] == sorted(path.stem for path in FOLDER.glob("*.py"))
    assert min(parse["seconds"] for parse in parses) < 1


def test_parsing_imports_nothing_heavy(parses: list[dict[str, Any]]) -> None:
    assert not set(parses[0]["modules"]) & set(HEAVY)


def test_a_dag_imports_only_what_declares(file: Path) -> None:
    roots = {name.split(".")[0] for name in _imports(ast.parse(file.read_text()))}
    assert roots <= ALLOWED


def test_a_dag_holds_no_logic(file: Path) -> None:
    """No class, no ``@task``: settings and wiring, the rest is an operator's."""
    tree = ast.parse(file.read_text())
    assert not [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    decorators = {ast.unparse(d).split("(")[0] for f in functions for d in f.decorator_list}
    assert decorators <= {"task_group"}
    assert all(function.decorator_list for function in functions)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "operators").glob("*.py")), ids=lambda path: path.stem
)
def test_an_operator_imports_the_domain_inside_its_call(path: Path) -> None:
    """At its top only what is light: errors and records."""
    top = ast.Module(body=_at_parse_time(ast.parse(path.read_text())), type_ignores=[])
    domain = {name for name in _imports(top) if name.split(".")[0] == "hounsfield"}
    assert domain <= {"hounsfield.errors", "hounsfield.records"}


def _imports(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def _at_parse_time(tree: ast.Module) -> list[ast.stmt]:
    """The statements that run at import: not functions, not what is for type checkers alone."""

    def is_typing(node: ast.stmt) -> bool:
        return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"

    kinds = (ast.Import, ast.ImportFrom, ast.If, ast.Try, ast.With)
    return [node for node in tree.body if isinstance(node, kinds) and not is_typing(node)]
