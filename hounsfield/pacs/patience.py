"""How long an answer is waited for: as long as anything moves, and a while more.

pynetdicom's time-out of a message (seen in 3.0.4) runs while that message comes, while what it
answers is still being sent, and, at a C-MOVE, while instances come to us elsewhere: a large
instance on a slow line would never get through, however steadily it moves.
"""

from __future__ import annotations

import queue
import time
from contextlib import suppress
from typing import Any

from pynetdicom import Association, evt
from pynetdicom.dimse import DIMSEServiceProvider

__all__ = ["Pulse", "wait_while_it_beats"]


class Pulse:
    """When a PDU moved last, on any of the associations that have its handlers."""

    def __init__(self) -> None:
        self.last = time.monotonic()
        self.handlers = ((evt.EVT_DATA_SENT, self._beat), (evt.EVT_DATA_RECV, self._beat))

    def _beat(self, event: evt.Event) -> None:
        self.last = time.monotonic()


def wait_while_it_beats(association: Association, pulse: Pulse) -> None:
    """Lets the message time-out begin with the last beat; before the first message is sent."""
    association.dimse = _Patient(association, pulse)


class _Patient(DIMSEServiceProvider):  # type: ignore[misc]  # pynetdicom has no types
    def __init__(self, association: Association, pulse: Pulse) -> None:
        super().__init__(association)
        self._pulse = pulse

    def get_msg(self, block: bool = False) -> tuple[Any, Any]:
        if not block:
            return super().get_msg()
        began = time.monotonic()
        while (left := self.dimse_timeout + max(began, self._pulse.last) - time.monotonic()) > 0:
            with suppress(queue.Empty):
                return self.msg_queue.get(timeout=left)
        return None, None
