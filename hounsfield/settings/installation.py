"""All settings of one installation, which have to agree with each other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from hounsfield.errors import ConfigError
from hounsfield.settings.drift import DriftSettings
from hounsfield.settings.files import Frozen, configs_folder, parse, root_folder
from hounsfield.settings.site import IN_REGION, SiteFile
from hounsfield.settings.sources import DestinationSettings, SourceSettings, SourcesFile
from hounsfield.settings.tiers import TierSettings

__all__ = ["Settings"]


class Settings(Frozen):
    """All of configs/ but receiver.yaml, and where things are.

    Attributes
    ----------
    home
        Folder of everything that this installation writes by default (``HOUNSFIELD_HOME``).
    configs
        Folder of the YAML files (``HOUNSFIELD_CONFIGS``).
    models
        Folder of the bundles (``HOUNSFIELD_MODELS``).
    """

    home: Path
    configs: Path
    models: Path
    site: SiteFile
    sources: dict[str, SourceSettings]
    destinations: dict[str, DestinationSettings]
    tiers: TierSettings
    drift: DriftSettings

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Reads configs/ with the variables of `environ` (default: the process's).

        Raises
        ------
        ConfigError
            Naming the file and the key that is unknown, missing or wrong.
        """
        variables = dict(os.environ if environ is None else environ)
        root, configs = root_folder(variables), configs_folder(variables)
        home = Path(variables.get("HOUNSFIELD_HOME") or root / ".hounsfield").resolve()
        variables["HOUNSFIELD_HOME"] = str(home)
        sources = parse(SourcesFile, configs / "sources.yaml", variables)
        site = parse(SiteFile, configs / "site.yaml", variables)
        tiers = parse(TierSettings, configs / "tiers.yaml", variables)
        _check_regions(site, sources)
        _check_places(site, tiers)
        return cls(
            home=home,
            configs=configs,
            models=Path(variables.get("HOUNSFIELD_MODELS") or root / "models"),
            site=site,
            sources=sources.sources,
            destinations=sources.destinations,
            tiers=tiers,
            drift=parse(DriftSettings, configs / "drift.yaml", variables),
        )

    def bundles(self, *, trained: bool) -> list[str]:
        """Names of the bundles that are trained, or else of those that compute what they say."""
        found = (path.parent for path in self.models.glob("*/configs/metadata.json"))
        return sorted(
            configs.parent.name for configs in found if (configs / "train.yaml").exists() == trained
        )


def _check_places(site: SiteFile, tiers: TierSettings) -> None:
    if told := tiers.in_one_place(site.every_region):
        raise ConfigError(
            told,
            where="configs/tiers.yaml: tiers",
            remedy=f"a root without {IN_REGION} may not be what one with it is in any region",
        )


def _check_regions(site: SiteFile, file: SourcesFile) -> None:
    for zone, root in site.zones.items():
        if site.regions and IN_REGION not in root and zone != "evidence":  # No data of a study's.
            raise ConfigError(
                "the regions have no root of their own",
                where=f"configs/site.yaml: zones.{zone}",
                remedy=f"put {IN_REGION} into it, such as s3://hospital-{IN_REGION}/{zone}",
            )
    for region in site.every_region:  # A queue tells its region by how it ends.
        if any(other.endswith(f"-{region}") for other in site.every_region if region):
            raise ConfigError(
                f"a region's name ends with that of another, {region}",
                where="configs/site.yaml: regions",
                remedy="rename one of them",
            )
    for name, source in file.sources.items():
        if source.region not in ("", *site.every_region):
            raise ConfigError(
                f"there is no region {source.region!r}",
                where=f"configs/sources.yaml: sources.{name}.region",
                remedy="name it under regions in configs/site.yaml, or correct it",
            )
