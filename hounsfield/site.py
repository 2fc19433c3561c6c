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
                return Zone(name, root)
        raise NotFound(f"configs/site.yaml names no zone {name}")

    def locate(self, uri: str) -> tuple[Zone, str]:
        """The zone or tier that a product's URI lies in, and its path there.

        Raises
        ------
        NotFound
            If no zone and no tier has this root.
        """
        for name, root in sorted(self._roots.items(), key=lambda item: -len(item[1])):
            if uri.startswith(root.rstrip("/") + "/"):
                zone = Zone(name, root)
                return zone, zone.relative(uri)
        raise NotFound("the product lies in no zone that configs/ names")

    def places(self) -> list[Zone]:
        """All zones and tiers, each place once: the hot tier of a kind is its zone."""
        found: list[Zone] = []
        for name, root in self._roots.items():
            zone = Zone(name, root)
            if not any(zone.is_at(other) for other in found):
                found.append(zone)
        return found

    @property
    def _roots(self) -> dict[str, str]:
        tiers = self.settings.tiers.tiers
        of_tiers = {f"{tier}-{kind}": root for tier in tiers for kind, root in tiers[tier].items()}
        zones = self.settings.site.zones.items()
        return {**dict[str, str](zones), **of_tiers}

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
