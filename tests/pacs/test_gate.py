from __future__ import annotations

import threading

from hounsfield.pacs.gate import ReactorGate


class Reactor(threading.Thread):
    """Counts its rounds, as pynetdicom's reactor makes them."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.gate = ReactorGate(self)
        self.rounds = 0
        self.ended = False

    def run(self) -> None:
        while not self.ended:
            self.gate.wait()
            self.rounds += 1


def test_a_closed_gate_lets_no_round_begin() -> None:
    reactor = Reactor()
    reactor.start()
    for _ in range(2000):
        reactor.gate.clear()
        before = reactor.rounds
        for _ in range(20):
            pass
        assert reactor.rounds == before
        reactor.gate.set()
    reactor.ended = True
    reactor.join(30)
    assert not reactor.is_alive()


def test_a_reactor_that_has_ended_is_not_waited_for() -> None:
    reactor = Reactor()
    reactor.ended = True
    reactor.start()
    reactor.join(30)
    reactor.gate.clear()
    assert not reactor.gate.is_set()


def test_a_reactor_may_close_its_own_gate() -> None:
    gates: list[bool] = []

    class Selfish(Reactor):
        def run(self) -> None:
            self.gate.clear()
            gates.append(self.gate.is_set())

    reactor = Selfish()
    reactor.start()
    reactor.join(30)
    assert gates == [False]
