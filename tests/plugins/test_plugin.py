"""What Airflow finds under plugins/, and what finding it costs every process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.plugins.conftest import PLUGINS

_LOAD = """
import sys
import airflow.sdk
before = set(sys.modules)
sys.path.append(sys.argv[1])
import hounsfield_plugin
print(*sorted(set(sys.modules) - before))
"""


def test_airflow_executes_one_file() -> None:
    from airflow._shared.module_loading import find_path_from_directory

    found = [Path(path) for path in find_path_from_directory(PLUGINS, ".airflowignore", "glob")]
    assert [path.name for path in found if path.suffix == ".py"] == ["hounsfield_plugin.py"]


def test_a_task_does_not_pay_for_the_page() -> None:
    """Each task process loads the plugins: nothing but their base class may come with them."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _LOAD, str(PLUGINS)],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = done.stdout.split()
    assert "hounsfield_plugin" in loaded
    strangers = {name.split(".")[0] for name in loaded} - {"airflow", "hounsfield_plugin"}
    assert not strangers
    assert not [name for name in loaded if name.startswith(("airflow.api", "airflow.models"))]


def test_the_page_is_mounted_and_in_the_navigation() -> None:
    from hounsfield_page.app import app
    from hounsfield_plugin import HounsfieldPlugin

    plugin = HounsfieldPlugin()
    (mounted,) = plugin.fastapi_apps
    (view,) = plugin.external_views
    assert mounted["app"] is app
    assert (mounted["url_prefix"], view["href"]) == ("/hounsfield", "hounsfield/")
    assert (view["name"], view["destination"]) == ("Hounsfield", "nav")
