"""One small set of made-up studies for all tests of this folder."""

from __future__ import annotations

import pytest

from hounsfield.phantom import PhantomReport, PhantomStudy, write_phantoms

SEED = 3


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> PhantomReport:
    """Two whole studies, with signed and unsigned values, and all hard cases."""
    folder = tmp_path_factory.mktemp("phantoms") / "studies"
    return write_phantoms(folder, seed=SEED, studies=2)


@pytest.fixture(scope="session")
def by_kind(report: PhantomReport) -> dict[str, PhantomStudy]:
    """The hard cases by their kind, and the last whole study."""
    return {study.kind: study for study in report.studies}
