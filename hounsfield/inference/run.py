"""One model version on one volume, through the bundle's own inference configuration."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hounsfield.errors import HounsfieldError, ModelError
from hounsfield.inference.bundle import WEIGHTS, Bundle, choose_device
from hounsfield.inference.seams import Outcome, VolumeLike
from hounsfield.records import Prediction, digest_of

__all__ = ["MASK_FILE", "explained", "infer", "prediction_id", "run_bundle"]

log = logging.getLogger(__name__)

#: Name of the mask beside a stored prediction.
MASK_FILE = "mask.npz"


def run_bundle(
    bundle: Path,
    volume: VolumeLike,
    *,
    weights: Path | None = None,
    version: str,
    device: str = "auto",
    study_key: str = "",
    series_key: str = "",
    volume_digest: str = "",
) -> tuple[Prediction, NDArray[np.uint8] | None]:
    """Runs a bundle on a volume.

    Parameters
    ----------
    weights
        A file of weights, or the folder that holds ``model.pt``; by default the bundle's own.
        Bundles without weights ignore it.
    version
        Of the model, as the registry counts.
    device
        "auto" takes the GPU where there is one.
    volume_digest
        Where another digest than the volume's own stands for it, as a product's.

    Returns
    -------
    Prediction
        Its ``mask`` is ``mask.npz`` where there is a mask: store it under that name.
    ndarray or None
        (z, y, x) uint8 on the volume's grid; its values are the segments' numbers.

    Raises
    ------
    ModelError
        If the bundle or the weights cannot be used, or the model refuses the volume.
    """
    model = Bundle.open(bundle)
    where = choose_device(device)
    started = time.perf_counter()
    outcome = infer(model, volume, weights=weights, device=where)
    seconds = time.perf_counter() - started
    log.info("%s %s ran on %s in %.1f s.", model.name, version, where, seconds)
    digest = volume_digest or volume.digest
    prediction = Prediction(
        prediction_id=prediction_id(digest, model.name, version),
        study_key=study_key,
        series_key=series_key,
        volume_digest=digest,
        model=model.name,
        version=version,
        algorithm=model.algorithm,
        disclaimer=model.disclaimer,
        findings=outcome.findings,
        segments=outcome.segments,
        measurements=outcome.measurements,
        mask=None if outcome.mask is None else MASK_FILE,
        device=str(where),
        extra=dict(outcome.extra),
    )
    return prediction, outcome.mask


def prediction_id(volume_digest: str, model: str, version: str) -> str:
    """The same question gives the same identity, whoever asks and when."""
    return digest_of(["prediction", volume_digest, model, version])


def infer(bundle: Bundle, volume: VolumeLike, *, weights: Path | None, device: Any) -> Outcome:
    """What a bundle finds in a volume; raises ModelError as `run_bundle` does."""
    parser = bundle.configure(
        "inference",
        device=device,
        datalist=({"image": volume},),
        **_weights(bundle, weights),
    )
    if "report" not in parser:
        raise ModelError(
            "the inference configuration has no item `report`", where=f"model {bundle.name}"
        )
    try:
        evaluator = parser.get_parsed_content("evaluator")
        # The engine tells each start and end of its loop over this one volume.
        evaluator.logger.setLevel(logging.ERROR)
        evaluator.run()
        found = evaluator.state.output[0]["pred"]
    except Exception as error:
        raise explained(error, bundle, "inference") from error
    probability = found[0].cpu().numpy()
    if probability.shape != tuple(volume.shape):
        raise ModelError(
            f"the output has the shape {probability.shape}, the volume {tuple(volume.shape)}",
            where=f"model {bundle.name}",
            remedy="the postprocessing must bring it back to the volume's grid (Invertd)",
        )
    outcome: Outcome = parser.get_parsed_content("report")(volume, probability)
    return outcome


def _weights(bundle: Bundle, weights: Path | None) -> dict[str, Any]:
    """The override of the item `weights`, for bundles that have one."""
    if "weights" not in bundle.configure("inference"):
        return {}
    path = weights or bundle.root / "models"
    path = path / WEIGHTS if path.is_dir() else path
    if not path.is_file():
        raise ModelError(
            "there are no weights",
            where=f"model {bundle.name}",
            remedy="train the bundle, or name a registered version",
        )
    return {"weights": str(path)}


def explained(error: BaseException, bundle: Bundle, name: str) -> HounsfieldError:
    """The cause that MONAI's layers wrap: our own error where there is one."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    for cause in chain:
        if isinstance(cause, HounsfieldError):
            return cause
    root = chain[-1]
    return ModelError(
        f"the {name} configuration failed with {type(root).__name__}: {_first_line(root)}",
        where=f"model {bundle.name}",
        remedy="check the bundle, its weights and the data against each other",
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]
