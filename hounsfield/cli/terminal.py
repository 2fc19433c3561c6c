"""What commands take and how they answer: options, one line for a refusal, a bar."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click

from hounsfield.errors import ConfigError, NotFound

__all__ = ["FOLDER", "JSON", "NEW", "progress", "refuse", "say", "usage"]

FOLDER = click.Path(exists=True, path_type=Path)
NEW = click.Path(path_type=Path)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


def say(as_json: bool, told: Any, text: str) -> None:
    click.echo(json.dumps(told, indent=1, default=str) if as_json else text)


def refuse(reason: str, *, code: int = 1) -> NoReturn:
    click.echo(f"hounsfield: {' '.join(reason.split())}", err=True)
    sys.exit(code)


@contextmanager
def usage(option: str) -> Iterator[None]:
    """An option that names nothing is wrong usage, not a refusal."""
    try:
        yield
    except (ConfigError, NotFound) as error:
        raise click.BadParameter(str(error), param_hint=option) from None


@contextmanager
def progress(what: str, as_json: bool) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on standard error; nothing where it is no terminal, or where JSON is asked for."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, quiet=as_json)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
