"""A migration that is killed, wherever: nothing is lost, doubled or half, and it goes on."""

from __future__ import annotations

import multiprocessing
import random
import signal
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from hounsfield.catalog.models import OpenMove, Product, Study, utc_now
from hounsfield.site import Site
from hounsfield.stages.migrate import move, plan
from hounsfield.store import seal
from tests.killing import drawn, in_a_process
from tests.stages.conftest import RUN

_FORK = multiprocessing.get_context("fork")  # A fresh interpreter imports for seconds.
_NOW = utc_now()
_MOVED = {"raw": "raw", "volume": "volumes"}


def stock(site: Site) -> dict[str, str]:
    """Puts two studies of old products in; gives their digests by product."""
    digests = {}
    draw = random.Random(1)
    for study in ("st-a", "st-b"):
        for kind, name in _MOVED.items():
            zone = site.zone(name)
            with zone.draft() as draft:
                for number in range(3):
                    path = draft / f"deep/{number}/data.bin"
                    path.parent.mkdir(parents=True)
                    path.write_bytes(draw.randbytes(300_000))
                made = seal(
                    draft, product_id=f"{kind}-{study}", kind=kind, study_key=study, detail={}
                )
                zone.commit(draft, f"{study}/{kind}")
            digests[made.product_id] = made.digest
            site.catalog.put(
                Study(study_key=study, patient_key="pt-a"),
                Product(
                    product_id=made.product_id,
                    study_key=study,
                    kind=kind,
                    digest=made.digest,
                    input_digest="i",
                    uri=zone.uri(f"{study}/{kind}"),
                    bytes=made.size,
                    created_at=_NOW - timedelta(days=100),
                ),
            )
    return digests


def migrate(site: Site, **kill: float) -> tuple[int | None, int]:
    """In a process that may be killed; see `tests.killing.in_a_process`."""

    def work() -> None:
        opened = Site(site.settings)
        for item in plan(opened, now=_NOW):
            move(opened, item, run=RUN)

    site.catalog.engine.dispose()
    return in_a_process(_FORK, work, **kill)


def copies(site: Site, product_id: str) -> list[str]:
    """The tiers that hold a product whole."""
    kind, study = product_id.split("-", 1)
    tiers = site.settings.tiers.tiers
    return [tier for tier in tiers if site.tier(tier, kind).has(f"{study}/{kind}")]


def litter(site: Site) -> list[Path]:
    """Files of zones that belong to no product."""
    found = []
    for path in (site.settings.home / "zones").rglob("*"):
        if path.is_file() and not any((up / "product.json").is_file() for up in path.parents):
            found.append(path)
    return found


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many events a whole migration has."""
    site = _site(tmp_path_factory.mktemp("whole"))
    stock(site)
    code, count = migrate(site)
    assert code == 0
    assert count > 100
    return count


def _site(folder: Path) -> Site:
    from hounsfield.settings import Settings

    made = Site(Settings.load({"HOUNSFIELD_HOME": str(folder)}))
    made.set_up()
    return made


@pytest.mark.parametrize("seed", range(10))
def test_killed_anywhere_nothing_is_lost_doubled_or_half(
    tmp_path: Path, events: int, seed: int
) -> None:
    site = _site(tmp_path / "home")
    digests = stock(site)
    code, _ = migrate(site, **drawn(seed, events))
    assert code == -signal.SIGKILL
    for product_id, digest in digests.items():
        row = site.catalog.product(product_id)
        assert row is not None
        zone, relative = site.locate(row.uri)
        assert zone.verify(relative).digest == digest, "where the catalog says, it is whole"
    code, _ = migrate(site)
    assert code == 0
    for product_id, digest in digests.items():
        row = site.catalog.product(product_id)
        assert row is not None
        assert (row.tier, copies(site, product_id)) == ("warm", ["warm"])
        zone, relative = site.locate(row.uri)
        assert zone.verify(relative).digest == digest
    assert litter(site) == []
    with site.catalog.read() as session:
        assert session.scalar(select(func.count()).select_from(OpenMove)) == 0
