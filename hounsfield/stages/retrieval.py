"""Retrieval: one study on its way from a source that can be asked, till it is whole."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

from sqlalchemy import and_, not_, select, update

from hounsfield.catalog.models import Event, Product
from hounsfield.errors import (
    ConfigError,
    IncompleteStudy,
    NotFound,
    NotYet,
    PacsUnavailable,
    PermanentError,
)
from hounsfield.pacs import FetchReport, PacsClient
from hounsfield.records import Completeness, InstanceEntry, RunContext, StudyManifest, counted
from hounsfield.settings import SourceSettings
from hounsfield.site import Site
from hounsfield.stages.arrival import Arrival
from hounsfield.stages.completeness import Listing, ask
from hounsfield.stages.revision import (
    LAYOUT,
    Admission,
    admit,
    enrol,
    held_manifest,
    link_file,
    link_held,
    make_manifest,
    patient_of,
    publish,
    quarantine_collisions,
)
from hounsfield.stages.step import Step
from hounsfield.store import Zone
from hounsfield.vault import Identity

__all__ = ["Retrieval"]

#: Ends of a retrieval that one which goes well takes back.
_OVERCOME = (IncompleteStudy, ConfigError, NotFound, PermanentError)
_UNSETTLED = "the PACS lists something else than when it was asked before"
#: Seconds in which the receiver admits, once it is quiet, what the PACS moved there: it would be
#: moved a second time before.
_TILL_ADMITTED = 300.0


@dataclass(frozen=True)
class Retrieval:
    """Asks, fetches what is missing, asks again, and publishes what then is whole.

    Attributes
    ----------
    held
        The newest revision, if there is any: what it holds is not fetched again.
    first_try
        Number of the first try of this task since somebody asked for it.
    """

    site: Site
    run: RunContext
    record: Step
    identity: Identity
    source: SourceSettings
    client: PacsClient
    arrival: Arrival
    held: Product | None
    first_try: int = 1

    def bring(self) -> tuple[str, str]:
        """Digest and status of the revision that is the newest when this returns.

        Raises
        ------
        NotYet
            To be called again: the study is not whole, or not confirmed to be.
        IncompleteStudy
            It did not become whole in the time that the source has for it.
        PacsUnavailable
            The source does not answer, broke off, or lists nothing.
        """
        while True:
            listing = self._ask()
            fetched = self._fetch(listing)
            short = listing.shortfall(self._here())
            if short is not None:
                self.arrival.note()
                return self._let_on(
                    listing,
                    f"{short}{_astray(fetched)}",
                    _TILL_ADMITTED if fetched.elsewhere else 0.0,
                )
            if not self._news(listing) and not self._is_unconfirmed:
                return self._unchanged(listing)
            age = self.arrival.age_of(listing.digest)
            if age is not None and age >= self.source.confirm_after_seconds:
                return self._admit(listing) if self._news(listing) else self._confirm(listing)
            if self.arrival.changed(listing.digest):
                self.arrival.note(listing.digest)
                return self._let_on(listing, _UNSETTLED)
            self.arrival.note(listing.digest)
            left = self.source.confirm_after_seconds - (age or 0.0)
            if left > 0:
                self._wait(left, "all that the PACS lists is here; it is asked once more")

    def _ask(self) -> Listing:
        ours = {row.SOPInstanceUID for row in self.site.catalog.deliveries(self._key)}
        listing = ask(self.client, self.identity.StudyInstanceUID, ours)
        if not listing.refs:
            raise PacsUnavailable(
                "the PACS lists no instance of the study", where=self._key, remedy="is it moving?"
            )
        return listing

    def _fetch(self, listing: Listing) -> FetchReport:
        """Fetches what is missing."""
        missing = listing.uids - self._here()
        report = FetchReport((), 0, ())
        if not missing:
            return report
        with suppress(NotFound):  # What is listed no more is not in the next list either.
            report = self.client.fetch_study(
                self.identity.StudyInstanceUID,
                self.arrival.instances,
                only=missing,
                sink=self.arrival.take,
            )
        time.sleep(self.source.pause_seconds)
        return report

    def _let_on(self, listing: Listing, lacking: str, pause: float = 0.0) -> tuple[str, str]:
        """What becomes of a study that is not whole: it waits, or is reported, or is let on.

        Parameters
        ----------
        lacking
            Why it is not whole, in words.
        pause
            Seconds before which it need not be asked for again.
        """
        source = self.source
        pause = max(pause, source.confirm_after_seconds)
        if left := self.arrival.patience(source.give_up_after_seconds, pause):
            self._wait(left, lacking)
        something = self._news(listing) or self.held is not None
        if not (source.accept_incomplete and something):
            self._report(listing)
            raise IncompleteStudy(
                lacking,
                where=self._key,
                remedy="what came is kept: clear this task when the PACS has all, or see "
                "accept_incomplete in configs/sources.yaml; C-GET brings nothing that is kept in "
                "a private transfer syntax, c-move does",
            )
        return self._admit(listing, lacking) if self._news(listing) else self._unchanged(listing)

    def _wait(self, seconds: float, why: str) -> NoReturn:
        raise NotYet(why, where=self._key, seconds=seconds)

    def _confirm(self, listing: Listing) -> tuple[str, str]:
        """What came by another way, and was whole by a guess, is all that its source has.

        The revision stays what it is, for it says what was known when it was made; the catalog
        says what is known now.
        """
        assert self.held is not None
        detail = {**self.held.detail, "completeness": "confirmed"}
        same = update(Product).where(Product.product_id == self.held.product_id)
        with self.site.catalog.write(self._key) as session:
            session.execute(same.values(detail=detail))
        return self._unchanged(listing)

    def _unchanged(self, listing: Listing) -> tuple[str, str]:
        """Nothing came; yet it is announced again where nobody works on it, and could."""
        assert self.held is not None
        mended = self._resolve() and self.site.catalog.study(self._key).state == "quarantined"
        if self._is_told(self.held) and not mended:
            listed = counted(len(listing.refs), "instance")
            self.record.say(f"No more than was here; the PACS lists {listed}.")
            return self.held.digest, "unchanged"
        # It was held up as incomplete, or the run that published it was killed before it said so.
        self.site.catalog.set_state(self._key, "received")
        self.record.say("No more than was here; it goes on now.", digest=self.held.digest)
        return self.held.digest, "new"

    def _is_told(self, held: Product) -> bool:
        """Whether it was announced: by a run that wrote down the end of its work.

        Not by an earlier try of this very task: that one was killed before it could tell Airflow,
        else there would be no other.
        """
        run = self.run
        earlier = and_(
            Event.run_id == run.run_id,
            Event.task_id == run.task_id,
            Event.map_index == run.map_index,
            Event.try_number.between(self.first_try, run.try_number - 1),
        )
        query = select(Event.id).where(
            Event.study_key == self._key,
            Event.stage.in_(("ingest", "receive")),
            Event.state == "done",
            Event.digest == held.digest,
            not_(earlier),
        )
        return bool(self.site.catalog.all(query.limit(1)))

    def _admit(self, listing: Listing, lacking: str = "") -> tuple[str, str]:
        """Publishes what is here as the next revision."""
        admission = self._admission(listing)
        manifest = self._manifest(listing, admission, "incomplete" if lacking else "confirmed")
        with self._zone.draft() as draft:
            folder = draft / "instances"
            folder.mkdir()
            if self.held is not None:
                link_held(self.site, self.held, folder)
            for entry in self._arrived(listing):
                link_file(self.arrival.instances / entry.path, folder / entry.path)
            quarantine_collisions(
                self.site, self._key, admission.collisions, folder, source=self.identity.source
            )
            publish(self.site, self._key, manifest, draft, self.identity, self.run)
        self._resolve()
        whole = f"incomplete, and let on: {lacking}" if lacking else "as many as the PACS lists"
        self.record.say(
            f"Received {counted(len(manifest.instances), 'instance')} in "
            f"{len(manifest.series)} series, {whole}; {admission.duplicates} came twice, "
            f"{len(admission.collisions)} collided.",
            digest=manifest.digest,
            version=LAYOUT,
        )
        return manifest.digest, "revised" if self.held else "new"

    def _resolve(self) -> bool:
        """Takes back what kept it from coming whole from this source; another's word stands."""
        stage, source = self.record.stage, self.record.source
        codes = (error.code for error in _OVERCOME)
        return self.site.catalog.resolve(self._key, *codes, stage=stage, source=source)

    def _report(self, listing: Listing) -> None:
        """Makes a study that never became whole one that a person sees, with its bytes."""
        manifest = self._manifest(listing, self._admission(listing), "incomplete")
        self.record.digest = manifest.digest
        self.record.uri = self._zone.staging_uri(self._key)
        if self.held is None:
            patient = patient_of(self.arrival.instances, manifest)
            self.site.catalog.put(
                enrol(
                    self.site, manifest, patient, self.identity, run=self.run, state="quarantined"
                )
            )
        self.arrival.forget()

    def _admission(self, listing: Listing) -> Admission:
        return admit(self._before.instances if self._before else (), self._arrived(listing))

    def _manifest(
        self, listing: Listing, admission: Admission, completeness: Completeness
    ) -> StudyManifest:
        return make_manifest(
            self._key,
            self.identity.StudyInstanceUID,
            admission.accepted,
            listing.refs,
            self._before.series if self._before else (),
            completeness=completeness,
        )

    def _arrived(self, listing: Listing) -> list[InstanceEntry]:
        """What came and is still listed: what the PACS took back before that never was of it."""
        listed = listing.uids
        return [entry for entry in self.arrival.entries if entry.SOPInstanceUID in listed]

    def _here(self) -> set[str]:
        return self.arrival.uids() | self._held_uids

    def _news(self, listing: Listing) -> bool:
        return bool(self.arrival.uids() & listing.uids - self._held_uids)

    @property
    def _is_unconfirmed(self) -> bool:
        """Whether it is to its own source, which is asked, to say that what is held is whole."""
        said = self.held.detail.get("completeness") if self.held else "confirmed"
        return said != "confirmed" and self.record.source == self.identity.source

    @cached_property
    def _held_uids(self) -> frozenset[str]:
        held = self._before.instances if self._before else ()
        return frozenset(entry.SOPInstanceUID for entry in held)

    @cached_property
    def _before(self) -> StudyManifest | None:
        return held_manifest(self.site, self.held) if self.held else None

    @property
    def _zone(self) -> Zone:
        region = self.site.region_of(self._key, self.identity.source)
        return self.site.zone("raw", region)

    @property
    def _key(self) -> str:
        return self.record.study_key


def _astray(fetched: FetchReport) -> str:
    """What is known of instances that were fetched and are not here, in words."""
    words = ""
    if fetched.cut_short:
        words += f"; {fetched.cut_short} came cut short, as the PACS may have them"
    if fetched.elsewhere:
        words += f"; {fetched.elsewhere} went elsewhere, such as to the receiver"
    return words
