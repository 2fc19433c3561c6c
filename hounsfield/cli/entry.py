"""The group of all commands, which nothing gets out of but one line."""

from __future__ import annotations

import logging
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from hounsfield.cli import deid, folders, receiving, studies, upkeep
from hounsfield.cli.terminal import refuse
from hounsfield.errors import HounsfieldError, InternalError

__all__ = ["main"]


class Refusing(click.Group):
    """Turns every refusal, and every fault of ours, into one line and exit code 1."""

    def invoke(self, context: click.Context) -> Any:
        try:
            with _ending_in_order():
                return super().invoke(context)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise  # click's own business
        except HounsfieldError as error:
            refuse(str(error))
        except OSError as error:  # its message names a file, which may be named for a patient
            refuse(
                f"the disk refuses: {error.strerror or type(error).__name__} (see the space and "
                "the permissions of the folders)"
            )
        except Exception as error:  # its message may quote a patient
            refuse(str(InternalError.of(error)))


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """Lets whoever is told to end clean up first, as Ctrl+C does: drafts may name a patient."""
    ours = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is signal.SIG_DFL
    ]
    for number in ours:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)


@click.group(cls=Refusing, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hounsfield")
def main() -> None:
    """The pipeline around a medical imaging model. Not a medical device.

    Exit codes: 0 when done, 1 for a refusal, 2 for wrong usage.

    \b
    Example:
      hounsfield phantom studies/
      hounsfield deidentify studies/ clean/
    """
    # What libraries say may quote a patient, and machines read what is printed here.
    logging.getLogger().addHandler(logging.NullHandler())
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


for _command in (
    upkeep.setup,
    upkeep.rotate_key,
    upkeep.orphans,
    folders.phantom,
    folders.validate,
    folders.chunk,
    folders.infer,
    deid.deidentify,
    deid.score_deid,
    deid.certificate,
    deid.method_statement,
    studies.export,
    studies.hold,
    studies.lineage,
    receiving.receive,
):
    main.add_command(_command)
