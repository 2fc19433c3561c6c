"""The catalog's verbs: what stages, Dags and pages ask of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, Select, delete, func, literal, or_, select, update
from sqlalchemy.exc import IntegrityError as RowExists
from sqlalchemy.orm import Session

from hounsfield.catalog.models import (
    Base,
    Delivery,
    Event,
    GateResult,
    Hold,
    Prediction,
    Product,
    QuarantineItem,
    Review,
    Study,
    StudyLock,
    Tombstone,
    utc_now,
)
from hounsfield.errors import NotFound, StudyLocked

__all__ = ["Catalog"]


class Catalog:
    """The searchable control plane.

    Rows come back detached and loaded: records to read, not to change.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._reader = engine.execution_options(readonly=True)

    @contextmanager
    def write(self, *study_keys: str) -> Iterator[Session]:
        """One transaction; commits when the block ends, rolls back when it raises.

        Parameters
        ----------
        study_keys
            Studies that the block tells of: their rows are erased before it, or after it.

        Raises
        ------
        NotFound
            If the patient of one was erased, and the study is not here again.
        """
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            for study_key in study_keys:
                _check_not_erased(session, study_key)
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        with Session(self._reader, expire_on_commit=False) as session:
            yield session

    def all(self, query: Select[Any]) -> Sequence[Any]:
        with self.read() as session:
            return session.scalars(query).all()

    def put(self, *rows: Base) -> None:
        """Writes rows, replacing those with the same primary key.

        Raises
        ------
        NotFound
            If one is of a study whose patient was erased, and it is not here again.
        """
        try:
            self._merge(rows)
        except RowExists:  # Another run wrote one since we looked; now it is found.
            self._merge(rows)

    def _merge(self, rows: Sequence[Base]) -> None:
        arriving = {row.study_key for row in rows if isinstance(row, Study)}
        of = {getattr(row, "study_key", "") for row in rows} - arriving - {""}
        with self.write(*sorted(of)) as session:
            for row in rows:
                session.merge(row)

    def study(self, study_key: str) -> Study:
        """One study's row.

        Raises
        ------
        NotFound
            If no study has this key.
        """
        with self.read() as session:
            row = session.get(Study, study_key)
        if row is None:
            raise NotFound(
                "the catalog knows no such study", where=study_key, remedy="was it ingested?"
            )
        return row

    def set_state(self, study_key: str, state: str, reason: str = "") -> None:
        """Moves a study to a state, with the reason a person can act on."""
        with self.write() as session:
            session.execute(
                update(Study)
                .where(Study.study_key == study_key)
                .values(state=state, reason=reason, updated_at=utc_now())
            )

    def search(
        self,
        text: str = "",
        *,
        state: str = "",
        modality: str = "",
        body_part: str = "",
        first: str = "",
        last: str = "",
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[Sequence[Study], int]:
        """Studies that are all that is asked, newest first, and how many there are of them.

        Generated ones are not listed. What is empty asks nothing.

        Parameters
        ----------
        text
            Words. Each is part of a pseudonym (the study's or the patient's), of the body part
            or of the description, or begins the study's date (``2021``, ``2021-03``).
        state
            As it stands in the catalog.
        modality
            One of the study's modalities, in full: ``M`` finds no ``MR``.
        body_part
            Part of it will do.
        first, last
            Days of the study, shifted as in the headers, both included (ISO or DICOM DA).
        """
        if "\0" in "".join((text, state, modality, body_part, first, last)):
            return [], 0  # no field holds it; SQLite would end the text there, PostgreSQL refuse it
        query = select(Study).where(Study.source != "phantoms")
        columns = (Study.study_key, Study.patient_key, Study.body_part, Study.description)
        for word in text.split():
            found = [column.icontains(word, autoescape=True) for column in columns]
            day = Study.study_date.startswith(_plain_date(word) or word, autoescape=True)
            query = query.where(or_(*found, day))
        if state:
            query = query.where(Study.state == state)
        if modality:
            listed = literal("/").concat(Study.modalities).concat("/")
            query = query.where(listed.icontains(f"/{modality}/", autoescape=True))
        if body_part:
            query = query.where(Study.body_part.icontains(body_part, autoescape=True))
        if first:
            query = query.where(Study.study_date >= _plain_date(first))
        if last:
            # A study without a date lies in no window.
            query = query.where(Study.study_date.between("0", _plain_date(last)))
        with self.read() as session:
            total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
            newest = query.order_by(Study.received_at.desc(), Study.study_key)
            return session.scalars(newest.limit(limit).offset(offset)).all(), total

    def product(self, product_id: str) -> Product | None:
        with self.read() as session:
            return session.get(Product, product_id)

    def latest(self, study_key: str, kind: str, *, input_digest: str = "") -> Product:
        """The newest product of a kind, of one input where it is named.

        Raises
        ------
        NotFound
            If there is none yet, or no such study.
        """
        query = select(Product).where(Product.study_key == study_key, Product.kind == kind)
        if input_digest:
            query = query.where(Product.input_digest == input_digest)
        with self.read() as session:
            row = session.scalars(query.order_by(Product.created_at.desc()).limit(1)).first()
        if row is None:
            self.study(study_key)  # Else it is no study's key, which says more.
            raise NotFound(
                f"the study has no {kind} yet",
                where=study_key,
                remedy="its Hounsfield page tells how far it came",
            )
        return row

    def holds(self, *subjects: str) -> Sequence[Hold]:
        """The legal holds that stand on these studies and patients; all if none is named."""
        query = select(Hold).where(Hold.lifted_at.is_(None)).order_by(Hold.id)
        return self.all(query.where(Hold.subject.in_(subjects)) if subjects else query)

    def holds_on(self, study_key: str) -> Sequence[Hold]:
        """The legal holds on a study: its own, and its patient's."""
        with self.read() as session:
            row = session.get(Study, study_key)
        return self.holds(study_key, *([row.patient_key] if row else []))

    def tombstones(self, *, study_key: str = "", case: str = "") -> Sequence[Tombstone]:
        """What was deleted of a study, or for a case, in its order."""
        query = select(Tombstone).order_by(Tombstone.id)
        if study_key:
            query = query.where(Tombstone.study_key == study_key)
        return self.all(query.where(Tombstone.case == case) if case else query)

    def is_erased(self, study_key: str) -> bool:
        """Whether the study was here, and its patient was erased."""
        with self.read() as session:
            return _is_erased(session, study_key)

    def gate_result(self, study_key: str, digest: str) -> GateResult | None:
        """The newest verdict over objects with this digest, before or after their release."""
        query = select(GateResult).where(
            GateResult.study_key == study_key, GateResult.digest == digest
        )
        with self.read() as session:
            return session.scalars(query.order_by(GateResult.at.desc()).limit(1)).first()

    def reviews(self, study_key: str) -> Sequence[Review]:
        """All of a study, the newest first."""
        query = select(Review).where(Review.study_key == study_key)
        return self.all(query.order_by(Review.opened_at.desc(), Review.review_id))

    def masks(self, study_key: str) -> list[list[dict[str, Any]]]:
        """The regions that reviewers of a study asked to be masked, by answer, in their order."""
        query = select(Review).where(Review.study_key == study_key, Review.state == "masked")
        reviews = self.all(query.order_by(Review.decided_at, Review.review_id))
        return [review.masks for review in reviews]

    def timeline(self, study_key: str) -> Sequence[Event]:
        return self.all(select(Event).where(Event.study_key == study_key).order_by(Event.id))

    def predictions(self, study_key: str) -> Sequence[Prediction]:
        query = select(Prediction).where(Prediction.study_key == study_key)
        return self.all(query.order_by(Prediction.model, Prediction.created_at))

    def deliveries(self, study_key: str) -> Sequence[Delivery]:
        return self.all(
            select(Delivery).where(Delivery.study_key == study_key).order_by(Delivery.id)
        )

    def quarantine(
        self,
        study_key: str,
        *,
        stage: str,
        code: str,
        reason: str,
        digest: str = "",
        uri: str = "",
        source: str = "",
        arrives: bool = False,
    ) -> None:
        """Notes a refusal; said again of the same content, it is one, as it was said last.

        Parameters
        ----------
        source
            Which one was asked, if one was: what two say stays two.
        arrives
            It is of what comes in just now, perhaps again after an erasure.

        Raises
        ------
        NotFound
            If it is not, and the patient was erased.
        """
        said = {"stage": stage, "reason": reason, "uri": uri, "resolved": False}
        key = {"study_key": study_key, "code": code, "digest": digest, "source": source}
        of = () if arrives else (study_key,)
        try:
            with self.write(*of) as session:
                session.add(QuarantineItem(**key, **said))
        except RowExists:
            with self.write(*of) as session:
                session.execute(update(QuarantineItem).filter_by(**key).values(**said))

    def resolve(
        self,
        study_key: str,
        *codes: str,
        digest: str | None = None,
        source: str | None = None,
        stage: str | None = None,
    ) -> bool:
        """Notes that what was refused is refused no more; whether anything was.

        Parameters
        ----------
        codes
            Of the errors that it was refused with.
        digest
            Of what was refused; None: whatever it was of the study.
        source
            Who takes it back: what another source said stays. None: whoever said it.
        stage
            Where it was refused; None: wherever.
        """
        query = select(QuarantineItem).filter_by(study_key=study_key, resolved=False)
        query = query.where(QuarantineItem.code.in_(codes))
        if digest is not None:
            query = query.filter_by(digest=digest)
        if source is not None:
            query = query.where(QuarantineItem.source.in_(("", source)))
        if stage is not None:
            query = query.filter_by(stage=stage)
        with self.write() as session:
            mended = session.scalars(query).all()
            for item in mended:
                item.resolved = True
        return bool(mended)

    @contextmanager
    def lock(self, study_key: str, holder: str, *, minutes: float = 120) -> Iterator[None]:
        """Holds a study while order matters.

        Raises
        ------
        StudyLocked
            If another holder has it; the task comes back, however long that takes.
        """
        now = utc_now()
        lock = StudyLock(
            study_key=study_key, holder=holder, expires_at=now + timedelta(minutes=minutes)
        )
        try:
            with self.write() as session:
                session.execute(
                    delete(StudyLock).where(
                        StudyLock.study_key == study_key,
                        or_(StudyLock.expires_at < now, StudyLock.holder == holder),
                    )
                )
                session.add(lock)
        except RowExists:
            raise StudyLocked("another run holds the study", where=study_key) from None
        try:
            yield
        finally:
            with self.write() as session:
                session.execute(
                    delete(StudyLock).where(
                        StudyLock.study_key == study_key, StudyLock.holder == holder
                    )
                )


def _check_not_erased(session: Session, study_key: str) -> None:
    # PostgreSQL lets others change the row meanwhile, and not delete it; SQLite has one writer.
    row = session.get(Study, study_key, with_for_update={"read": True, "key_share": True})
    if row is None and _is_erased(session, study_key):
        raise NotFound("the patient of the study was erased", where=study_key)


def _is_erased(session: Session, study_key: str) -> bool:
    stone = select(Tombstone.id).filter_by(study_key=study_key, kind="study")
    return (
        session.scalars(stone.where(Tombstone.deleted_at.is_not(None)).limit(1)).first() is not None
    )


def _plain_date(day: str) -> str:
    """An ISO date, or the beginning of one, as DICOM writes it (DA, PS3.5 Section 6.2)."""
    return day.replace("-", "")
