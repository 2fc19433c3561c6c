"""Stages from one folder to another."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hounsfield.cli.opening import open_pseudonyms, open_settings, open_site
from hounsfield.cli.terminal import FOLDER, JSON, NEW, progress, refuse, say
from hounsfield.records import counted

__all__ = ["chunk", "infer", "phantom", "validate"]

_COUNT = click.IntRange(min=0)


@click.command()
@click.argument("destination", type=NEW)
@click.option(
    "--studies", type=_COUNT, default=6, show_default=True, help="How many without a flaw."
)
@click.option("--seed", type=_COUNT, default=0, show_default=True, help="Equal seeds, equal bytes.")
@click.option(
    "--hard-cases/--no-hard-cases",
    default=True,
    show_default=True,
    help="Also a missing slice, a cut file, burned-in names, and the like.",
)
@JSON
def phantom(destination: Path, studies: int, seed: int, hard_cases: bool, as_json: bool) -> None:
    """Write CT chest studies of patients that do not exist, with the truth about them.

    \b
    Example:
      hounsfield phantom studies/ --studies 3 --seed 7
    """
    from hounsfield.phantom import write_phantoms

    with progress("Writing", as_json) as advance:
        report = write_phantoms(
            destination,
            seed=seed,
            studies=studies,
            hard_cases=hard_cases,
            progress=lambda done, total, _: advance(done, total),
        )
    written = counted(len(report.studies), "study")
    say(as_json, report.to_dict(), f"Wrote {written} to {destination}.")


@click.command()
@click.argument("source", type=FOLDER)
@click.option("--docs", type=NEW, help="Folder for a report page of each study.")
@JSON
def validate(source: Path, docs: Path | None, as_json: bool) -> None:
    """Prove that each study under SOURCE is whole and sound.

    \b
    Example:
      hounsfield validate studies/ --docs reports/
    """
    from hounsfield.quality.validation import validate_folder

    suites = open_settings().configs / "quality"
    key = open_pseudonyms().study_key
    reports = []
    with progress("Validating", as_json) as advance:
        for report in validate_folder(source, suites=suites, study_key=key, docs=docs):
            reports.append(report)
            advance(len(reports), None)
    if as_json:
        click.echo(json.dumps([report.to_dict() for report in reports], indent=1))
    else:
        for report in reports:
            click.echo(f"{report.study_key}  {report.outcome}")
            for problem in (*report.errors, *report.warnings):
                click.echo(f"  {problem}")
    if not any(report.instances for report in reports):
        refuse("there is no DICOM file to validate")
    refused = [report for report in reports if report.errors]
    if refused:
        refuse(f"{len(refused)} of {len(reports)} studies are refused: {refused[0].reason}")


@click.command()
@click.argument("source", type=FOLDER)
@click.argument("destination", type=NEW)
@JSON
def chunk(source: Path, destination: Path, as_json: bool) -> None:
    """Lay each series under SOURCE that is a volume out as OME-Zarr under DESTINATION.

    How, and on how many workers, configs/site.yaml says under volumes.

    \b
    Example:
      hounsfield chunk clean/ volumes/
    """
    from hounsfield.volume import chunk_folder

    with progress("Chunking", as_json) as advance:
        report = chunk_folder(
            source, destination, progress=advance, settings=open_settings().site.volumes
        )
    volumes = [entry for entry in report["series"].values() if entry["volume"]]
    say(
        as_json,
        report,
        f"{counted(len(volumes), 'volume')} of {len(report['series'])} series; see "
        f"{destination / 'report.json'}.",
    )
    if not volumes:
        refuse("no series makes a volume: see report.json for each reason")


@click.command()
@click.argument("source", type=FOLDER)
@click.argument("destination", type=NEW)
@click.option("--model", default="lung_density", show_default=True, help="A bundle of models/.")
@click.option("--version", "alias", default="champion", show_default=True, help="MLflow alias.")
@JSON
def infer(source: Path, destination: Path, model: str, alias: str, as_json: bool) -> None:
    """Run a model on each series under SOURCE that is a volume. Not for diagnostic use.

    DESTINATION gets a folder for each: the prediction, its mask, a picture, the SR and the
    SEG. These bear the patient of SOURCE.

    \b
    Example:
      hounsfield infer clean/ results/ --model lung_density
    """
    from hounsfield.stages.infer_folder import infer_folder

    with progress("Inferring", as_json) as advance:
        report = infer_folder(
            open_site(), source, destination, model=model, alias=alias, progress=advance
        )
    done = [entry for entry in report["series"].values() if entry["summary"]]
    lines = [
        f"{key}  {told['summary'] or told['reason']}" for key, told in report["series"].items()
    ]
    say(as_json, report, "\n".join(lines))
    if not done:
        refuse("no series gave a prediction")
