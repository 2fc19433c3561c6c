"""migrate: move products to the tier that the policy names, and lose nothing on the way."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select

from hounsfield.catalog.models import GOING, OpenMove, Product, Study, utc_now
from hounsfield.errors import ConfigError, NotFound
from hounsfield.records import RunContext, StudyManifest, counted
from hounsfield.site import Site
from hounsfield.stages.placement import Observer, tier_of
from hounsfield.stages.step import step
from hounsfield.store import Grouping, Zone, transfer

__all__ = ["Forecast", "Move", "forecast", "move", "plan"]

_KINDS = ("raw", "volume")
_GB = 1e9  # bytes; storage is sold by it


@dataclass(frozen=True, slots=True)
class Move:
    """One product that should lie in another tier."""

    product_id: str
    study_key: str
    kind: str
    bytes: int
    source: str
    target: str

    def __str__(self) -> str:
        way = f"{self.source} → {self.target}"
        return f"Study {self.study_key}: {self.kind} of {self.bytes} bytes, {way}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a plan comes to.

    Attributes
    ----------
    before, after
        Cost of all that has tiers, in a month, as it lies now and after the plan; where a tier
        has second copies, twice the price of what lies there.
    """

    studies: int
    products: int
    bytes: int
    before: float
    after: float
    currency: str

    def __str__(self) -> str:
        return (
            f"{counted(self.products, 'product')} of {counted(self.studies, 'study')}, "
            f"{self.bytes} bytes; all that has tiers costs {self.before:.2f} {self.currency} "
            f"a month, then {self.after:.2f} {self.currency}"
        )


def plan(
    site: Site,
    *,
    region: str | None = None,
    now: datetime | None = None,
    run: RunContext | None = None,
) -> list[Move]:
    """What was begun and not finished, and then what the policy of configs/tiers.yaml would move.

    What is of a region that a tier has no root in is not moved there, and what is being deleted
    nowhere.

    Parameters
    ----------
    region
        Whose studies alone; None: of all.
    now
        The time that ages are measured at; the present by default.
    """
    begun = {row.product_id: row for row in site.catalog.all(select(OpenMove))}
    query = (
        select(Product, Study)
        .join(Study, Study.study_key == Product.study_key)
        .where(Product.kind.in_(_KINDS), Product.product_id.not_in(GOING))
        .order_by(Product.created_at)
    )
    with site.catalog.read() as session:
        rows = session.execute(query).all()
    observer = Observer(site, now or utc_now(), run or RunContext())
    rules = site.settings.tiers.rules
    first, then = [], []
    for product, study in rows:
        home = study.region or site.settings.site.region
        if region not in (None, home):
            continue
        if (open_move := begun.get(product.product_id)) is not None:
            first.append(_move(product, open_move.source, open_move.target))
            continue
        target = tier_of(rules, observer.facts(product, study))
        if target and target != product.tier and site.has_tier(target, product.kind, home):
            then.append(_move(product, product.tier, target))
    return first + then


def forecast(site: Site, moves: Iterable[Move]) -> Forecast:
    """Sums up a plan: how many studies and bytes, and the cost before and after."""
    listed = list(moves)
    groups = (Product.tier, Product.kind, Study.region)
    query = (
        select(*groups, func.sum(Product.bytes))
        .join(Study, Study.study_key == Product.study_key)
        .where(Product.kind.in_(_KINDS))
        .group_by(*groups)
    )
    with site.catalog.read() as session:
        held = session.execute(query).all()
        rows = session.execute(select(Study.study_key, Study.region))
        regions = {study_key: region or "" for study_key, region in rows}
    before = sum(
        _cost(site, tier, kind, region or "", int(size)) for tier, kind, region, size in held
    )
    change = 0.0
    for item in listed:
        what = (item.kind, regions.get(item.study_key, ""), item.bytes)
        change += _cost(site, item.target, *what) - _cost(site, item.source, *what)
    return Forecast(
        studies=len({item.study_key for item in listed}),
        products=len(listed),
        bytes=sum(item.bytes for item in listed),
        before=before,
        after=before + change,
        currency=site.settings.tiers.currency,
    )


def move(site: Site, planned: Move, *, run: RunContext) -> dict[str, Any]:
    """Copies, verifies at the target, switches the catalog, and only then deletes.

    Killed between any two of these it is simply done again, and `plan` lists it till it is done:
    what is at the target is used if it is whole, and the source goes only after the catalog names
    the target.

    Raises
    ------
    ConfigError
        If both tiers are one place, or the source's copies lie in the target: what is deleted
        last would be all there is. Or if the target is an archive that keeps no checksums.
    IntegrityError
        If a checksum differs, before or after the copy. Nothing is deleted then.
    NotFound
        If the product was deleted meanwhile: of its copy nothing is left.
    WrongRegion
        If the target has no root in the region of the study.
    NotYet
        The product lies in an archive, and was asked for.
    """
    holder = f"{run.run_id}/{run.task_id}/{run.map_index}"
    with (
        step(site, planned.study_key, "migrate", run, quarantine=False) as record,
        site.catalog.lock(planned.product_id, holder),
    ):
        product = site.catalog.product(planned.product_id)
        ends = (planned.source, planned.target)
        if product is None or product.tier not in ends or _ends(site, planned) not in (None, ends):
            _close(site, planned)
            record.say("Nothing to move: the product is not there any more, or is moved elsewhere.")
            return planned.to_dict()
        region = site.region_of(planned.study_key)
        source = site.tier(planned.source, planned.kind, region)
        target = site.tier(planned.target, planned.kind, region)
        replica = site.copy_of(planned.source, planned.kind, region)
        if any(place is not None and place.is_at(target) for place in (source, replica)):
            raise ConfigError(
                f"{planned.source}, or its copies, and {planned.target} are one place for "
                f"{planned.kind}",
                where="configs/tiers.yaml",
                remedy="give each tier a root of its own",
            )
        if product.kind == "raw":
            site.audit.append(
                action="raw.move", object=planned.study_key, purpose="migrate", run=run
            )
        _, relative = site.locate(product.uri)
        site.catalog.put(
            OpenMove(product_id=planned.product_id, source=planned.source, target=planned.target)
        )
        if product.tier == planned.source or source.has(relative):
            _copy(site, planned, source, target, relative)
        if product.tier == planned.source:
            _switch(site, planned, target, relative)
        source.delete(relative)
        if replica is not None:
            replica.delete(relative)
        _close(site, planned)
        record.say(
            f"Moved {planned.kind} of {planned.bytes} bytes from {planned.source} to "
            f"{planned.target}; verified there before it was deleted here.",
            digest=product.digest,
        )
        return planned.to_dict()


def _move(product: Product, source: str, target: str) -> Move:
    return Move(product.product_id, product.study_key, product.kind, product.bytes, source, target)


def _copy(site: Site, planned: Move, source: Zone, target: Zone, relative: str) -> None:
    tier = site.settings.tiers.tiers[planned.target]
    if tier.form == "files":
        transfer(source, target, relative)
        return
    is_raw = planned.kind == "raw"
    group = _by_series(source, relative) if is_raw else lambda _: planned.kind
    transfer(source, target, relative, pack=group, recoding=is_raw and tier.recode == "jpeg-ls")


def _switch(site: Site, planned: Move, target: Zone, relative: str) -> None:
    """From here on the catalog names the target.

    A lock lasts two hours, and a copy as long as it takes: what was deleted meanwhile stays so.
    """
    size = target.product(relative).size
    place = {"uri": target.uri(relative), "tier": planned.target, "bytes": size}
    query = select(Product).where(Product.product_id == planned.product_id)
    with site.catalog.write() as session:
        product = session.scalars(query.with_for_update()).first()
        for name, value in place.items() if product else ():
            setattr(product, name, value)
    if product is None:
        target.purge(relative)
        raise NotFound("the product was deleted while it was copied", where=planned.study_key)


def _by_series(source: Zone, relative: str) -> Grouping:
    """Which series a file of a study as received belongs to; no name is the original's."""
    manifest = StudyManifest.from_dict(json.loads(source.read_file(relative, "manifest.json")))
    series = {
        f"instances/{entry.path}": f"series-{item.digest[:16]}"
        for item in manifest.series
        for entry in item.instances
    }
    return lambda name: series.get(name, "rest")


def _ends(site: Site, planned: Move) -> tuple[str, str] | None:
    """Between which tiers the product is on its way, since a move was killed."""
    begun = site.catalog.all(select(OpenMove).filter_by(product_id=planned.product_id))
    return (begun[0].source, begun[0].target) if begun else None


def _close(site: Site, planned: Move) -> None:
    """This move alone: what another left, its row has to tell."""
    ends = {"source": planned.source, "target": planned.target}
    with site.catalog.write() as session:
        session.execute(delete(OpenMove).filter_by(product_id=planned.product_id, **ends))


def _cost(site: Site, tier: str, kind: str, region: str, size: int) -> float:
    """Of so many bytes in a month, their copy with them; a tier that is no more costs nothing."""
    known = site.settings.tiers.tiers.get(tier)
    if known is None:
        return 0.0
    copy = site.copy_of(tier, kind, region or site.settings.site.region)
    return known.price * size / _GB * (1 if copy is None else 2)
