"""A site in two regions: at home in eu, with a source in each."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from hounsfield.settings import Settings
from hounsfield.site import Site

__all__ = ["environment", "site_in_two_regions"]

CONFIGS = Path(__file__).parents[1] / "configs"
_ZONES = ("raw", "quarantine", "review", "objects", "results", "deid", "volumes", "datasets")
#: Variables of roots that have one of each region; the others are of eu alone.
_EACH = (*(f"ZONE_{zone}".upper() for zone in _ZONES), "WARM_RAW")


def environment(folder: Path, regions: dict[str, str] | None = None) -> dict[str, str]:
    """The variables of a site below `folder`.

    Parameters
    ----------
    regions
        Source → its region, as configs/sources.yaml has them.
    """
    configs = folder / "configs"
    if not configs.exists():
        shutil.copytree(CONFIGS, configs)
    file = configs / "sources.yaml"
    given = yaml.safe_load((CONFIGS / "sources.yaml").read_text())
    pacs = given["sources"]["pacs"]
    named = regions or {"berlin": "", "boston": "us"}
    given["sources"] = {name: pacs | {"region": region} for name, region in named.items()}
    file.write_text(yaml.safe_dump(given))
    return {
        "HOUNSFIELD_HOME": str(folder / "home"),
        "HOUNSFIELD_CONFIGS": str(configs),
        "HOUNSFIELD_CONFIRM_SECONDS": "0",
        "HOUNSFIELD_REGION": "eu",
        "HOUNSFIELD_REGIONS": "us",
        **{f"HOUNSFIELD_{name}": f"{folder}/{{region}}/{name.lower()}" for name in _EACH},
    }


def site_in_two_regions(folder: Path) -> Site:
    site = Site(Settings.load(environment(folder)))
    site.set_up()
    return site
