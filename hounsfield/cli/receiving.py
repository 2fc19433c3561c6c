"""The receiver, until it is stopped."""

from __future__ import annotations

from typing import Any

import click

from hounsfield.cli.opening import open_site
from hounsfield.cli.terminal import NEW

__all__ = ["receive"]

_PORT = click.IntRange(1, 65535)


@click.command()
@click.option("--port", type=_PORT, help="To listen on.")
@click.option("--bind", metavar="ADDRESS", help="Of ours, to listen on.")
@click.option("--ae-title", help="Ours; a peer that calls another is rejected.")
@click.option(
    "--allow", multiple=True, metavar="AE", help="Calling AE title to accept; may be given again."
)
@click.option(
    "--landing", type=NEW, metavar="DIR", help="Where instances wait for their study (PHI)."
)
@click.option("--processes", type=click.IntRange(1, 64), help="How many take instances.")
@click.option(
    "--quiet-seconds",
    type=click.FloatRange(min=0),
    help="A study is taken when nothing more of it came for so long.",
)
@click.option(
    "--retry-seconds",
    type=click.FloatRange(min=0.1),
    help="First pause after a failure; it doubles up to 10 minutes.",
)
@click.option("--source", help="Source in configs/sources.yaml that results go back to.")
def receive(**options: Any) -> None:
    """Take studies that are pushed to us (C-STORE), and tell Airflow, until stopped.

    What is not given is as configs/receiver.yaml says. An instance is on the disk before its
    sender is told of success. Airflow is told where HOUNSFIELD_AIRFLOW_URL is set, with
    HOUNSFIELD_AIRFLOW_TOKEN, or HOUNSFIELD_AIRFLOW_USER and HOUNSFIELD_AIRFLOW_PASSWORD; a
    study that it could not be told of, it is told of later.

    Where the landing folder goes away it ends, with exit code 1, for a supervisor to start it
    again. One that is not there is made: have its disk mounted before.

    \b
    Example:
      HOUNSFIELD_AIRFLOW_URL=http://127.0.0.1:8080 HOUNSFIELD_AIRFLOW_TOKEN=… \\
        hounsfield receive --port 11113 --ae-title HOUNSFIELD
    """
    import os
    import signal
    import threading

    from hounsfield.settings import ReceiverSettings
    from hounsfield.stages.announce import Airflow
    from hounsfield.stages.receive import log_to_terminal
    from hounsfield.stages.receive import receive as serve

    log_to_terminal()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    site = open_site()
    options["calling_ae_titles"] = options.pop("allow")
    settings = ReceiverSettings.load(site.settings).but(**options)
    serve(site, settings, airflow=Airflow.from_environment(os.environ), stop=stop)
