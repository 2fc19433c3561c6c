"""A remedy for a race in pynetdicom (seen in 3.0.4) that loses messages.

An association has a reactor thread, which takes whatever message is in the queue and, at the
requestor's side, throws unexpected ones away. Each ``send_*`` pauses it first: it clears an
event and looks at a flag. But the reactor raises that flag *before* it looks at the event; so
it may be taken for paused, go on, and then take the very response that is waited for. On a
busy machine this loses C-FIND answers without a word, and a C-STORE seems never answered.

A second one of the same kind: the thread that serves an N-EVENT-REPORT lowers the flag when it
is done, though the reactor waits. Whoever looks for the flag then waits for ever. With the gate
the flag says nothing that is not known, so it is always up.
"""

from __future__ import annotations

import threading

from pynetdicom import Association

__all__ = ["ReactorGate", "guard"]

_CHECK_SECONDS = 0.05


def guard(association: Association) -> None:
    """Puts the gate where pynetdicom has its event; before the first message is sent."""
    association._reactor_checkpoint = ReactorGate(association)
    association.__class__ = _Guarded


class _Guarded(Association):  # type: ignore[misc]  # pynetdicom has no types
    @property
    def _is_paused(self) -> bool:
        return True

    @_is_paused.setter
    def _is_paused(self, value: bool) -> None: ...


class ReactorGate:
    """Like an event, but `clear` returns only when the reactor stands still before it.

    Parameters
    ----------
    reactor
        The thread that waits here; pynetdicom's associations are their own reactors.
    """

    def __init__(self, reactor: threading.Thread) -> None:
        self._reactor = reactor
        self._change = threading.Condition()
        self._is_open = True
        self._is_parked = False

    def is_set(self) -> bool:
        return self._is_open

    def set(self) -> None:
        """Opens the gate."""
        with self._change:
            self._is_open = True
            self._is_parked = False
            self._change.notify_all()

    def clear(self) -> None:
        """Closes the gate, and waits for the reactor to come to it."""
        with self._change:
            self._is_open = False
            if threading.current_thread() is self._reactor:
                return
            while self._reactor.is_alive() and not self._is_parked and not self._is_open:
                self._change.wait(_CHECK_SECONDS)

    def wait(self) -> bool:
        """Called by the reactor, once a round; returns when the gate is open."""
        with self._change:
            while not self._is_open:
                self._is_parked = True
                self._change.notify_all()
                self._change.wait()
        return True
