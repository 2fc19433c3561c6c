"""One installation: its settings, zones, databases, key and audit trail, opened when asked for."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from functools import cached_property
from typing import Literal

from sqlalchemy import Engine

from hounsfield.audit import AuditLog
from hounsfield.catalog import Catalog, open_engine, up_to_date, upgrade
from hounsfield.catalog.models import Study
from hounsfield.errors import NotFound, NotYet, WrongRegion
from hounsfield.pseudonyms import KeyRing, Pseudonyms, load_key, load_keys
from hounsfield.settings import IN_REGION, Settings, one_spelling
from hounsfield.store import Zone
from hounsfield.vault import Vault

__all__ = ["Site"]


class Site:
    """What every stage works on. Opening one touches nothing; its parts open at first use.

    A part whose database is not set up, or not for this release, raises ``ConfigError``.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @classmethod
    def open(cls) -> Site:
        """The installation that the environment and configs/ describe."""
        return cls(Settings.load())

    def set_up(self) -> None:
        """Makes the key, the databases and the folders, or brings them up to date."""
        load_key(self.settings.site.key_file, create=True)
        upgrade(self._catalog_engine, "catalog")
        upgrade(self._vault_engine, "vault")

    def region_of(self, study_key: str, source: str = "") -> str:
        """The region that a study may not leave: the one it came into first.

        Parameters
        ----------
        source
            Where it comes from, for a study that the catalog does not know yet.
        """
        with self.catalog.read() as session:
            row = session.get(Study, study_key)
        if row is None:
            return self.region_of_source(source)
        return row.region or self.settings.site.region

    def region_of_source(self, name: str) -> str:
        """That of a source of configs/sources.yaml; of one that is not there, the site's."""
        source = self.settings.sources.get(name)
        return (source.region if source else "") or self.settings.site.region

    @property
    def regions(self) -> tuple[str, ...]:
        """All of them, the site's own first."""
        return self.settings.site.every_region

    def zone(self, name: str, region: str | None = None) -> Zone:
        """One of the trust zones by its name in configs/site.yaml.

        Parameters
        ----------
        region
            Of what is written there; None: that of the site.

        Raises
        ------
        NotFound
            If configs/site.yaml names no such zone.
        WrongRegion
            If it has no root in that region.
        """
        for zone, root in self.settings.site.zones.items():
            if zone == name:
                return self._zone(name, root, region)
        raise NotFound(f"configs/site.yaml names no zone {name}")

    def everywhere(self, name: Literal["raw", "quarantine"]) -> list[Zone]:
        """One of the trust zones in each region that has a root of it."""
        root = self.settings.site.zones[name]
        return [self._zone(name, root, region) for region in self._regions_of(root)]

    def tier(self, name: str, kind: str, region: str | None = None) -> Zone:
        """Where a kind of product lies in a tier of configs/tiers.yaml.

        Raises
        ------
        NotFound
            If it names no such tier, or no root of this kind in it.
        WrongRegion
            If it has no root in that region.
        """
        tier = self.settings.tiers.tiers.get(name)
        for known, root in tier.roots.items() if tier else ():
            if known == kind:
                return self._zone(name, root, region)
        raise NotFound(f"configs/tiers.yaml names no tier {name} for {kind}")

    def has_tier(self, name: str, kind: str, region: str) -> bool:
        """Whether what is of a region may lie in a tier of configs/tiers.yaml."""
        tier = self.settings.tiers.tiers.get(name)
        roots = [root for known, root in tier.roots.items() if known == kind] if tier else []
        return any(region in self._regions_of(root) for root in roots)

    def copy_of(self, name: str, kind: str, region: str | None = None) -> Zone | None:
        """Where the second copies of a tier lie, if it has any of this kind in that region."""
        tier = self.settings.tiers.tiers.get(name)
        for known, root in tier.copies.items() if tier else ():
            if known == kind and region in (None, *self._regions_of(root)):
                return self._zone(f"copy of {name}", root, region)
        return None

    def recall(self, uris: Collection[str], *, where: str) -> None:
        """Asks for all at once of several products what lies in an archive, before one is opened.

        One after another, each would take hours. Of what is not there, who opens it is told.

        Raises
        ------
        NotYet
            While one is not back.
        """
        waits = []
        for uri in uris:
            try:
                with suppress(NotFound):
                    zone, relative = self.locate(uri)
                    zone.recall(relative)
            except NotYet as wait:
                waits.append(wait.seconds)
        if waits:
            raise NotYet(
                f"{len(waits)} of {len(uris)} products are being recalled from the archive",
                where=where,
                remedy="they come by themselves: ask again later",
                seconds=max(waits),
            )

    def locate(self, uri: str) -> tuple[Zone, str]:
        """The zone or tier that a product's URI lies in, and its path there.

        Raises
        ------
        NotFound
            If no zone and no tier has this root.
        """
        found = [
            (_in_region(root, region), name, root, region)
            for name, root in self._roots.items()
            for region in self._regions_of(root)
        ]
        uri = one_spelling(uri)
        for placed, name, root, region in sorted(found, key=lambda item: -len(item[0])):
            if uri.startswith(placed.rstrip("/") + "/"):
                zone = self._zone(name, root, region)
                return zone, zone.relative(uri)
        raise NotFound(
            "the product lies in no zone that configs/ names",
            remedy="was a root renamed there, or taken out? Put it back as it was",
        )

    def tiers_of(self, kind: str) -> list[Zone]:
        """Wherever a kind of product may lie, or a copy of it: in every tier."""
        tiers = self.settings.tiers.tiers.values()
        roots = [of.get(kind) for tier in tiers for of in (tier.roots, tier.copies)]  # type: ignore[call-overload]
        return [
            self._zone(kind, root, region)
            for root in dict.fromkeys(roots)
            if root
            for region in self._regions_of(root)
        ]

    def places(self) -> list[Zone]:
        """All zones, tiers and their copies, each place once: a kind's hot tier is its zone."""
        found: list[Zone] = []
        for name, root in self._roots.items():
            for region in self._regions_of(root):
                zone = self._zone(name, root, region)
                if not any(zone.is_at(other) for other in found):
                    found.append(zone)
        return found

    def _zone(self, name: str, root: str, region: str | None) -> Zone:
        home = self.settings.site.region
        region = home if region is None else region
        if region not in self._regions_of(root):
            raise WrongRegion(
                f"there is no root in the region {region or 'none'}",
                where=name,
                remedy=f"name the region in configs/site.yaml, and put {IN_REGION} into the root, "
                "so that each region has one",
            )
        stores = self.settings.site.stores
        placed = _in_region(root, region)
        fitting = [prefix for prefix in stores if f"{placed}/".startswith(prefix)]
        store = stores[max(fitting, key=len)] if fitting else None
        return Zone(name if region == home else f"{name} in {region}", placed, store, region)

    def _regions_of(self, root: str) -> tuple[str, ...]:
        """Those that have a root of their own by it: all of them, or the site's alone."""
        return self.regions if IN_REGION in root else self.regions[:1]

    @property
    def _roots(self) -> dict[str, str]:
        tiers = self.settings.tiers.tiers
        of_tiers = {
            f"{tier}-{kind}": root for tier in tiers for kind, root in tiers[tier].roots.items()
        }
        copies = {
            f"copy of {tier}-{kind}": root
            for tier in tiers
            for kind, root in tiers[tier].copies.items()
        }
        zones = self.settings.site.zones.items()
        return {**dict[str, str](zones), **of_tiers, **copies}

    @cached_property
    def catalog(self) -> Catalog:
        return Catalog(up_to_date(self._catalog_engine, "catalog"))

    @cached_property
    def audit(self) -> AuditLog:
        return AuditLog(up_to_date(self._catalog_engine, "catalog"))

    @cached_property
    def vault(self) -> Vault:
        newest = self.keys.newest.version
        older = [key for version, key in self._keys.items() if version != newest]
        engine = up_to_date(self._vault_engine, "vault")
        return Vault(engine, self._keys[newest], self.audit, older)

    @property
    def pseudonyms(self) -> Pseudonyms:
        """Those that new studies come under."""
        return self.keys.newest

    @cached_property
    def keys(self) -> KeyRing:
        """The pseudonyms under every version of the project key that is known."""
        site = self.settings.site
        return KeyRing(self._keys, project=site.project, newest=site.key_version)

    def pseudonyms_of(self, study_instance_uid: str) -> Pseudonyms:
        """Those that a study is known under; the newest for one that is not."""
        return self.keys.of_study(study_instance_uid, self.vault.knows)

    def pseudonyms_for(self, study_key: str) -> Pseudonyms:
        """Those that a study of the catalog is known under.

        Raises
        ------
        NotFound
            If the catalog knows no such study.
        ConfigError
            If that version of the project key is not known any more.
        """
        return self.keys.version(self.catalog.study(study_key).key_version)

    @cached_property
    def _keys(self) -> dict[int, bytes]:
        site = self.settings.site
        return load_keys(site.key_file, version=site.key_version)

    @cached_property
    def _catalog_engine(self) -> Engine:
        return open_engine(self.settings.site.databases.catalog)

    @cached_property
    def _vault_engine(self) -> Engine:
        return open_engine(self.settings.site.databases.vault)


def _in_region(root: str, region: str) -> str:
    return root.replace(IN_REGION, region)
