"""migrate: move products to the tier that the policy names, and lose nothing on the way."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from hounsfield.catalog.models import Product, Study, utc_now
from hounsfield.errors import ConfigError, IntegrityError
from hounsfield.records import RunContext
from hounsfield.settings import TierRule
from hounsfield.site import Site
from hounsfield.stages.step import step
from hounsfield.store import Zone
from hounsfield.store.product import verify

__all__ = ["Move", "move", "plan"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Move:
    """One product that should lie in another tier."""

    product_id: str
    study_key: str
    kind: str
    bytes: int
    source: str
    target: str

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def plan(site: Site, *, now: datetime | None = None) -> list[Move]:
    """What the policy of configs/tiers.yaml would move. Studies on legal hold stay.

    Parameters
    ----------
    now
        The time that ages are measured at; the present by default.
    """
    moment = now or utc_now()
    query = (
        select(Product, Study)
        .join(Study, Study.study_key == Product.study_key)
        .where(Study.legal_hold.is_(False), Product.kind.in_(("raw", "volume")))
        .order_by(Product.created_at)
    )
    with site.catalog.read() as session:
        rows = session.execute(query).all()
    moves = []
    for product, study in rows:
        target = _tier(site.settings.tiers.rules, product, study, moment)
        if target and target != product.tier:
            size = product.bytes
            moves.append(
                Move(product.product_id, study.study_key, product.kind, size, product.tier, target)
            )
    return moves


def move(site: Site, planned: Move, *, run: RunContext) -> dict[str, Any]:
    """Copies, verifies at the target, switches the catalog, and only then deletes.

    Killed between any two of these it is simply done again: what is at the target is used
    if it is whole, and the source goes only after the catalog names the target.

    Raises
    ------
    ConfigError
        If both tiers are one place: the copy would be the source.
    IntegrityError
        If a checksum differs, before or after the copy. Nothing is deleted then.
    """
    with step(site, planned.study_key, "migrate", run, quarantine=False) as record:
        product = site.catalog.product(planned.product_id)
        if product is None or product.tier not in (planned.source, planned.target):
            record.say("Nothing to move: the product is not there any more.")
            return planned.to_dict()
        if product.kind == "raw":
            site.audit.append(
                action="raw.move", object=planned.study_key, purpose="migrate", run=run
            )
        source = _zone(site, planned.source, planned.kind)
        target = _zone(site, planned.target, planned.kind)
        if source.is_at(target):
            raise ConfigError(
                f"{planned.source} and {planned.target} are one place for {planned.kind}",
                where="configs/tiers.yaml",
                remedy="give each tier a root of its own",
            )
        _, relative = site.locate(product.uri)
        if product.tier == planned.source or source.has(relative):
            _copy(source, target, relative)
        if product.tier == planned.source:
            with site.catalog.write() as session:
                session.execute(
                    update(Product)
                    .where(Product.product_id == planned.product_id)
                    .values(uri=target.uri(relative), tier=planned.target)
                )
        source.delete(relative)
        record.say(
            f"Moved {planned.kind} of {planned.bytes} bytes from {planned.source} to "
            f"{planned.target}; verified there before it was deleted here.",
            digest=product.digest,
        )
        return planned.to_dict()


def _zone(site: Site, tier: str, kind: str) -> Zone:
    return Zone(tier, site.settings.tiers.tiers[tier][kind])  # type: ignore[index]


def _copy(source: Zone, target: Zone, relative: str) -> None:
    if not target.has(relative):
        with source.open(relative) as folder, target.draft() as draft:
            verify(folder)
            shutil.copytree(folder, draft, dirs_exist_ok=True)
            target.commit(draft, relative)
    with target.open(relative) as copied:
        moved = verify(copied)
    if moved.digest != source.product(relative).digest:
        raise IntegrityError("the copy in the other tier is not the same", where=moved.study_key)


def _tier(
    rules: tuple[TierRule, ...], product: Product, study: Study, moment: datetime
) -> str | None:
    for rule in rules:
        if rule.kind != product.kind or rule.modality not in ("*", *study.modalities.split("/")):
            continue
        if moment - product.created_at >= timedelta(days=rule.older_than_days):
            return rule.to
    return None
