"""A study whose results are built and wait to be delivered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import evt
from sqlalchemy import select, update

from hounsfield.catalog.models import Delivery, Event, QuarantineItem, Study
from hounsfield.records import RunContext
from hounsfield.results import build_seg, build_sr, part10
from hounsfield.settings import DestinationSettings, SourceSettings
from hounsfield.site import Site
from hounsfield.stages.confirm import confirm
from hounsfield.stages.deliver import deliver
from hounsfield.stages.produce import Recipe, produce
from hounsfield.vault import Identity
from tests.pacs.fake import EXPLICIT, TIMEOUTS, FakePacs
from tests.results.made_up import UID, WHEN, labels, predict, stack

Answer = Callable[[evt.Event], "int | Dataset"]
KEY = "st-a"
RUN = RunContext(actor="airflow", dag_id="infer", run_id="r1", task_id="write_back")
#: Of the made-up patient, who is in the objects: no log, no catalog may have it.
NAME = "Kestrel"


@cache
def objects() -> Mapping[str, bytes]:
    """An SR and its SEG, by kind, as files."""
    seg = build_seg(predict(), labels(), stack(), uid=UID, when=WHEN)
    assert seg is not None
    report = build_sr(predict(), labels(), stack(), seg, uid=UID, when=WHEN)
    return {"seg": part10(seg), "sr": part10(report)}


STUDY = str(stack()[0].StudyInstanceUID)


@dataclass
class Outbox:
    """The product, where it goes, and what was written down about it."""

    site: Site
    product_id: str

    @classmethod
    def of(cls, site: Site) -> Outbox:
        """With an SR and a SEG."""
        site.catalog.put(Study(study_key=KEY, patient_key="pt-a"))
        site.vault.put(KEY, "pt-a", Identity(STUDY, "", "", "20240430", "scanner"), run=RUN)
        recipe = Recipe("objects", "results", KEY, "d" * 64, (), {"prediction_id": "pr-7"})

        def build(draft: Path) -> dict[str, Any]:
            for kind, content in objects().items():
                (draft / f"{kind}.dcm").write_bytes(content)
            return {}

        product, _ = produce(site, recipe, build, run=RUN)
        return cls(site, product.product_id)

    def to(self, peer: Mapping[str, Any], **settings: Any) -> Outbox:
        """The same, opened anew, as after a restart, with a destination of these settings."""
        source = SourceSettings(peer=dict(peer), results="archive")
        archive = DestinationSettings(peer=dict(peer), **settings)
        changes = {"sources": {"scanner": source}, "destinations": {"archive": archive}}
        return Outbox(Site(self.site.settings.model_copy(update=changes)), self.product_id)

    def deliver(self) -> dict[str, Any]:
        return deliver(self.site, KEY, self.product_id, run=RUN)

    def confirm(self) -> dict[str, Any]:
        return confirm(self.site, KEY, self.product_id, run=RUN)

    def pass_time(self, seconds: float) -> None:
        """As if the present row of tries had begun so much earlier."""
        with self.site.catalog.write() as session:
            for row in session.scalars(select(Delivery)):
                if row.trying_since:
                    earlier = row.trying_since - timedelta(seconds=seconds)
                    same = update(Delivery).where(Delivery.id == row.id)
                    session.execute(same.values(trying_since=earlier))

    @property
    def rows(self) -> dict[str, Delivery]:
        """By kind; one each, or this fails."""
        rows = self.site.catalog.deliveries(KEY)
        by_kind = {row.kind: row for row in rows}
        assert len(by_kind) == len(rows)
        return by_kind

    @property
    def states(self) -> dict[str, str]:
        return {kind: row.state for kind, row in self.rows.items()}

    @property
    def attempts(self) -> dict[str, int]:
        return {kind: row.attempts for kind, row in self.rows.items()}

    @property
    def refusals(self) -> list[QuarantineItem]:
        return list(self.site.catalog.all(select(QuarantineItem)))

    @property
    def told(self) -> list[Event]:
        return list(self.site.catalog.timeline(KEY))


@cache
def kinds() -> Mapping[str, str]:
    """SOPClassUID → kind."""
    headers = {kind: dcmread(BytesIO(content)) for kind, content in objects().items()}
    return {str(header.SOPClassUID): kind for kind, header in headers.items()}


def scripted(answer: Answer = lambda event: 0x0000) -> FakePacs:
    """A PACS that answers as the script says, and lists nothing."""
    return FakePacs(storage={uid: [EXPLICIT] for uid in kinds()}, answer=answer)


def by_kind(**answers: Iterable[int | Dataset]) -> Answer:
    """Answers to each SR and each SEG, one after the other; then success."""
    scripts = {kind: iter(script) for kind, script in answers.items()}

    def answer(event: evt.Event) -> int | Dataset:
        kind = kinds()[str(event.request.AffectedSOPClassUID)]
        return next(scripts.get(kind, iter(())), 0x0000)

    return answer


def received(pacs: FakePacs) -> list[str]:
    """The kinds that it was sent, in order."""
    return [kinds()[str(dataset.SOPClassUID)] for dataset, _ in pacs.received]


def peer_of(pacs: FakePacs) -> dict[str, Any]:
    return {
        "ae_title": "FAKE",
        "host": "127.0.0.1",
        "port": pacs.port,
        "timeouts": asdict(TIMEOUTS),
    }
