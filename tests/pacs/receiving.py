"""A receiver on a port of its own, and senders that do what no library would."""

from __future__ import annotations

import socket
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, Association, build_context, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu import A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import PresentationContext

from hounsfield.pacs.counters import Tally
from hounsfield.pacs.inbox import Inbox
from hounsfield.pacs.receive import listening
from hounsfield.settings import ReceiverSettings
from tests.pacs.studies import CANARY

CT, EXPLICIT = str(CTImageStorage), str(ExplicitVRLittleEndian)
DEFLATED = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205")
UID = "1.2.3"  # of the instance that is sent where none is named


def study_key(uid: str) -> str:
    return f"st-{zlib.crc32(uid.encode())}"


def until(done: Callable[[], object], seconds: float = 20) -> None:
    """Waits for what another thread is about to do."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


def settings_of(landing: Path, port: int, **given: Any) -> ReceiverSettings:
    own = {"bind": "127.0.0.1", "ae_title": "HOUNSFIELD", **given}
    return ReceiverSettings(port=port, landing=landing, **own)


@dataclass
class Receiver:
    """One that listens."""

    inbox: Inbox
    port: int
    tally: Tally = field(default_factory=Tally)

    def landed(self) -> list[Path]:
        return [path for key in self.inbox.studies() for path in self.inbox.landed(key)]

    def halves(self) -> list[Path]:
        return list((self.inbox.root / ".incoming").iterdir())

    def refused(self, reason: str) -> int:
        return self.tally.get("refusals", reason)

    def is_well(self) -> bool:
        """Whether it takes an instance as ever."""
        association = associate(self.port, (CT, EXPLICIT))
        if not association.is_established:
            return False
        status = send(association, encoded(EXPLICIT, SOPInstanceUID="9.9.9"), uid="9.9.9")
        association.release()
        return status == 0


@contextmanager
def receiving(folder: Path, port: int, handlers: Any = (), **given: Any) -> Iterator[Receiver]:
    with Inbox(folder / "landing") as inbox:
        receiver = Receiver(inbox, port)
        with listening(
            inbox,
            settings_of(inbox.root, port, **given),
            study_key=study_key,
            tally=receiver.tally,
            handlers=handlers,
        ):
            yield receiver


def associate(
    port: int,
    *contexts: tuple[str, str],
    called: str = "HOUNSFIELD",
    calling: str = "MODALITY",
    evt_handlers: Sequence[tuple[Any, ...]] = (),
    **options: Any,
) -> Association:
    asked = [build_context(uid, [syntax]) for uid, syntax in contexts]
    answers: list[type] = []
    note = (evt.EVT_PDU_RECV, lambda event: answers.append(type(event.pdu)))
    handlers = [note, *evt_handlers]
    association = AE(calling).associate(
        "127.0.0.1", port, contexts=asked, ae_title=called, evt_handlers=handlers, **options
    )
    # On busy cores pynetdicom's requestor finds the connection closed before it looks why.
    association.is_rejected = association.is_rejected or A_ASSOCIATE_RJ in answers
    return association


def send(
    association: Association,
    body: bytes | None,
    syntax: str = EXPLICIT,
    uid: str = UID,
    sop_class: str = CT,
) -> int:
    """Sends bytes as they are, which pynetdicom's own sender would not."""
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = sop_class, uid or None
    request.DataSet = None if body is None else BytesIO(body)
    (context,) = [
        c
        for c in association.accepted_contexts
        if c.transfer_syntax[0] == syntax and c.abstract_syntax == sop_class
    ]
    association._reactor_checkpoint.clear()  # Its thread would take the answer.
    while not association._is_paused:
        time.sleep(0.001)
    association.dimse.send_msg(request, context.context_id)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    return int(answer.Status)


def encoded(syntax: str = EXPLICIT, **attributes: Any) -> bytes:
    """A data set of a made-up patient. None leaves an attribute out."""
    dataset = Dataset()
    dataset.StudyDate, dataset.Modality, dataset.PatientName = "20260301", "CT", CANARY
    given = {"SOPInstanceUID": UID, "StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.2.1"}
    for name, value in (given | attributes).items():
        if value is not None:
            setattr(dataset, name, value)
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = syntax == "1.2.840.10008.1.2"
    buffer.is_little_endian = syntax != "1.2.840.10008.1.2.2"
    write_dataset(buffer, dataset)
    body = buffer.getvalue()
    if syntax in DEFLATED:
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body = deflate.compress(body) + deflate.flush()
    return body


def association_request(
    called: str = "HOUNSFIELD", calling: str = "MODALITY", sop_class: str = CT
) -> bytes:
    """An A-ASSOCIATE-RQ as bytes, with one context, number 1."""
    longest, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    longest.maximum_length_received = 16384
    implementation.implementation_class_uid = "1.2.3.4"
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = calling, called
    primitive.user_information = [longest, implementation]
    context: PresentationContext = build_context(sop_class, [EXPLICIT])
    context.context_id = 1
    primitive.presentation_context_definition_list = [context]
    return bytes(A_ASSOCIATE_RQ(primitive).encode())


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def established(port: int) -> socket.socket:
    """A connection whose association is accepted."""
    connection = connected(port)
    connection.sendall(association_request())
    assert answer(connection) == 0x02
    return connection


def answer(connection: socket.socket) -> int | None:
    """The type of the next PDU; None where the connection was closed."""
    try:
        head = connection.recv(6, socket.MSG_WAITALL)
        if len(head) < 6:
            return None
        connection.recv(int.from_bytes(head[2:], "big"), socket.MSG_WAITALL)
    except ConnectionError:
        return None
    return head[0]


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    """A PDU, which may lie about its length."""
    claimed = len(body) if length is None else length
    return bytes((kind, 0)) + claimed.to_bytes(4, "big") + body


def value(control: int, body: bytes, context_id: int = 1, length: int | None = None) -> bytes:
    """A presentation data value, which may lie about its length."""
    claimed = len(body) + 2 if length is None else length
    return claimed.to_bytes(4, "big") + bytes((context_id, control)) + body
