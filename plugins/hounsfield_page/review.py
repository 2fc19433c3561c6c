"""A review as its page needs it: the question, the pictures, and who has looked at them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser

from hounsfield.catalog.models import Review
from hounsfield.errors import NotFound
from hounsfield.records import RunContext
from hounsfield.site import Site
from operators.review import AGAINST, DECISIONS, REASONS, ROOM

__all__ = [
    "AGAINST",
    "DECISIONS",
    "REASONS",
    "ROOM",
    "Shown",
    "address",
    "find",
    "regions",
    "write_down",
]

_TASK = "review"


@dataclass(frozen=True, slots=True)
class Shown:
    """One region: before and after as addresses of themselves, so that a page is one access.

    Attributes
    ----------
    before, after
        ``data:`` URLs of PNG; empty where this process does not have the zone `review`.
    """

    number: int
    picture: str
    why: str
    box: tuple[int, int, int, int]
    before: str
    after: str

    @property
    def size(self) -> str:
        x0, y0, x1, y1 = self.box
        return f"{x0} {y0} {x1 - x0} {y1 - y0}"


def find(site: Site, study_key: str) -> Review | None:
    """The question that waits for an answer, if one does."""
    return next((row for row in site.catalog.reviews(study_key) if row.state == "open"), None)


def write_down(site: Site, review: Review, user: BaseUser) -> None:
    """The access to PHI that showing a review is, before anything is shown."""
    run = RunContext(
        actor=user.get_name(), dag_id=review.dag_id, run_id=review.run_id, task_id=_TASK
    )
    site.audit.append(
        action="review.view",
        object=review.study_key,
        purpose="review before release",
        run=run,
        detail=f"candidate {review.digest}",
    )


def regions(site: Site, review: Review) -> Sequence[Shown]:
    """Each region that a person has to see."""
    pictures = _pictures(site, review)
    return [
        Shown(
            number=region["number"],
            picture=region["picture"],
            why=region["why"],
            box=tuple(region["box"]),
            before=pictures.get(f"{region['number']}-before.png", ""),
            after=pictures.get(f"{region['number']}-after.png", ""),
        )
        for region in review.report["regions"]
    ]


def address(review: Review) -> str:
    """Where Airflow takes the answer, relative to its base; empty outside a Dag run."""
    if not (review.dag_id and review.run_id):
        return ""
    dag, run = quote(review.dag_id, safe=""), quote(review.run_id, safe="")
    return f"api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{_TASK}/-1/hitlDetails"


def _pictures(site: Site, review: Review) -> dict[str, str]:
    product = site.catalog.product(review.pictures)
    if product is None:
        return {}
    zone, relative = site.locate(product.uri)
    try:
        with zone.open(relative) as folder:
            return {path.name: _as_url(path.read_bytes()) for path in folder.glob("*.png")}
    except NotFound:
        return {}


def _as_url(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
