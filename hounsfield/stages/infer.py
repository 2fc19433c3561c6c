"""infer: decide which models want a study, run them, and keep what they said."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from sqlalchemy import select

from hounsfield.catalog.models import Prediction as PredictionRow
from hounsfield.catalog.models import Product, Series
from hounsfield.errors import NotFound
from hounsfield.inference import load_routes, route, run_bundle
from hounsfield.records import Prediction, RunContext, counted
from hounsfield.site import Site
from hounsfield.stages.chunk import VOLUME
from hounsfield.stages.predictions import read_prediction, summary_of, write_prediction
from hounsfield.stages.produce import Recipe, open_product, passed_on, produce
from hounsfield.stages.step import step
from hounsfield.tracking import Tracker
from hounsfield.tracking.lineage import prediction_lineage
from hounsfield.volume import Volume

__all__ = ["ROLES", "close_study", "forget_if_erased", "route_study", "run_model", "tracker_of"]

log = logging.getLogger(__name__)

#: Aliases of MLflow that a model runs under. The shadow is compared, never written back.
ROLES = ("champion", "shadow")


def tracker_of(site: Site) -> Tracker:
    """The site's MLflow."""
    return Tracker(site.settings.site.mlflow.uri, site.settings.site.mlflow.artifacts)


def route_study(site: Site, study_key: str, *, run: RunContext) -> list[dict[str, Any]]:
    """The jobs of a study: one for each model that wants one of its series, and each role.

    Returns
    -------
    list of dict
        ``study_key``, ``series_key``, ``volume`` (product id), ``model``, ``version``,
        ``role``; empty where no model wants the study.
    """
    with step(site, study_key, "route", run) as record:
        facts = _routing_facts(site, study_key)
        decision = route(list(facts), load_routes(site.settings.configs / "routing.yaml"))
        tracker = tracker_of(site)
        jobs = []
        sentences = [f"{model}: {reason}" for model, reason in decision.declined.items()]
        for choice in decision.routes:
            volume = facts_of(facts, choice.series_key)["volume"]
            versions = _versions(tracker, choice.model)
            if not versions:
                sentences.append(f"{choice.model}: no version of it is champion")
            for role, version in versions.items():
                sentences.append(f"{choice.model} {version} ({role}): {choice.reason}")
                jobs.append(
                    {
                        "study_key": study_key,
                        "series_key": choice.series_key,
                        "volume": volume,
                        "model": choice.model,
                        "version": version,
                        "role": role,
                    }
                )
        if not jobs:
            site.catalog.set_state(study_key, "no-model", "; ".join(sentences))
        record.say(f"{counted(len(jobs), 'job')}. {'; '.join(sentences)}.")
        return jobs


def run_model(
    site: Site, study_key: str, job: dict[str, Any], *, run: RunContext
) -> dict[str, Any]:
    """Runs one model version on one volume, and keeps the prediction.

    Returns
    -------
    dict
        ``study_key``, ``role``, ``prediction_id`` and ``product_id``.

    Raises
    ------
    NotFound
        If the volume or the model version is gone.
    ModelError
        If the model refuses the volume, or gives what it should not.
    """
    with step(site, study_key, f"run {job['model']}", run, quarantine=False) as record:
        source = site.catalog.product(job["volume"])
        if source is None:
            raise NotFound("the volume is no longer in the catalog", where=study_key)
        tracker = tracker_of(site)
        version = tracker.version(job["model"], job["version"])
        bundle = site.settings.models / job["model"]
        recipe = Recipe(
            kind="prediction",
            zone="results",
            folder="predictions",
            study_key=study_key,
            series_key=job["series_key"],
            input_digest=source.digest,
            packages=("hounsfield.inference",),
            parameters={
                "model": job["model"],
                "version": job["version"],
                "weights": version.digest,
            },
        )

        def build(draft: Path) -> dict[str, Any]:
            weights = tracker.weights(version, cache=site.settings.home / "cache" / "models")
            started = time.perf_counter()
            with open_product(site, source) as folder:
                volume = Volume.open(folder / VOLUME)
                prediction, mask = run_bundle(
                    bundle,
                    volume,
                    weights=weights,
                    version=job["version"],
                    study_key=study_key,
                    series_key=job["series_key"],
                    volume_digest=source.digest,
                )
                write_prediction(draft, prediction, mask, volume)
            seconds = round(time.perf_counter() - started, 2)
            return {**summary_of(prediction), "seconds": seconds, **passed_on(source)}

        product, made = produce(site, recipe, build, run=run)
        with open_product(site, product) as folder:
            prediction, _ = read_prediction(folder)
        site.catalog.put(_row(prediction, product, job["role"]))
        record.say(
            f"{prediction.model} {prediction.version} ({job['role']}) on {prediction.device}: "
            f"{product.detail['summary']}{'' if made else ' (found)'}",
            digest=product.digest,
            version=f"{prediction.model} {prediction.version}",
        )
        tracker.log_prediction(prediction_lineage(site, prediction.prediction_id, tracker=tracker))
        forget_if_erased(site, study_key, tracker)
        return {
            "study_key": study_key,
            "role": job["role"],
            "prediction_id": prediction.prediction_id,
            "product_id": product.product_id,
        }


def close_study(site: Site, study_key: str, *, run: RunContext) -> dict[str, Any]:
    """Writes down that a study is reported: every delivery is confirmed."""
    with step(site, study_key, "report", run) as record:
        deliveries = site.catalog.deliveries(study_key)
        confirmed = [row for row in deliveries if row.state == "confirmed"]
        if confirmed:
            site.catalog.set_state(study_key, "reported")
        record.say(f"{len(confirmed)} of {len(deliveries)} results are confirmed by the PACS.")
        return {"study_key": study_key, "confirmed": len(confirmed)}


def forget_if_erased(site: Site, study_key: str, tracker: Tracker) -> None:
    """MLflow, which was told of a prediction, forgets it if its patient was erased meanwhile.

    Raises
    ------
    NotFound
        If it was.
    """
    try:
        with site.catalog.write(study_key):
            pass
    except NotFound:
        tracker.forget_predictions(study_key)
        raise


def facts_of(facts: list[dict[str, Any]], series_key: str) -> dict[str, Any]:
    return next(item for item in facts if item["series_key"] == series_key)


def _routing_facts(site: Site, study_key: str) -> list[dict[str, Any]]:
    """What routing knows of each series that has a volume of the newest de-identified revision."""
    raw = site.catalog.latest(study_key, "raw")
    deid = site.catalog.latest(study_key, "deid", input_digest=raw.digest)
    volumes = site.catalog.all(
        select(Product).where(
            Product.study_key == study_key,
            Product.kind == "volume",
            Product.input_digest == deid.digest,
        )
    )
    by_series = {volume.series_key: volume for volume in volumes}
    rows = site.catalog.all(select(Series).where(Series.study_key == study_key))
    return [
        {
            **row.facts,
            "series_key": row.series_key,
            "volume": by_series[row.series_key].product_id,
            "shape": by_series[row.series_key].detail["shape"],
            "spacing_zyx": by_series[row.series_key].detail["spacing_zyx"],
            "regular": by_series[row.series_key].detail.get("regular", True),
        }
        for row in sorted(rows, key=lambda row: row.series_key)
        if row.series_key in by_series
    ]


def _versions(tracker: Tracker, model: str) -> dict[str, str]:
    """Version by role, of the roles that the registry names."""
    found: dict[str, str] = {}
    for role in ROLES:
        version = tracker.resolve(model, role)
        if version is not None and version.version not in found.values():
            found[role] = version.version
    return found


def _row(prediction: Prediction, product: Product, role: str) -> PredictionRow:
    return PredictionRow(
        prediction_id=prediction.prediction_id,
        study_key=prediction.study_key,
        series_key=prediction.series_key,
        model=prediction.model,
        version=prediction.version,
        role=role,
        volume_digest=prediction.volume_digest,
        product_id=product.product_id,
        findings=len(prediction.findings),
        summary=product.detail["summary"],
        numbers=product.detail["numbers"],
        seconds=product.detail.get("seconds", 0.0),
        created_at=product.created_at,
    )
