"""A scripted storage and Q/R SCP in this process: for what real servers do too rarely."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, build_context, evt
from pynetdicom.sop_class import (
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from hounsfield.pacs import DimseClient, DimsePeer, MoveDestination, Timeouts
from tests.ports import free_port

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
FIND = StudyRootQueryRetrieveInformationModelFind
GET = StudyRootQueryRetrieveInformationModelGet
MOVE = StudyRootQueryRetrieveInformationModelMove
# Long: where all cores are busy, even this process may be kept waiting for seconds.
TIMEOUTS = Timeouts(connect=5, associate=20, message=20, idle=60)


@dataclass
class FakePacs:
    """What it holds, what it offers, and how it answers a C-STORE."""

    instances: list[Dataset] = field(default_factory=list)
    models: Sequence[str] = (FIND, GET, MOVE)
    storage: dict[str, list[str]] = field(default_factory=lambda: {CTImageStorage: [EXPLICIT]})
    answer: Callable[[evt.Event], int | Dataset] = lambda event: 0x0000
    received: list[tuple[Dataset, str]] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    move_port: int = field(default_factory=free_port)

    def client(self, **changes: Any) -> DimseClient:
        settings: dict[str, Any] = {
            "ae_title": "FAKE",
            "host": "127.0.0.1",
            "port": self.port,
            "timeouts": TIMEOUTS,
            "move": MoveDestination("HFMOVE", self.move_port),
        }
        return DimseClient(DimsePeer(**{**settings, **changes}))

    @contextmanager
    def running(self) -> Iterator[FakePacs]:
        entity = AE("FAKE")
        entity.add_supported_context(Verification)
        for model in self.models:
            entity.add_supported_context(model)
        for uid, syntaxes in self.storage.items():
            entity.add_supported_context(uid, syntaxes, scu_role=True, scp_role=True)
        handlers = [
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_C_GET, self._get),
            (evt.EVT_C_MOVE, self._move),
            (evt.EVT_C_STORE, self._store),
        ]
        server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        try:
            yield self
        finally:
            server.shutdown()

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        query = event.identifier
        for instance in self.instances:
            answer = Dataset()
            answer.QueryRetrieveLevel = query.QueryRetrieveLevel
            for element in query:
                if element.keyword != "QueryRetrieveLevel" and element.keyword in instance:
                    answer[element.keyword] = instance[element.keyword]
            yield 0xFF00, answer

    def _get(self, event: evt.Event) -> Iterator[Any]:
        yield len(self.instances)
        for instance in self.instances:
            yield 0xFF00, instance

    def _move(self, event: evt.Event) -> Iterator[Any]:
        classes = {str(instance.SOPClassUID) for instance in self.instances}
        contexts = [
            build_context(uid, syntax)
            for uid in classes
            for syntax in self.storage.get(uid, [EXPLICIT])
        ]
        yield "127.0.0.1", self.move_port, {"contexts": contexts}
        yield len(self.instances)
        for instance in self.instances:
            yield 0xFF00, instance

    def _store(self, event: evt.Event) -> int | Dataset:
        self.received.append((event.dataset, str(event.context.transfer_syntax)))
        return self.answer(event)
