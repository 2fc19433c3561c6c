"""configs/sources.yaml: where studies come from, and where results go."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hounsfield.settings.fields import Pattern, Region, Text, TimeZone, Words
from hounsfield.settings.files import Frozen

__all__ = ["DestinationSettings", "Reached", "SourceSettings", "SourcesFile"]


class Reached(Frozen):
    """How another system is reached: by DIMSE or by DICOMweb, one of the two.

    Attributes
    ----------
    peer
        Parsed by `hounsfield.pacs.DimsePeer`.
    web
        Parsed by `hounsfield.pacs.WebPeer`.
    proof
        That it has the results which it is sent. ``commitment``: Storage Commitment (PS3.4
        Annex J). ``query``: C-FIND or QIDO-RS at instance level. ``auto``: the first where it
        gives that in time, else the second.
    """

    peer: dict[str, Any] | None = None
    web: dict[str, Any] | None = None
    proof: Literal["auto", "commitment", "query"] = "auto"

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.peer is None) == (self.web is None):
            raise ValueError("give either peer (DIMSE) or web (DICOMweb)")
        return self


class SourceSettings(Reached):
    """One source of studies: what to take from it, when, and when a study counts as whole.

    Attributes
    ----------
    modalities
        A study counts if it has a series of one of these, one word each where it is a string;
        empty: any.
    description
        A regular expression that the StudyDescription must match somewhere; empty: any.
    timezone
        In which StudyDate, StudyTime and the working hours are.
    working_hours
        ``HH:MM-HH:MM``, may cross midnight: the source is asked then, and only then. Empty:
        always.
    pause_seconds
        Rest after each study that is fetched, so that the source can serve others. The task
        rests in its slot of the pool: with one slot it lies between any two studies.
    confirm_after_seconds
        A study is whole when the source lists no more than is here, and still no more after
        so many seconds.
    give_up_after_seconds
        A study that is not whole so long after its last instance came is reported with what
        is missing.
    accept_incomplete
        Let such a study on all the same; its manifest then says ``incomplete``.
    lookback_days
        Days before its window that a scheduled run asks for, too: images that come later are
        fetched for so long. What has not changed is not fetched again.
    results
        The destination of results; empty: the source itself.
    jurisdiction
        Whose law says how long its studies are kept (configs/tiers.yaml).
    region
        Which its studies, and all that is made of them, may not leave: they lie in the roots of
        that region, and their tasks run on its queue. Empty: that of the site.
    """

    modalities: Words = ()
    description: Pattern = ""
    timezone: TimeZone = "UTC"
    working_hours: Annotated[
        Text, Field(pattern=r"^(([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d)?$")
    ] = ""
    pause_seconds: Annotated[float, Field(ge=0)] = 0.0
    confirm_after_seconds: Annotated[float, Field(ge=0)] = 0.0
    give_up_after_seconds: Annotated[float, Field(ge=0)] = 3600.0
    accept_incomplete: bool = False
    lookback_days: Annotated[int, Field(ge=0, le=365)] = 1
    results: Text = ""
    jurisdiction: Text = ""
    region: Region = ""


class DestinationSettings(Reached):
    """Where results go, and how long it is tried.

    Attributes
    ----------
    first_retry_seconds, longest_retry_seconds
        A busy destination is tried again after the first, then after twice as long, and so
        on up to the second.
    give_up_after_seconds
        After so long without success the delivery fails, and a person must look.
    """

    first_retry_seconds: Annotated[float, Field(gt=0)] = 15.0
    longest_retry_seconds: Annotated[float, Field(gt=0)] = 900.0
    give_up_after_seconds: Annotated[float, Field(ge=0)] = 172_800.0


class SourcesFile(Frozen):
    """configs/sources.yaml"""

    sources: dict[str, SourceSettings]
    destinations: dict[str, DestinationSettings] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_destinations(self) -> Self:
        for name, source in self.sources.items():
            if source.results and source.results not in self.destinations:
                raise ValueError(f"source {name!r}: results names no destination")
        return self
