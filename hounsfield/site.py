"""One installation: its settings, zones, databases, key and audit trail, opened when asked for."""

from __future__ import annotations

from functools import cached_property

from sqlalchemy import Engine

from hounsfield.audit import AuditLog
from hounsfield.catalog import Catalog, open_engine, up_to_date, upgrade
from hounsfield.errors import NotFound
from hounsfield.pseudonyms import KeyRing, Pseudonyms, load_key, load_keys
from hounsfield.settings import Settings
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

    def zone(self, name: str) -> Zone:
        """One of the trust zones by its name in configs/site.yaml.

        Raises
        ------
        NotFound
            If configs/site.yaml names no such zone.
        """
        for zone, root in self.settings.site.zones.items():
            if zone == name:
                return self._zone(name, root)
        raise NotFound(f"configs/site.yaml names no zone {name}")

    def tier(self, name: str, kind: str) -> Zone:
        """Where a kind of product lies in a tier of configs/tiers.yaml.

        Raises
        ------
        NotFound
            If it names no such tier, or no root of this kind in it.
        """
        tier = self.settings.tiers.tiers.get(name)
        for known, root in tier.roots.items() if tier else ():
            if known == kind:
                return self._zone(name, root)
        raise NotFound(f"configs/tiers.yaml names no tier {name} for {kind}")

    def copy_of(self, name: str, kind: str) -> Zone | None:
        """Where the second copies of a tier lie, if it has any of this kind."""
        tier = self.settings.tiers.tiers.get(name)
        for known, root in tier.copies.items() if tier else ():
            if known == kind:
                return self._zone(f"copy of {name}", root)
        return None

    def locate(self, uri: str) -> tuple[Zone, str]:
        """The zone or tier that a product's URI lies in, and its path there.

        Raises
        ------
        NotFound
            If no zone and no tier has this root.
        """
        for name, root in sorted(self._roots.items(), key=lambda item: -len(item[1])):
            if uri.startswith(root.rstrip("/") + "/"):
                zone = self._zone(name, root)
                return zone, zone.relative(uri)
        raise NotFound("the product lies in no zone that configs/ names")

    def _zone(self, name: str, root: str) -> Zone:
        stores = self.settings.site.stores
        fitting = [prefix for prefix in stores if root.startswith(prefix)]
        return Zone(name, root, stores[max(fitting, key=len)] if fitting else None)

    def tiers_of(self, kind: str) -> list[Zone]:
        """Wherever a kind of product may lie, or a copy of it: in every tier."""
        tiers = self.settings.tiers.tiers.values()
        roots = [of.get(kind) for tier in tiers for of in (tier.roots, tier.copies)]  # type: ignore[call-overload]
        return [self._zone(kind, root) for root in dict.fromkeys(roots) if root]

    def places(self) -> list[Zone]:
        """All zones, tiers and their copies, each place once: a kind's hot tier is its zone."""
        found: list[Zone] = []
        for name, root in self._roots.items():
            zone = self._zone(name, root)
            if not any(zone.is_at(other) for other in found):
                found.append(zone)
        return found

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
