"""What is written down about results on their way: one row an object and destination.

Each change is written at once, by itself: whoever comes after a kill, a restart or another run
of the same study goes on from there. What is confirmed stays confirmed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import dcmread
from sqlalchemy import func, literal, select, update
from sqlalchemy.exc import IntegrityError as RowExists

from hounsfield.catalog.models import Delivery, Product, UtcDateTime, utc_now
from hounsfield.errors import NotFound, NotYet, PermanentError, Undelivered
from hounsfield.settings import DestinationSettings
from hounsfield.site import Site
from hounsfield.stages.ingest import source_of
from hounsfield.stages.produce import open_product
from hounsfield.store.product import verify

__all__ = ["Ledger", "open_ledger", "wait_seconds"]

_SPREAD = 0.1  # of a wait: what began together shall not come back together


@dataclass(frozen=True)
class Ledger:
    """The deliveries of one product to one destination.

    Attributes
    ----------
    destination
        Its name in configs/sources.yaml.
    files
        SOPInstanceUID → the object's file.
    """

    site: Site
    product: Product
    destination: str
    settings: DestinationSettings
    files: Mapping[str, Path] = field(repr=False)

    def rows(self, *states: str) -> Sequence[Delivery]:
        """Those in one of these states; all if none is named."""
        query = select(Delivery).where(
            Delivery.destination == self.destination, Delivery.SOPInstanceUID.in_(self.files)
        )
        if states:
            query = query.where(Delivery.state.in_(states))
        return self.site.catalog.all(query.order_by(Delivery.id))

    def note(
        self, rows: Collection[Delivery], *, unless: Collection[str] = ("confirmed",), **values: Any
    ) -> None:
        """Writes `values` into rows, unless another run has brought them into these states."""
        with self.site.catalog.write() as session:
            session.execute(
                update(Delivery)
                .where(Delivery.id.in_([row.id for row in rows]), Delivery.state.not_in(unless))
                .values(**values)
            )

    def begin(self, rows: Collection[Delivery], **values: Any) -> None:
        """Begins a row of tries, unless one is under way."""
        now = literal(utc_now(), UtcDateTime())
        self.note(rows, trying_since=func.coalesce(Delivery.trying_since, now), **values)

    def end(self) -> None:
        """Ends it: whoever is called next begins anew."""
        self.note(self.rows(), unless=(), trying_since=None)

    def come_back(self, rows: Collection[Delivery], what: str) -> NotYet | Undelivered:
        """What to raise where `rows` still wait: that it is not yet time, or no longer.

        The wait follows from when the tries began, which the rows say, and from nothing else.
        """
        began = min((row.trying_since for row in rows if row.trying_since), default=utc_now())
        age = (utc_now() - began).total_seconds()
        reason = next((row.reason for row in rows if row.reason), "no answer")
        what = f"{len(rows)} of {len(self.files)} results {what}: {reason}"
        if age < self.settings.give_up_after_seconds:
            seconds = wait_seconds(self.settings, age, _share(self.product.product_id))
            return NotYet(what, where=self.product.study_key, seconds=seconds)
        return Undelivered(
            f"given up after {age / 3600:.1f} h, {what}",
            where=self.product.study_key,
            remedy=f"see that {self.destination} works, then clear this task: it begins anew",
        )


@contextmanager
def open_ledger(site: Site, study_key: str, product_id: str, source: str) -> Iterator[Ledger]:
    """The ledger of a product and of where the results for `source` go.

    Rows are written before anything is sent, so that two runs at once share them. A row of
    tries goes on over transient errors; with success, or when a person must look, it ends.
    """
    product = site.catalog.product(product_id)
    if product is None:
        raise NotFound("the results are no longer in the catalog", where=study_key)
    destination, settings = _destination(site, source)
    with open_product(site, product) as folder:
        files = _enter(site, product, folder, destination)
        ledger = Ledger(site, product, destination, settings, files)
        try:
            yield ledger
        except PermanentError:
            ledger.end()
            raise
        ledger.end()


def wait_seconds(settings: DestinationSettings, age: float, share: float = 0.0) -> float:
    """Seconds to the next try, where the tries began `age` seconds ago without success.

    The first wait added to the age is the double of the wait before (15, 30, 60, …). The last
    try is when it is time to give up.

    Parameters
    ----------
    share
        From 0 to 1: how much of the spread is taken off.
    """
    wait = min(settings.first_retry_seconds + age, settings.longest_retry_seconds)
    return min(wait * (1 - _SPREAD * share), settings.give_up_after_seconds - age)


def _destination(site: Site, source: str) -> tuple[str, DestinationSettings]:
    """Where results for a source go: a destination that it names, or back to it."""
    settings = source_of(site, source)
    if settings.results:
        return settings.results, site.settings.destinations[settings.results]
    return source, DestinationSettings(peer=settings.peer, web=settings.web, proof=settings.proof)


def _enter(site: Site, product: Product, folder: Path, destination: str) -> dict[str, Path]:
    sealed = verify(folder)
    files = {}
    for path in sorted(folder.glob("*.dcm")):
        tags = ["SOPInstanceUID", "SOPClassUID"]
        header = dcmread(path, stop_before_pixels=True, specific_tags=tags)
        files[str(header.SOPInstanceUID)] = path
        row = Delivery(
            SOPInstanceUID=str(header.SOPInstanceUID),
            SOPClassUID=str(header.SOPClassUID),
            kind=path.stem,
            study_key=product.study_key,
            prediction_id=product.detail["prediction_id"],
            destination=destination,
            sha256=sealed.files[path.name][1],
        )
        _enter_row(site, row)
    return files


def _enter_row(site: Site, row: Delivery) -> None:
    """The row that is there stays, unless the object was built anew: then it is to be sent."""
    same = select(Delivery).where(
        Delivery.SOPInstanceUID == row.SOPInstanceUID, Delivery.destination == row.destination
    )
    known = site.catalog.all(same)
    if not known:
        with suppress(RowExists):  # Another run was faster.
            site.catalog.put(row)
    elif known[0].sha256 != row.sha256:
        fresh = {"sha256": row.sha256, "state": "sending", "proof": None, "confirmed_at": None}
        with site.catalog.write() as session:
            session.execute(update(Delivery).where(Delivery.id == known[0].id).values(**fresh))


def _share(product_id: str) -> float:
    """A number from 0 to 1 that is always the same for a product."""
    return hashlib.sha256(product_id.encode()).digest()[0] / 255
