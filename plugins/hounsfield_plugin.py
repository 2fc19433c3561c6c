"""Puts the Hounsfield page into Airflow's navigation.

Every process of Airflow executes this file, each task among them, so it imports nothing but the
base class: the page itself (FastAPI, Airflow's API, the catalog) costs 1.5 s, and only the
API server asks for it.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin


class HounsfieldPlugin(AirflowPlugin):
    """Mounts the page at /hounsfield and shows it as a view of its own."""

    name = "hounsfield"
    external_views = [  # noqa: RUF012 - Airflow's own form
        {
            "name": "Hounsfield",
            "href": "hounsfield/",  # relative to Airflow's base, wherever that is
            "destination": "nav",
            "url_route": "hounsfield",
            "nav_top_level": True,
        }
    ]

    @property
    def fastapi_apps(self) -> list[Any]:  # type: ignore[override]
        from hounsfield_page.app import app

        return [{"app": app, "url_prefix": "/hounsfield", "name": "Hounsfield"}]
