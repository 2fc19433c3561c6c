"""``python -m operators.local``: what the Makefile's targets call."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hounsfield.errors import HounsfieldError
from operators.local.installation import ROOT, USERS, Installation
from operators.local.services import ServiceError, Services

# A table needs its width where no terminal gives one, as in a CI log.
console = Console(width=None if sys.stdout.isatty() else 160)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """All services of Hounsfield on this machine."""


@main.command()
def up() -> None:
    """Start the services; they go on running."""
    installation = Installation()
    _start(installation)
    _say_where(installation)


@main.command()
def down() -> None:
    """Stop the services; what they wrote stays."""
    stopped = Services(Installation()).stop()
    console.print(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.")


@main.command()
def env() -> None:
    """Print what a shell must know to speak with this installation."""
    installation = Installation()
    bins = f"{Path(sys.executable).parent}{os.pathsep}$PATH"
    for name, value in sorted(installation.environment.items()):
        if name.startswith(("AIRFLOW", "HOUNSFIELD", "MLFLOW", "PYTHON")):
            click.echo(f"export {name}={shlex.quote(value)}")
    click.echo(f'export PATH="{bins}"')


@main.command()
def clean() -> None:
    """Stop the services and forget everything they wrote, the key too."""
    installation = Installation()
    Services(installation).stop()
    shutil.rmtree(installation.home, ignore_errors=True)
    console.print("Forgotten.")


@main.command()
@click.option("--dicom", type=click.Path(exists=True, path_type=Path), help="Your own studies.")
def demo(dicom: Path | None) -> None:
    """Run the main job, end to end, and print what happened."""
    installation = Installation()
    _start(installation)
    os.environ.update(installation.environment)

    from operators.local.demo import Demonstration, Outcome

    with console.status("starting") as status:

        def say(step: str) -> None:
            if step != status.status:
                status.update(step)
                if not console.is_terminal:
                    console.print(f"· {step}")

        try:
            outcome = Demonstration(installation, dicom=dicom, say=say).run()
        except (RuntimeError, TimeoutError, HounsfieldError) as error:
            console.print(f"[red]The demonstration did not end well:[/red] {error}")
            sys.exit(1)
    _print(outcome)
    _say_where(installation, outcome)
    sys.exit(0 if isinstance(outcome, Outcome) and outcome.is_good else 1)


def _start(installation: Installation) -> None:
    services = Services(installation)
    with console.status("setting up") as status:

        def say(what: str) -> None:
            status.update(what)
            if not console.is_terminal:
                console.print(f"· {what}")

        try:
            services.set_up(lambda what: say(f"preparing {what}"))
            services.start(lambda what: say(f"starting {what}"))
        except ServiceError as error:
            console.print(f"[red]{error}[/red]")
            sys.exit(1)


def _print(outcome) -> None:  # type: ignore[no-untyped-def]
    table = Table(title="What happened", show_lines=True)
    for name in ("study", "outcome", "stages (seconds)", "total", "finding", "results"):
        table.add_column(name, overflow="fold", no_wrap=name in ("study", "outcome"))
    for study in outcome.studies:
        stages = ", ".join(
            f"{stage} {seconds:.1f}" + ("" if state == "done" else f" [{state}]")
            for stage, (state, seconds) in study.stages.items()
        )
        told = "\n".join(study.findings) if study.state == "reported" else study.reason
        found = f"{study.in_pacs} of {study.results} in the PACS" if study.results else "–"
        mark = "✓" if study.is_good else "✗"
        total = f"{study.seconds:.0f} s"
        row = (study.study_key, f"{mark} {study.state}", stages, total, told, found)
        table.add_row(*map(escape, row))  # UCUM units and states stand in brackets too
    console.print(table)
    for reason, count in outcome.refused.items():
        console.print(f"Not sent: {count} ({reason})", markup=False)
    good = sum(study.is_good for study in outcome.studies)
    console.print(
        f"{outcome.sent} objects sent; {good} of {len(outcome.studies)} studies ended as they "
        f"should, in {outcome.seconds:.0f} s. Not for diagnostic use."
    )


def _say_where(installation: Installation, outcome=None) -> None:  # type: ignore[no-untyped-def]
    ports, passwords = installation.ports, installation.passwords
    console.print(f"Airflow     http://127.0.0.1:{ports.airflow}")
    for user, role in USERS.items():
        console.print(f"            {user} / {passwords[user]}  ({role})")
    console.print(f"MLflow      http://127.0.0.1:{ports.mlflow}")
    console.print(f"PACS        AE title PACS on 127.0.0.1:{ports.pacs}")
    if outcome is not None:
        report = installation.home / "docs" / "index.html"
        console.print(f"Validation  {_shown(report)}")
        if outcome.picture is not None:
            console.print(f"A finding   {_shown(outcome.picture)}")
    console.print("Stop with: make down")


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


if __name__ == "__main__":
    main()
