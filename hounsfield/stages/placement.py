"""Where products belong: the policy table of configs/tiers.yaml, read against the facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select

from hounsfield.catalog.models import AuditEvent, Product, Study
from hounsfield.records import RunContext
from hounsfield.settings import TierRule
from hounsfield.site import Site

__all__ = ["Facts", "Observer", "tier_of"]

#: What moves, verifies, keeps or deletes something of a study is no use of it.
_NO_USE = ("raw.move", "raw.verify", "hold.set", "hold.lift", "product.delete")
_YEAR = 365.25  # days


@dataclass(frozen=True, slots=True)
class Facts:
    """What the columns of the policy ask of one product.

    Attributes
    ----------
    age
        Since the acquisition, to the day; since the product was made where that is not known.
        It is not told further than the policy asks: the date itself stays in the vault.
    unused
        Since the study was opened, or the product was made.
    """

    kind: str
    age: timedelta
    unused: timedelta
    modalities: tuple[str, ...]
    project: str
    jurisdiction: str
    retention: str
    legal_hold: bool


def tier_of(rules: tuple[TierRule, ...], facts: Facts) -> str | None:
    """The tier of the first rule that matches; None where none does."""
    return next((rule.to for rule in rules if _matches(rule, facts)), None)


def _matches(rule: TierRule, facts: Facts) -> bool:
    return (
        rule.kind == facts.kind
        and rule.legal_hold == facts.legal_hold
        and rule.modality in ("*", *facts.modalities)
        and rule.project in ("*", facts.project)
        and rule.jurisdiction in ("*", facts.jurisdiction)
        and rule.retention in ("*", facts.retention)
        and facts.age >= timedelta(days=rule.older_than_days)
        and facts.unused >= timedelta(days=rule.unused_days)
    )


class Observer:
    """Gathers the facts of products at one moment.

    Parameters
    ----------
    moment
        That ages are measured at.
    run
        Who asks: the vault writes down that it was asked for windows of dates.
    """

    def __init__(self, site: Site, moment: datetime, run: RunContext) -> None:
        self._settings = site.settings
        self._moment = moment
        self._acquired = _acquired(site, self._steps(), moment, run)
        self._used = _last_uses(site)

    def facts(self, product: Product, study: Study) -> Facts:
        source = self._settings.sources.get(study.source)
        jurisdiction = source.jurisdiction if source else ""
        age = self._acquired.get(study.study_key, self._moment - product.created_at)
        years = self._settings.tiers.retention_years.get(jurisdiction, 0)
        used = max(self._used.get(study.study_key, product.created_at), product.created_at)
        return Facts(
            kind=product.kind,
            age=age,
            unused=max(self._moment - used, timedelta()),  # used while this is planned
            modalities=tuple(study.modalities.split("/")),
            project=self._settings.tiers.projects.get(study.project, "active"),
            jurisdiction=jurisdiction,
            retention="running" if age < timedelta(days=_years(years)) else "over",
            legal_hold=study.legal_hold,
        )

    def _steps(self) -> list[int]:
        """The ages in days that the policy tells apart, the highest first."""
        tiers = self._settings.tiers
        asked = {rule.older_than_days for rule in tiers.rules}
        return sorted(asked | {_years(years) for years in tiers.retention_years.values()} | {0})[
            ::-1
        ]


def _years(years: float) -> int:
    return round(years * _YEAR)


def _acquired(
    site: Site, steps: list[int], moment: datetime, run: RunContext
) -> Mapping[str, timedelta]:
    """Of each study that the vault has a date of, the highest of `steps` that it is as old as."""
    found: dict[str, timedelta] = {}
    for days in steps:
        last = (moment - timedelta(days=days)).strftime("%Y%m%d")
        keys = site.vault.keys_between("0", last, purpose="migrate", run=run)
        found = dict.fromkeys(keys, timedelta(days=days)) | found
    return found


def _last_uses(site: Site) -> Mapping[str, datetime]:
    """When each study was last opened, by the audit trail."""
    query = (
        select(AuditEvent.object, func.max(AuditEvent.at))
        .where(AuditEvent.action.not_in(_NO_USE))
        .group_by(AuditEvent.object)
    )
    with site.catalog.read() as session:
        return {key: datetime.fromisoformat(at) for key, at in session.execute(query)}
