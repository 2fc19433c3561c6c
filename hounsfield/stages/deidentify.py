"""deidentify: take the patient out, into a candidate that the release gate looks at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hounsfield.catalog.models import Product
from hounsfield.deid import Deidentifier, Profile
from hounsfield.errors import DeidentificationError
from hounsfield.records import RunContext, counted
from hounsfield.site import Site
from hounsfield.stages.candidate import (
    INSTANCES,
    candidate_recipe,
    is_settled,
    mask_regions,
    profile_of,
    released_recipe,
)
from hounsfield.stages.produce import Recipe, open_raw, produce
from hounsfield.stages.step import step

__all__ = ["deidentify"]


def deidentify(site: Site, study_key: str, *, run: RunContext) -> dict[str, Any]:
    """De-identifies the newest revision under the site's profile, within the protected zone.

    Returns
    -------
    dict
        ``study_key``, ``product_id``, ``digest`` and the ``profile`` with its digest.

    Raises
    ------
    DeidentificationError
        If the patient could not be taken out with certainty.
    """
    profile = profile_of(site)
    with step(site, study_key, "deidentify", run) as record:
        raw = site.catalog.latest(study_key, "raw")
        recipe = candidate_recipe(site, study_key, profile)
        product, made = site.catalog.product(released_recipe(recipe).identity), False
        if product is None:
            product, made = _make(site, recipe, profile, run)
        withheld = product.detail["refused"]
        masked = len({entry["output"] for entry in product.detail["masked"] if entry["boxes"]})
        for refusal in withheld:
            _quarantine(site, raw, refusal)
        record.say(
            f"{'De-identified' if made else 'Found de-identified'} "
            f"{counted(product.detail['written'], 'instance')} under profile "
            f"{profile.name}; {masked} had burned-in text masked, "
            f"{len(withheld)} are withheld{_reasons(withheld)}.",
            digest=product.digest,
            version=f"{profile.name} {profile.digest[:12]}",
        )
        return {
            "study_key": study_key,
            "product_id": product.product_id,
            "digest": product.digest,
            "profile": f"{profile.name} {profile.digest[:12]}",
        }


def _make(site: Site, recipe: Recipe, profile: Profile, run: RunContext) -> tuple[Product, bool]:
    def build(draft: Path) -> dict[str, Any]:
        engine = Deidentifier(profile, site.pseudonyms_for(recipe.study_key))
        with open_raw(site, recipe.study_key, purpose="deidentify", run=run) as (folder, manifest):
            paths = [folder / entry.path for entry in manifest.instances]
            report = engine.study(paths, draft / INSTANCES)
        if not report.written:
            raise DeidentificationError(
                f"no instance could be released: {report.refused[0].reason}",
                where=recipe.study_key,
                remedy="the study stays in the raw zone; see its quarantine entry",
            )
        told = report.to_dict()
        masks = recipe.parameters.get("masks", ())
        asked = mask_regions(draft / INSTANCES, masks, profile)
        left = [entry for entry in told["left"] if not is_settled(entry, masks)]
        return {**told, "masked": [*told["masked"], *asked], "left": left}

    return produce(site, recipe, build, run=run)


def _reasons(withheld: list[dict[str, Any]]) -> str:
    reasons = sorted({refusal["reason"] for refusal in withheld})
    return f": {'; '.join(reasons)}" if reasons else ""


def _quarantine(site: Site, raw: Product, refusal: dict[str, Any]) -> None:
    """An instance that is not released stays in the raw zone alone, with its reason noted."""
    site.catalog.quarantine(
        raw.study_key,
        stage="deidentify",
        code=refusal["code"],
        reason=refusal["reason"],
        digest=f"{raw.digest[:32]}-{refusal['source']}",
        uri=raw.uri,
    )
