"""gate: nothing leaves the protected zone before a second look has let it pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hounsfield.catalog.models import GateResult, Product, Review, utc_now
from hounsfield.gate import GateReport, render
from hounsfield.records import RunContext, digest_of
from hounsfield.site import Site
from hounsfield.stages.candidate import content_of, look_again, under_review
from hounsfield.stages.dispose import discard
from hounsfield.stages.produce import Recipe, passed_on, produce
from hounsfield.stages.step import step

__all__ = ["approval", "gate"]


def gate(site: Site, study_key: str, *, run: RunContext) -> dict[str, Any]:
    """Scans the candidate; where it is in doubt, a person is asked.

    What a person has released stays released while the content and what is found in it are
    the same: a study that is sent through again asks nobody again. The scan is made each time.

    Returns
    -------
    dict
        ``study_key``, ``product_id``, ``verdict`` (``passed`` or ``doubtful``) and how many
        ``findings``.
    """
    with step(site, study_key, "gate", run) as record:
        product = under_review(site, study_key)

        def then(report: GateReport, pairs: list[tuple[Path, Path]]) -> None:
            if not report.passed and approval(site, product, report.findings_digest) is None:
                _ask(site, product, report, pairs, run)

        report = look_again(site, product, run=run, then=then)
        site.catalog.put(_result(product, report, run))
        _supersede(site, product, report, run)
        approved = approval(site, product, report.findings_digest)
        verdict = "passed" if report.passed or approved else "doubtful"
        record.say(
            _sentence(report, approved), digest=product.digest, version=f"gate {report.code}"
        )
        return {
            "study_key": study_key,
            "product_id": product.product_id,
            "verdict": verdict,
            "findings": len(report.findings),
        }


def approval(site: Site, product: Product, findings_digest: str) -> Review | None:
    """Who released exactly this content with exactly these findings; nobody, mostly."""
    for review in site.catalog.reviews(product.study_key):
        same = (review.digest, review.findings_digest) == (content_of(product), findings_digest)
        if same and review.state == "released":
            return review
    return None


def _ask(
    site: Site,
    product: Product,
    report: GateReport,
    pairs: list[tuple[Path, Path]],
    run: RunContext,
) -> None:
    """Opens a review, with what the reviewer has to see.

    The page that shows it holds neither the key nor the raw zone. So the parts of the pictures
    are rendered here, into a zone of their own, and taken away when the question is answered.
    """
    recipe = Recipe(
        kind="review",
        zone="review",
        study_key=product.study_key,
        input_digest=content_of(product),
        packages=("hounsfield.gate",),
        parameters={"findings": report.findings_digest},
    )

    def build(draft: Path) -> dict[str, Any]:
        shown = []
        for region, before, after in render(pairs, report.regions):
            (draft / f"{region.number}-before.png").write_bytes(before)
            (draft / f"{region.number}-after.png").write_bytes(after)
            shown.append(region.number)
        return {"shown": sorted(shown), **passed_on(product)}

    pictures, _ = produce(site, recipe, build, run=run)
    site.catalog.put(
        Review(
            review_id=_question(site, product, report),
            study_key=product.study_key,
            product_id=product.product_id,
            digest=content_of(product),
            findings_digest=report.findings_digest,
            state="open",
            report=report.to_dict(),
            pictures=pictures.product_id,
            masks=[],
            reviewer="",
            why="",
            dag_id=run.dag_id,
            run_id=run.run_id,
            opened_at=utc_now(),
            decided_at=None,
        )
    )
    site.catalog.set_state(
        product.study_key, "review", f"The release gate is in doubt: {_findings(report)}."
    )


def _question(site: Site, product: Product, report: GateReport) -> str:
    """Names what a person is asked. Asked again after an answer it is another: that one stays."""
    answered = sum(bool(review.decided_at) for review in site.catalog.reviews(product.study_key))
    return digest_of([content_of(product), report.findings_digest, answered])


def _supersede(site: Site, product: Product, report: GateReport, run: RunContext) -> None:
    """Closes questions about what is no more: one question a study is open at a time."""
    asked = _question(site, product, report)
    for review in site.catalog.reviews(product.study_key):
        if review.state != "open" or review.review_id == asked:
            continue
        with site.catalog.write() as session:
            row = session.get(Review, review.review_id)
            if row is not None and row.state == "open":
                row.state = "superseded"
        pictures = site.catalog.product(review.pictures)
        if pictures is not None:
            discard(site, pictures, "the review that they were for is superseded", run=run)


def _result(product: Product, report: GateReport, run: RunContext) -> GateResult:
    return GateResult(
        result_id=digest_of([product.product_id, content_of(product), report.to_dict()]),
        study_key=product.study_key,
        product_id=product.product_id,
        digest=content_of(product),
        verdict=report.verdict,
        findings_digest=report.findings_digest,
        report=report.to_dict(),
        run_id=run.run_id,
        at=utc_now(),  # the same verdict again is the newest again
    )


def _findings(report: GateReport) -> str:
    counts: dict[str, int] = {}
    for finding in report.findings:
        counts[finding.check] = counts.get(finding.check, 0) + 1
    return ", ".join(f"{count} of {check}" for check, count in sorted(counts.items()))


def _sentence(report: GateReport, approved: Review | None) -> str:
    if report.passed:
        made = [f"{check.name} {check.looked_at}" for check in report.checks if check.looked_at]
        return f"Passed: nothing found ({', '.join(made)} looked at)."
    if approved is not None:
        return f"Passed: {_findings(report)} found, as {approved.reviewer} released before."
    told = f"In doubt: {_findings(report)} found. A person has to look before it is released."
    if report.unshown:
        shown, others = len(report.regions), sum(report.unshown.values())
        told += f" Of {shown + others} regions {shown} are shown."
    return told
