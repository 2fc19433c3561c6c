"""Whether a receiver grows when it refuses: 100,000 associations with a wrong AE title.

Of the real process; takes minutes. ``python -m tests.bench.refusals [times]``
"""

from __future__ import annotations

import sys
import tempfile
import threading

import psutil

from hounsfield.settings import Settings
from hounsfield.site import Site
from tests.bench.receive import ENVIRON, running
from tests.pacs.receiving import answer, association_request, connected
from tests.ports import free_port

SENDERS = 4
REJECTED = 0x03


def main() -> None:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as home:
        Site(Settings.load({"HOUNSFIELD_HOME": home})).set_up()
        environ = {**ENVIRON, "HOUNSFIELD_HOME": home, "HOUNSFIELD_RECEIVER_METRICS_PORT": "0"}
        port = free_port()
        command = [sys.executable, "-m", "hounsfield.cli", "receive", "--port", str(port)]
        with running(command, environ, port):
            (receiver,) = [
                child for child in psutil.Process().children() if str(port) in child.cmdline()
            ]
            for done in range(0, times + 1, times // 10):
                if done:
                    refuse(port, times // 10)
                told = f"{done:7} refused: {receiver.memory_info().rss >> 20} MiB resident, "
                told += f"{receiver.num_fds()} descriptors, {receiver.num_threads()} threads"
                print(told, flush=True)


def refuse(port: int, times: int) -> None:
    wrong = association_request(called="NOBODY")

    def call() -> None:
        for _ in range(times // SENDERS):
            with connected(port) as connection:
                connection.sendall(wrong)
                if answer(connection) != REJECTED:
                    raise RuntimeError("it was not rejected")

    callers = [threading.Thread(target=call) for _ in range(SENDERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()


if __name__ == "__main__":
    main()
