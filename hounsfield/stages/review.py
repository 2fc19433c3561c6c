"""review: what a person decides on a study that the gate is in doubt about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import update

from hounsfield.catalog.models import Review, utc_now
from hounsfield.errors import ConfigError, DeidentificationError, NotFound
from hounsfield.gate import Region
from hounsfield.quality.docs import remove_certificate
from hounsfield.records import RunContext, counted
from hounsfield.site import Site
from hounsfield.stages.deidentify import deidentify
from hounsfield.stages.dispose import discard
from hounsfield.stages.gate import gate
from hounsfield.stages.step import step

__all__ = ["AGAINST", "DECISIONS", "REASONS", "decide", "open_review", "parse_regions"]

#: What a person may decide, and the state of the review then.
DECISIONS: Final = {"Release": "released", "Mask more": "masked", "Reject": "rejected"}
#: Why. A list to choose from: a text of one's own could name the patient, and Airflow keeps it.
REASONS: Final = (
    "no text of any patient: the finding is a false alarm",
    "a word of the examination, not a name",
    "a marker, a scale or a device, nothing of a patient",
    "nothing that the profile has to remove",
    "text of the patient is left",
    "what is shown cannot be judged with certainty",
    "not to be used, by the site's own rules",
)
#: Those that speak against a release.
AGAINST: Final = REASONS[4:]
_REGION = re.compile(r"(\d+)(?:\s*:\s*(\d+)[\s,]+(\d+)[\s,]+(\d+)[\s,]+(\d+))?")


def open_review(site: Site, study_key: str) -> Review | None:
    """The question that waits for an answer, if one does."""
    return next((row for row in site.catalog.reviews(study_key) if row.state == "open"), None)


def parse_regions(text: str, review: Review) -> list[dict[str, Any]]:
    """The regions that a reviewer names, as masks.

    Parameters
    ----------
    text
        ``3`` is region 3 of the review; ``3: 40 20 200 32`` a rectangle (x, y, width, height in
        pixels, from the top left) in the picture that region 3 is of. Several by ``;``.

    Raises
    ------
    ConfigError
        If that names no region; what was given is not quoted.
    """
    regions = {region["number"]: Region.from_dict(region) for region in review.report["regions"]}
    masks = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        match = _REGION.fullmatch(part)
        region = regions.get(int(match[1])) if match else None
        if match is None or region is None:
            raise ConfigError(
                "a region is a number of the review, such as 3, or 3: x y width height",
                where="regions",
            )
        box = region.box
        if match[2]:
            x, y, width, height = (int(number) for number in match.groups()[1:])
            box = (x, y, x + width, y + height)
        masks.append({"object": region.object, "box": list(box)})
    return masks


def decide(
    site: Site, study_key: str, answer: Mapping[str, str], *, reviewer: str, run: RunContext
) -> dict[str, Any]:
    """Writes a decision down and does it.

    Parameters
    ----------
    answer
        ``decision`` (of `DECISIONS`), ``why`` (of `REASONS`) and, to mask more, ``regions``.
    reviewer
        Who decided: the user whom Airflow knows, not who started the run.

    Returns
    -------
    dict
        ``study_key``, ``decision`` and ``verdict``: of the gate over what was masked more,
        ``passed`` for what is released.

    Raises
    ------
    DeidentificationError
        The study is rejected, and in quarantine.
    ConfigError
        The answer is none that can be done.
    NotFound
        No question is open.
    """
    who = replace(run, actor=reviewer)
    told = {"study_key": study_key, "decision": answer["decision"]}
    review = open_review(site, study_key)
    if review is None:
        raise NotFound("no review is open", where=study_key, remedy="clear gate to ask again")
    masks = _checked(answer, review)  # What is no answer changes nothing, and is asked again.
    with step(site, study_key, "review", who) as record:
        _write_down(site, review, answer, masks, who)
        record.digest = review.digest
        if answer["decision"] == "Reject":
            raise DeidentificationError(
                f"a reviewer rejected the study: {answer['why']}",
                where=study_key,
                remedy="clear gate to have it looked at again",
            )
        record.say(f"{answer['decision']}: {answer['why']}{_count(masks)}.", digest=review.digest)
    if answer["decision"] == "Release":
        return {**told, "verdict": "passed"}
    deidentify(site, study_key, run=run)
    return {**told, "verdict": gate(site, study_key, run=run)["verdict"]}


def _checked(answer: Mapping[str, str], review: Review) -> list[dict[str, Any]]:
    # Airflow passes an answer on as it was sent to its REST API: any field of its form may lack.
    if answer["decision"] not in DECISIONS or answer.get("why") not in REASONS:
        raise ConfigError("the decision or its reason is none of those offered", where="review")
    regions = str(answer.get("regions") or "").strip()
    if answer["decision"] == "Release" and regions:
        raise ConfigError("regions are named, and a release masks none", where="regions")
    if answer["decision"] == "Release" and answer["why"] in AGAINST:
        raise ConfigError("the reason speaks against a release", where="why")
    if answer["decision"] != "Mask more":
        return []
    masks = parse_regions(regions, review)
    if not masks:
        raise ConfigError("to mask more, name at least one region", where="regions")
    return masks


def _write_down(
    site: Site,
    review: Review,
    answer: Mapping[str, str],
    masks: list[dict[str, Any]],
    who: RunContext,
) -> None:
    """The audit trail first: a decision that is not written down has not been made."""
    site.audit.append(
        action=f"review.{DECISIONS[answer['decision']]}",
        object=review.study_key,
        purpose=answer["why"],
        run=who,
        detail=f"candidate {review.digest}, findings {review.findings_digest}{_count(masks)}",
    )
    with site.catalog.write() as session:
        session.execute(
            update(Review)
            .where(Review.review_id == review.review_id, Review.state == "open")
            .values(
                state=DECISIONS[answer["decision"]],
                reviewer=who.actor,
                why=answer["why"],
                masks=masks,
                decided_at=utc_now(),
            )
        )
    _take_away(site, review, answer["decision"], who)


def _take_away(site: Site, review: Review, decision: str, who: RunContext) -> None:
    """What was shown; a candidate that is to be made anew; and what was released too early.

    A candidate that is rejected stays in quarantine, where a person can find out why.
    """
    pictures, product = (
        site.catalog.product(review.pictures),
        site.catalog.product(review.product_id),
    )
    if pictures is not None:
        discard(site, pictures, f"the review is answered: {decision}", run=who)
    early = product is not None and product.kind == "deid" and decision != "Release"
    if early:
        remove_certificate(site.settings.site.docs, review.study_key)
    if product is not None and (early or decision == "Mask more"):
        discard(site, product, "a reviewer wants it made anew", run=who)


def _count(masks: list[dict[str, Any]]) -> str:
    return f", {counted(len(masks), 'region')} masked" if masks else ""
