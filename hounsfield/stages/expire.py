"""expire: what its retention is over for, deleted by policy, and by a person where it says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator
from sqlalchemy import select

from hounsfield.catalog.models import (
    GOING,
    Event,
    Product,
    Snapshot,
    SnapshotMember,
    Study,
    Tombstone,
    utc_now,
)
from hounsfield.errors import ConfigError, HounsfieldError, ObjectLocked
from hounsfield.records import RunContext, counted, digest_of
from hounsfield.settings import Frozen, parse
from hounsfield.site import Site
from hounsfield.stages.dispose import Grounds, dispose
from hounsfield.stages.step import step

__all__ = [
    "APPROVALS",
    "DECISIONS",
    "Expired",
    "Project",
    "Retention",
    "RetentionRule",
    "decide_expiry",
    "expire",
    "plan_expiry",
    "to_be_asked",
]

#: What a person may decide.
DECISIONS: Final = ("Delete", "Keep")
#: Why. A list to choose from: a text of one's own could name a patient, and Airflow keeps it.
APPROVALS: Final = (
    "the retention is over, and nothing obliges us to keep it",
    "it is needed for longer: the policy is to be changed",
    "the list has to be looked into first",
)


class Project(Frozen):
    """One project: whose law it is under, and its last day."""

    jurisdiction: str = ""
    ends: date | None = None


class RetentionRule(Frozen):
    """One row of the policy: the first that matches a product decides.

    Attributes
    ----------
    name
        What tombstones say.
    project, jurisdiction, modality, kind
        Empty: any.
    keep_days
        How long, counted from `since`.
    since
        ``made``: the day the product was made. ``project_end``: the last day of its project; a
        project without one is not over, and keeps all.
    approval
        Whether a person is asked.
    """

    name: Annotated[str, Field(min_length=1, max_length=100)]
    project: str = ""
    jurisdiction: str = ""
    modality: str = ""
    kind: str = ""
    keep_days: Annotated[int, Field(ge=0)]
    since: Annotated[Literal["made", "project_end"], Field(alias="from")] = "made"
    approval: bool = True


class Retention(Frozen):
    """configs/retention.yaml"""

    projects: dict[str, Project] | None = None
    rules: tuple[RetentionRule, ...]

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len({rule.name for rule in self.rules}) != len(self.rules):
            raise ValueError("two rules have one name")
        return self

    @classmethod
    def load(cls, site: Site) -> Self:
        """That of an installation.

        Raises
        ------
        ConfigError
            Naming the key that is unknown, missing or wrong.
        """
        return parse(cls, site.settings.configs / "retention.yaml")

    def rule_for(self, product: Product, study: Study) -> RetentionRule | None:
        """The first rule that matches; None: it stays."""
        facts = {
            "project": {study.project},
            "jurisdiction": {self._project(study).jurisdiction},
            "modality": set(study.modalities.split("/")),
            "kind": {product.kind},
        }
        return next(
            (
                rule
                for rule in self.rules
                if all(getattr(rule, name) in {"", *values} for name, values in facts.items())
            ),
            None,
        )

    def is_over(self, rule: RetentionRule, product: Product, study: Study, now: datetime) -> bool:
        """Whether a product has been kept for as long as its rule says."""
        since: datetime | None = product.created_at
        if rule.since == "project_end":
            ends = self._project(study).ends
            since = datetime.combine(ends, time.max, UTC) if ends else None
        return since is not None and now - since >= timedelta(days=rule.keep_days)

    def _project(self, study: Study) -> Project:
        return (self.projects or {}).get(study.project, Project())


@dataclass(frozen=True, slots=True)
class Expired:
    """One product that its retention is over for."""

    product_id: str
    study_key: str
    kind: str
    bytes: int
    rule: str
    keep_days: int
    approval: bool

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def plan_expiry(site: Site, *, now: datetime | None = None) -> list[Expired]:
    """What the policy of configs/retention.yaml would delete.

    What is on legal hold stays, and so does what a frozen snapshot was made of: who trained on
    it must be able to look it up. About what a person said yes to, and an object lock keeps, nobody
    is asked again.

    Parameters
    ----------
    now
        The time that retention is measured at; the present by default.
    """
    moment, policy = now or utc_now(), Retention.load(site)
    agreed = {*site.catalog.all(GOING.where(Tombstone.approved_by != ""))}
    found = []
    for product, study in _unheld(site):
        rule = policy.rule_for(product, study)
        if rule is not None and policy.is_over(rule, product, study, moment):
            named = (product.product_id, product.study_key, product.kind, product.bytes)
            asks = rule.approval and product.product_id not in agreed
            found.append(Expired(*named, rule.name, rule.keep_days, asks))
    return found


def to_be_asked(found: Sequence[Expired]) -> str:
    """What a person is asked about, by rule; a sentence."""
    asked = [item for item in found if item.approval]
    by_rule = Counter(item.rule for item in asked)
    told = "; ".join(f"{count} by “{rule}”" for rule, count in sorted(by_rule.items()))
    size = sum(item.bytes for item in asked)
    return f"{counted(len(asked), 'product')} of {size} bytes: {told or 'none'}."


def decide_expiry(
    site: Site,
    planned: Sequence[Expired],
    decision: str,
    why: str,
    *,
    approver: str,
    run: RunContext,
) -> bool:
    """Writes down whether a person approves a list; gives whether it is to be deleted.

    Raises
    ------
    ConfigError
        If the decision or its reason is none of what is offered.
    """
    if decision not in DECISIONS or why not in APPROVALS:
        raise ConfigError("the decision or its reason is none of those offered", where="expiry")
    site.audit.append(
        action="expiry.approved" if decision == "Delete" else "expiry.rejected",
        object="products",
        purpose=why,
        run=replace(run, actor=approver),
        detail=f"{len(planned)} products, {digest_of([item.to_dict() for item in planned])}",
    )
    return decision == "Delete"


def expire(
    site: Site,
    planned: Sequence[Expired],
    *,
    approved_by: str = "",
    now: datetime | None = None,
    run: RunContext,
) -> dict[str, int]:
    """Deletes what was planned, if the policy still says so; each leaves a tombstone.

    Killed at any point it is done again: what is gone is planned no more.

    Parameters
    ----------
    approved_by
        Who said yes; without, what wants an approval stays.
    now
        As in `plan_expiry`.

    Returns
    -------
    dict
        Kind → how many were deleted.

    Raises
    ------
    HounsfieldError
        Why some are here still: `OnHold` of a legal hold that came just now, `StudyLocked`, a
        place that is no more or does not answer. All others are deleted by then. What an object
        lock keeps is none of these, if it says until when: a night after that deletes it, and
        none before tries.
    """
    due = {item.product_id: item for item in plan_expiry(site, now=now)}
    done: Counter[str] = Counter()
    kept: HounsfieldError | None = None
    for asked in planned:
        item = due.get(asked.product_id)
        product = site.catalog.product(asked.product_id)
        if item != asked or product is None or (asked.approval and not approved_by):
            continue
        try:
            if not _is_known_to_be_locked(site, product):
                _dispose(site, asked, product, approved_by, run)
                done[asked.kind] += 1
        except HounsfieldError as error:
            is_told = isinstance(error, ObjectLocked) and error.until
            kept = kept if is_told else error
    if kept is not None:
        raise kept
    return dict(done)


def _dispose(
    site: Site, asked: Expired, product: Product, approved_by: str, run: RunContext
) -> None:
    with step(site, asked.study_key, "expire", run, quarantine=False) as record:
        record.digest = product.digest
        why = f"kept for {asked.keep_days} days"
        dispose(site, product, Grounds(asked.rule, why, approved_by=approved_by), run=run)
        record.say(f"Deleted {asked.kind} of {asked.bytes} bytes by the rule “{asked.rule}”.")


def _is_known_to_be_locked(site: Site, product: Product) -> bool:
    """Whether its timeline says already until when an object lock keeps it.

    Else each night would write that it is deleted, and that it is not, for years.
    """
    told = select(Event.sentence).where(
        Event.study_key == product.study_key,
        Event.stage == "expire",
        Event.state == "refused",
        Event.digest == product.digest,
    )
    sentences = site.catalog.all(told)
    if not sentences:
        return False
    zone, relative = site.locate(product.uri)
    places = (zone, *site.tiers_of(product.kind))
    until = max(place.locked_until(relative) for place in places)
    return until != "" and any(until in sentence for sentence in sentences)


def _unheld(site: Site) -> list[tuple[Product, Study]]:
    """Products, with their studies, that neither a legal hold nor a frozen snapshot keeps."""
    kept = (
        select(SnapshotMember.study_key)
        .join(Snapshot, Snapshot.digest == SnapshotMember.snapshot)
        .where(Snapshot.state == "frozen")
    )
    query = (
        select(Product, Study)
        .join(Study, Study.study_key == Product.study_key)
        .where(
            Study.legal_hold.is_(False),
            ~(Product.kind.in_(("volume", "label")) & Product.study_key.in_(kept)),
        )
        .order_by(Product.created_at, Product.product_id)
    )
    with site.catalog.read() as session:
        return [(product, study) for product, study in session.execute(query)]
