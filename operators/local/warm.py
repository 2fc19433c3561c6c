"""``python -m operators.local.warm COMMAND…``: ``airflow COMMAND``, with imports done before.

LocalExecutor forks a process for every task from the scheduler's. What the scheduler has
imported, a task has too; else each task of a demonstration imports great-expectations, torch or
MLflow anew, which takes it longer than its work.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

__all__ = ["warm_up"]

#: What stages import when they come to it.
_LATE = (
    "cv2",
    "dask.array",
    "great_expectations.expectations",
    "great_expectations.render.renderer",
    "highdicom",
    "mlflow.pytorch",
    "monai.bundle",
    "monai.inferers",
    "monai.networks.nets",
    "monai.transforms",
    "onnxruntime",
    "pandas",
    "rapidocr",
    "scipy.ndimage",
    "torch",
    "zarr",
)


def warm_up() -> None:
    """Imports all stages, and what they import late."""
    import hounsfield.stages as stages

    for module in pkgutil.iter_modules(stages.__path__, f"{stages.__name__}."):
        importlib.import_module(module.name)
    for name in _LATE:
        importlib.import_module(name)


if __name__ == "__main__":
    warm_up()
    from airflow.__main__ import main

    sys.argv[0] = "airflow"
    main()
