"""A study in an archive is asked for, waited for without a worker, and then read."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import timezone
from airflow.sdk.exceptions import TaskDeferred

from hounsfield.records import InstanceEntry, RunContext, SeriesManifest, StudyManifest
from hounsfield.settings import Settings, StoreSettings
from hounsfield.site import Site
from hounsfield.stages.migrate import Move, move
from hounsfield.stages.produce import open_raw
from hounsfield.stages.revision import publish
from hounsfield.stages.step import step
from hounsfield.vault import Identity
from operators.stage import StudyOperator
from tests.operators.conftest import MakeContext
from tests.s3 import MakeBucket

RUN = RunContext()
CONTENT = b"a slice"


class _Reads(StudyOperator):
    """Opens a study as received, as every stage does that needs it."""

    def run_stage(self, site: Site, run: RunContext, context: Any) -> bytes:
        with (
            step(site, self.study_key, "validate", run),
            open_raw(site, self.study_key, purpose="test", run=run) as (folder, manifest),
        ):
            return (folder / manifest.instances[0].path).read_bytes()


@pytest.fixture
def archived(
    tmp_path: Path,
    make_bucket: MakeBucket,
    s3_options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Site:
    """A site whose one study lies packed in an archive of S3."""
    root = f"s3://{make_bucket()}/raw"
    made = Settings.load({"HOUNSFIELD_HOME": str(tmp_path), "HOUNSFIELD_COLD_RAW": root})
    store = StoreSettings(options=s3_options, storage_class="DEEP_ARCHIVE", recall_poll_seconds=600)
    stores = made.site.model_copy(update={"stores": {root: store}})
    site = Site(made.model_copy(update={"site": stores}))
    site.set_up()
    key = site.pseudonyms.study_key("1.2.3")
    entry = InstanceEntry("1.2.3.4", "1.2", "1.2.840.10008.1.2.1", "a.dcm", len(CONTENT), "a" * 64)
    manifest = StudyManifest(key, "1.2.3", (SeriesManifest("1.2.3.5", "CT", (entry,)),))
    with site.zone("raw").draft() as draft:
        (draft / "instances").mkdir()
        (draft / "instances" / "a.dcm").write_bytes(CONTENT)
        publish(site, key, manifest, draft, Identity("1.2.3", "ADA", "", "20200101", "pacs"), RUN)
    held = site.catalog.latest(key, "raw")
    move(site, Move(held.product_id, key, "raw", held.bytes, "hot", "cold"), run=RUN)
    monkeypatch.setattr(Site, "open", lambda: site)
    return site


def test_a_study_in_the_archive_is_waited_for_and_then_read(
    archived: Site, make_context: MakeContext
) -> None:
    key = archived.pseudonyms.study_key("1.2.3")
    reads = _Reads(task_id="validate", study_key=key)
    before = timezone.utcnow()
    with pytest.raises(TaskDeferred) as deferral:
        reads.execute(make_context())
    assert deferral.value.trigger.moment - before >= timedelta(seconds=600)
    waiting = archived.catalog.timeline(key)[-1]
    assert (waiting.stage, waiting.state) == ("validate", "waiting")
    assert "recalled" in waiting.sentence
    resume = getattr(reads, deferral.value.method_name)
    assert resume(make_context()) == CONTENT, "the archive gave it back meanwhile"


def test_a_move_out_of_the_archive_waits_too(archived: Site, make_context: MakeContext) -> None:
    from operators.lifecycle import MoveProductOperator

    key = archived.pseudonyms.study_key("1.2.3")
    held = archived.catalog.latest(key, "raw")
    planned = Move(held.product_id, key, "raw", held.bytes, "cold", "hot")
    moves = MoveProductOperator(task_id="move", planned=planned.to_dict())
    with pytest.raises(TaskDeferred):
        moves.execute(make_context())
    moves.resume(make_context())
    assert archived.catalog.latest(key, "raw").tier == "hot"
