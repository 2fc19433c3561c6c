"""release: what the gate let pass, or a person released, is published for models to see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hounsfield.catalog.models import GateResult, Product, Review
from hounsfield.errors import DeidentificationError, IntegrityError
from hounsfield.evidence import Certificate
from hounsfield.quality.docs import write_certificate
from hounsfield.records import RunContext, counted
from hounsfield.site import Site
from hounsfield.stages.candidate import (
    INSTANCES,
    candidate_recipe,
    candidate_recipes,
    content_of,
    profile_of,
    released_recipe,
    under_review,
)
from hounsfield.stages.describe import describe
from hounsfield.stages.dispose import discard
from hounsfield.stages.gate import approval
from hounsfield.stages.produce import open_product, produce
from hounsfield.stages.revision import link_file
from hounsfield.stages.step import step
from hounsfield.store.product import verify

__all__ = ["release"]


def release(site: Site, study_key: str, *, run: RunContext) -> dict[str, Any]:
    """Publishes the candidate to the zone `deid`, with its certificate; the candidate goes.

    Returns
    -------
    dict
        ``study_key``, ``product_id``, ``digest`` and who ``released`` it.

    Raises
    ------
    DeidentificationError
        If neither the gate nor a person let exactly this content pass.
    IntegrityError
        If the candidate is no more what the gate looked at.
    """
    with (
        site.catalog.lock(study_key, f"{run.run_id}/{run.task_id}/{run.map_index}"),
        step(site, study_key, "release", run) as record,
    ):
        candidate = under_review(site, study_key)
        result, review = _permission(site, candidate)
        who = _by(review)
        product = candidate
        if candidate.kind == "candidate":
            product = _publish(site, candidate, result, review, run)
        _tidy(site, study_key, run)
        with open_product(site, product) as folder:
            series = describe(site, study_key, folder / INSTANCES)
            certificate = Certificate.read(folder)
        write_certificate(site.settings.site.docs, study_key, certificate.to_html())
        by = f"{who}, who decided: {review.why}" if review else "the gate, which found nothing"
        record.say(
            f"Released {counted(product.detail['written'], 'instance')} in {series} series, "
            f"by {by}.",
            digest=product.digest,
            version=f"gate {result.report['code']}",
        )
        return {
            "study_key": study_key,
            "product_id": product.product_id,
            "digest": product.digest,
            "released": who,
        }


def _permission(site: Site, candidate: Product) -> tuple[GateResult, Review | None]:
    """The verdict over exactly this content, and who released it where that is in doubt."""
    result = site.catalog.gate_result(candidate.study_key, content_of(candidate))
    if result is not None:
        if result.verdict == "passed":
            return result, None
        review = approval(site, candidate, result.findings_digest)
        if review is not None:
            return result, review
    raise DeidentificationError(
        "neither the gate nor a person has let the study pass",
        where=candidate.study_key,
        remedy="clear gate; what it finds, a person decides on",
    )


def _publish(
    site: Site, candidate: Product, result: GateResult, review: Review | None, run: RunContext
) -> Product:
    profile = profile_of(site)
    recipe = released_recipe(candidate_recipe(site, candidate.study_key, profile))
    site.audit.append(
        action="deid.release",
        object=candidate.study_key,
        purpose=review.why if review else "the release gate found nothing",
        run=run,
        detail=f"candidate {candidate.digest}, gate {result.result_id}",
    )

    def build(draft: Path) -> dict[str, Any]:
        with open_product(site, candidate) as folder:
            sealed = verify(folder)
            if sealed.digest != result.digest:
                raise IntegrityError(
                    "the candidate is not what the gate looked at",
                    where=candidate.study_key,
                    remedy="clear deidentify",
                )
            for name in sealed.files:
                target = draft / name
                target.parent.mkdir(parents=True, exist_ok=True)
                link_file(folder / name, target)
        certificate = Certificate.of(
            site.settings.site.project,
            candidate.study_key,
            profile,
            candidate.detail,
            result.report,
            input_digest=candidate.input_digest,
            output_digest=candidate.digest,
            engine=candidate.code,
            decision=_decision(review),
            reviews=_reviews(site, candidate.study_key),
        )
        certificate.write(draft)
        return {
            **candidate.detail,
            "content": candidate.digest,
            "gate": result.result_id,
            "released_by": _by(review),
        }

    product, _ = produce(site, recipe, build, run=run)
    return product


def _tidy(site: Site, study_key: str, run: RunContext) -> None:
    """Takes the candidate away, also one that a killed run left beside what it had released."""
    recipe = candidate_recipe(site, study_key, profile_of(site))
    left = site.catalog.product(recipe.identity)
    if left is not None:
        discard(site, left, "the candidate is released", run=run)


def _by(review: Review | None) -> str:
    return review.reviewer if review else "gate"


def _decision(review: Review | None) -> dict[str, str]:
    if review is None:
        return {"by": "gate", "why": "nothing was found", "at": ""}
    return {"by": review.reviewer, "why": review.why, "at": _decided(review)}


def _reviews(site: Site, study_key: str) -> list[dict[str, Any]]:
    """Each answer of a person on the way to what is released: also who had more masked."""
    recipes = candidate_recipes(site, study_key, profile_of(site))
    on_the_way = {recipe.identity for recipe in recipes}
    return [
        {
            "by": review.reviewer,
            "decision": review.state,
            "why": review.why,
            "at": _decided(review),
            "masks": len(review.masks),
        }
        for review in reversed(site.catalog.reviews(study_key))  # one is asked after the other
        if review.decided_at and (review.masks or review.product_id in on_the_way)
    ]


def _decided(review: Review) -> str:
    return review.decided_at.isoformat(timespec="seconds") if review.decided_at else ""
