"""Training a bundle on a data list, and judging what came of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hounsfield.errors import ModelError
from hounsfield.inference.bundle import WEIGHTS, Bundle, choose_device
from hounsfield.inference.datalist import Datalist, TrainingItem, open_volume, read_label
from hounsfield.inference.run import explained, infer
from hounsfield.inference.scoring import Evaluation, Score

__all__ = ["TrainingOutcome", "evaluate_bundle", "train_bundle"]

log = logging.getLogger(__name__)

#: Called with a metric's name, its value and the epoch.
Log = Callable[[str, float, int], Any]


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """What a training gave.

    Attributes
    ----------
    weights
        The file; alone in its folder, so that the folder can be registered.
    evaluation
        On the validation volumes.
    losses
        Mean training loss of each epoch.
    params
        What the training was run with.
    """

    weights: Path
    evaluation: Evaluation
    losses: tuple[float, ...]
    params: dict[str, Any]
    seconds: float

    def flat_metrics(self) -> dict[str, float]:
        """Final metrics, overall and by subgroup, one number a name."""
        final = {"final_loss": round(self.losses[-1], 4)} if self.losses else {}
        return {**final, "training_seconds": round(self.seconds, 1), **self.evaluation.flat()}

    def to_dict(self) -> dict[str, Any]:
        return {
            "params": self.params,
            "losses": list(self.losses),
            "seconds": round(self.seconds, 1),
            **self.evaluation.to_dict(),
        }


def train_bundle(
    bundle: Path,
    datalist: Datalist,
    output: Path,
    *,
    seed: int = 0,
    max_epochs: int | None = None,
    max_seconds: float | None = None,
    log: Log | None = None,
    device: str = "auto",
) -> TrainingOutcome:
    """Trains through the bundle's ``train.yaml``, then evaluates on the validation volumes.

    Parameters
    ----------
    output
        Folder for ``weights/model.pt``.
    seed
        Of the weights, of patches and of augmentation. On one device the same seed, data and
        software give the same weights.
    max_epochs
        Instead of the configuration's.
    max_seconds
        Training ends with the epoch in which this time is over. The outcome then depends on
        the machine's speed.
    log
        Told the metrics as they come, by epoch.

    Raises
    ------
    ModelError
        If there is nothing to train on, or the configuration or the data cannot be used.
    """
    if not datalist.training:
        raise ModelError("the data list has no training volumes", where=f"model {bundle.name}")
    model, where = Bundle.open(bundle), choose_device(device)
    folder = output / "weights"
    parser = model.configure(
        "train",
        device=where,
        output_dir=str(folder),
        seed=seed,
        training=tuple(item.for_monai() for item in datalist.training),
        **({} if max_epochs is None else {"epochs": max_epochs}),
    )
    started = time.perf_counter()
    watch = _Watch(log or _silent, max_seconds)
    _train(parser, watch, model)
    seconds = time.perf_counter() - started
    _told("%s was trained on %s for %d epochs in %.0f s.", model.name, where, len(watch), seconds)
    weights = folder / WEIGHTS
    evaluation = evaluate_bundle(bundle, datalist.validation, weights=weights, device=device)
    for name, value in evaluation.overall.items():
        watch.log(f"validation_{name}", value, len(watch))
    params = {
        "seed": seed,
        "epochs": len(watch),
        "device": str(where),
        "training_volumes": len(datalist.training),
        "validation_volumes": len(datalist.validation),
        "learning_rate": parser.get("learning_rate"),
        "patch": list(parser.get("patch") or ()),
        "spacing_mm": list(parser.get("spacing_mm") or ()),
    }
    return TrainingOutcome(weights, evaluation, tuple(watch.losses), params, seconds)


def evaluate_bundle(
    bundle: Path,
    items: Sequence[TrainingItem],
    *,
    weights: Path | None = None,
    device: str = "auto",
) -> Evaluation:
    """Runs the bundle's inference, as a study would meet it, and scores its findings.

    Raises
    ------
    ModelError
        If a label does not lie on its volume's grid, or the bundle refuses a volume.
    """
    model, where = Bundle.open(bundle), choose_device(device)
    scores = []
    for item in items:
        volume = open_volume(item.image)
        outcome = infer(model, volume, weights=weights, device=where)
        scores.append(Score.of(outcome, read_label(item.label, volume.shape), item.subgroup))
    return Evaluation(tuple(scores))


class _Watch:
    """Listens to a trainer: keeps the losses, tells them, and stops it in time."""

    def __init__(self, log: Log, max_seconds: float | None) -> None:
        self.log = log
        self.losses: list[float] = []
        self._max_seconds = max_seconds
        self._epoch: list[float] = []
        self._started = time.perf_counter()

    def __len__(self) -> int:
        return len(self.losses)

    def attach(self, trainer: Any) -> None:
        from ignite.engine import Events

        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._iteration)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_end)

    def _iteration(self, trainer: Any) -> None:
        self._epoch.append(float(trainer.state.output[0]["loss"]))

    def _epoch_end(self, trainer: Any) -> None:
        loss = sum(self._epoch) / max(1, len(self._epoch))
        self._epoch.clear()
        self.losses.append(loss)
        self.log("train_loss", loss, len(self))
        seconds = time.perf_counter() - self._started
        _told("Epoch %d of %d: loss %.4f.", len(self), trainer.state.max_epochs, loss)
        if self._max_seconds is not None and seconds >= self._max_seconds:
            trainer.terminate()


def _train(parser: Any, watch: _Watch, model: Bundle) -> None:
    try:
        parser.get_parsed_content("initialize")
        trainer = parser.get_parsed_content("train#trainer")
        trainer.logger.setLevel(logging.ERROR)  # One line an iteration otherwise.
        watch.attach(trainer)
        parser.get_parsed_content("run")
    except Exception as error:
        raise explained(error, model, "training") from error


def _told(message: str, *values: object) -> None:
    log.info(message, *values)


def _silent(name: str, value: float, step: int) -> None:
    """Nobody listens."""
