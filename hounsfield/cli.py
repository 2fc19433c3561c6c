"""``hounsfield``: every stage without Airflow, for a person at a terminal.

Exit codes: 0 when done, 1 for a refusal (its reason on one line), 2 for wrong usage, 3 where
``deidentify`` is done but for some files.
"""

from __future__ import annotations

import getpass
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click

from hounsfield.errors import ConfigError, HounsfieldError, InternalError, NotFound

__all__ = ["main"]

_FOLDER = click.Path(exists=True, path_type=Path)
_NEW = click.Path(path_type=Path)
_COUNT = click.IntRange(min=0)
_PORT = click.IntRange(1, 65535)
_PARTLY = 3  # exit code: done, but for some files
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


class Refusing(click.Group):
    """Turns every refusal, and every fault of ours, into one line and exit code 1."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise  # click's own business
        except HounsfieldError as error:
            _refuse(str(error))
        except OSError as error:  # its message names a file, which may be named for a patient
            _refuse(
                f"the disk refuses: {error.strerror or type(error).__name__} (see the space and "
                "the permissions of the folders)"
            )
        except Exception as error:  # its message may quote a patient
            _refuse(str(InternalError.of(error)))


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


@main.command()
@_JSON
def setup(as_json: bool) -> None:
    """Make the project key and the databases, or bring them up to date.

    \b
    Example:
      HOUNSFIELD_HOME=/data hounsfield setup
    """
    from hounsfield.site import Site
    from hounsfield.stages.train import register_untrained

    site = Site.open()
    site.set_up()
    labels = register_untrained(site)
    _say(as_json, {"registered": labels}, f"Ready. Registered: {', '.join(labels)}.")


@main.command(name="rotate-key")
@_JSON
def rotate_key(as_json: bool) -> None:
    """Add a new project key. Studies that are here keep theirs; new ones come under the new.

    \b
    Example:
      hounsfield rotate-key
    """
    from hounsfield.pseudonyms import rotate_key as rotate

    version = rotate(_settings().site.key_file)
    _say(
        as_json,
        {"version": version},
        f"Key {version} is in the key file. To use it, set key_version: {version} in "
        "configs/site.yaml and start the services again.",
    )


@main.command()
@click.argument("destination", type=_NEW)
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
@_JSON
def phantom(destination: Path, studies: int, seed: int, hard_cases: bool, as_json: bool) -> None:
    """Write CT chest studies of patients that do not exist, with the truth about them.

    \b
    Example:
      hounsfield phantom studies/ --studies 3 --seed 7
    """
    from hounsfield.phantom import write_phantoms

    with _progress("Writing", as_json) as advance:
        report = write_phantoms(
            destination,
            seed=seed,
            studies=studies,
            hard_cases=hard_cases,
            progress=lambda done, total, _: advance(done, total),
        )
    summary = {"destination": str(destination), "studies": len(report.studies)}
    _say(as_json, report.to_dict(), f"Wrote {summary['studies']} studies to {destination}.")


@main.command()
@click.argument("source", type=_FOLDER)
@click.option("--docs", type=_NEW, help="Folder for a report page of each study.")
@_JSON
def validate(source: Path, docs: Path | None, as_json: bool) -> None:
    """Prove that each study under SOURCE is whole and sound.

    \b
    Example:
      hounsfield validate studies/ --docs reports/
    """
    from hounsfield.quality.validation import validate_folder

    suites = _settings().configs / "quality"
    key = _pseudonyms().study_key
    reports = []
    with _progress("Validating", as_json) as advance:
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
        _refuse("there is no DICOM file to validate")
    refused = [report for report in reports if report.errors]
    if refused:
        _refuse(f"{len(refused)} of {len(reports)} studies are refused: {refused[0].reason}")


@main.command()
@click.argument("source", type=_FOLDER, required=False)
@click.argument("destination", type=_NEW, required=False)
@click.option("--profile", default="strict", show_default=True, help="Name, or a YAML file.")
@click.option("--pixels/--no-pixels", default=True, show_default=True, help="Burned-in text.")
@click.option("--gate/--no-gate", default=True, show_default=True, help="Look a second time.")
@click.option("--doubtful", type=_NEW, help="Folder for what the gate doubts; else it is dropped.")
@click.option("--explain", "tag", metavar="TAG", help="Tell which rule acts on TAG, and why.")
@_JSON
def deidentify(
    source: Path | None,
    destination: Path | None,
    profile: str,
    pixels: bool,
    gate: bool,
    doubtful: Path | None,
    tag: str | None,
    as_json: bool,
) -> None:
    """Write every readable DICOM file of SOURCE, de-identified, to DESTINATION.

    File names are pseudonymous too. DESTINATION gets a report.json that lists each input and
    its output, or the reason why there is none; it names the input files, so it must not travel
    with the output. The gate looks for what it knows of each patient in the output before that
    gets to DESTINATION, and writes a certificate for each study to DESTINATION/certificates. A
    study that it is in doubt about is withheld: --doubtful names a folder of its own for it, where
    a person can look at it.

    Exit codes: 0 when every file has its output, 3 when some have none (a DICOMDIR needs none),
    1 when none has or the gate is in doubt about a study, 2 for wrong usage.

    \b
    Example:
      hounsfield deidentify studies/ clean/ --profile research
      hounsfield deidentify --explain StudyDate
    """
    from hounsfield.deid import Profile, deidentify_folder, explain
    from hounsfield.stages.certify_folder import FolderCertifier

    with _usage("--profile"):
        rules = Profile.load(profile)
    if tag:
        with _usage("--explain"):
            explanation = explain(tag, rules, pixels=pixels)
        told = {name: getattr(explanation, name) for name in explanation.__slots__}
        return _say(as_json, told, str(explanation))
    if source is None or destination is None:
        raise click.UsageError("SOURCE and DESTINATION are needed, or --explain TAG")
    certifier = FolderCertifier(destination, rules, _pseudonyms(), pixels=pixels)
    with _progress("De-identifying", as_json) as advance:
        report = deidentify_folder(
            source,
            destination,
            profile=rules,
            pseudonyms=_pseudonyms(),
            pixels=pixels,
            progress=advance,
            gate=certifier if gate else None,
            doubtful=doubtful,
        )
    _say(
        as_json,
        json.loads(report.path.read_bytes()),
        f"{report.written} files written under {report.profile}, {report.refused} without output; "
        f"reasons in {report.path}.",
    )
    if certifier.doubtful:
        _refuse(
            f"the gate is in doubt about {len(certifier.doubtful)} of "
            f"{len(certifier.verdicts)} studies, which are withheld: look at their certificates, "
            "and with --doubtful FOLDER at their files"
        )
    if not report.written:
        _refuse("no file could be written: see report.json for each reason")
    if lost := sum(_is_lost(entry) for entry in report.files):
        _refuse(f"{lost} files have no output: see report.json for each reason", code=_PARTLY)


@main.command(name="score-deid")
@click.argument("key", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("source", type=_FOLDER)
@click.argument("cleaned", type=_FOLDER)
@click.option("--at-least", type=click.FloatRange(0, 1), default=0.999, show_default=True)
@_JSON
def score_deid(key: Path, source: Path, cleaned: Path, at_least: float, as_json: bool) -> None:
    """Score CLEANED, what deidentify made of SOURCE, by the answer KEY of whoever planted names.

    The ten actions are those of the MIDI-B benchmark. Failures name attributes, never values.

    \b
    Example:
      hounsfield deidentify planted/ clean/ --profile research
      hounsfield score-deid planted.json planted/ clean/
    """
    from hounsfield.deid import REPORT
    from hounsfield.deid.scoring import AnswerKey, score

    entries = _load_json(cleaned / REPORT)["files"]
    outputs = {entry["input"]: cleaned / entry["output"] for entry in entries if entry["output"]}
    found = score(AnswerKey.load(key), source, outputs, _pseudonyms())
    lines = [
        f"{name:17} {done:.1f} of {count}" for name, (done, count) in found.actions.items() if count
    ]
    lines += [
        f"  {failure.check.action} {failure.check.path} of {failure.check.instance}: "
        f"{failure.share:.0%}, {failure.reason}"
        for failure in found.failures
    ]
    _say(as_json, found.to_dict(), "\n".join([*lines, f"{found.share:.3%} of {found.total}"]))
    if found.share < at_least:
        _refuse(f"{found.share:.3%} of the checks are fulfilled, fewer than {at_least:.3%}")


@main.command()
@click.argument("source", type=_FOLDER)
@click.argument("destination", type=_NEW)
@_JSON
def chunk(source: Path, destination: Path, as_json: bool) -> None:
    """Lay each series under SOURCE that is a volume out as OME-Zarr under DESTINATION.

    How, and on how many workers, configs/site.yaml says under volumes.

    \b
    Example:
      hounsfield chunk clean/ volumes/
    """
    from hounsfield.volume import chunk_folder

    with _progress("Chunking", as_json) as advance:
        report = chunk_folder(
            source, destination, progress=advance, settings=_settings().site.volumes
        )
    volumes = [entry for entry in report["series"].values() if entry["volume"]]
    _say(
        as_json,
        report,
        f"{len(volumes)} volumes of {len(report['series'])} series; see "
        f"{destination / 'report.json'}.",
    )
    if not volumes:
        _refuse("no series makes a volume: see report.json for each reason")


@main.command()
@click.argument("source")
@click.argument("destination", type=_NEW)
@click.option("--dicom", is_flag=True, required=True, help="As DICOM; there is no other form yet.")
@click.option(
    "--from",
    "zone",
    type=click.Choice(["raw", "volumes"]),
    default="raw",
    show_default=True,
    help="Of a study: as it was received (PHI), or from its de-identified volumes.",
)
@click.option("--purpose", default="export", help="Why raw data are opened; for the audit trail.")
@_JSON
def export(
    source: str, destination: Path, dicom: bool, zone: str, purpose: str, as_json: bool
) -> None:
    """Write SOURCE, a study's key or a folder of volumes, as DICOM files to DESTINATION.

    From the raw zone each instance comes byte for byte as it was received. From volumes it
    comes with all its attributes and with equal pixels, uncompressed.

    \b
    Example:
      hounsfield export --dicom volumes/ series/
      hounsfield export --dicom st-k3v7c2m5x4qapz6b study/ --purpose "request 17"
    """
    from hounsfield.dicom.folders import check_apart
    from hounsfield.stages.export import export_raw, export_volumes_of
    from hounsfield.volume.export import export_volumes

    if Path(source).exists():
        check_apart(Path(source), destination)
        count = export_volumes(Path(source), destination)
    elif zone == "volumes":
        count = export_volumes_of(_site(), source, destination)
    else:
        count = export_raw(_site(), source, destination, run=_person(), purpose=purpose)
    summary = {"destination": str(destination), "instances": count}
    _say(as_json, summary, f"Wrote {count} instances to {destination}.")


@main.command()
@click.argument("source", type=_FOLDER)
@click.argument("destination", type=_NEW)
@click.option("--model", default="lung_density", show_default=True, help="A bundle of models/.")
@click.option("--version", "alias", default="champion", show_default=True, help="MLflow alias.")
@_JSON
def infer(source: Path, destination: Path, model: str, alias: str, as_json: bool) -> None:
    """Run a model on each series under SOURCE that is a volume. Not for diagnostic use.

    DESTINATION gets a folder for each: the prediction, its mask, a picture, the SR and the
    SEG. These bear the patient of SOURCE.

    \b
    Example:
      hounsfield infer clean/ results/ --model lung_density
    """
    from hounsfield.stages.infer_folder import infer_folder

    with _progress("Inferring", as_json) as advance:
        report = infer_folder(
            _site(), source, destination, model=model, alias=alias, progress=advance
        )
    done = [entry for entry in report["series"].values() if entry["summary"]]
    lines = [
        f"{key}  {told['summary'] or told['reason']}" for key, told in report["series"].items()
    ]
    _say(as_json, report, "\n".join(lines))
    if not done:
        _refuse("no series gave a prediction")


@main.command()
@click.argument("study_key")
@_JSON
def certificate(study_key: str, as_json: bool) -> None:
    """Print the de-identification certificate of a released study.

    \b
    Example:
      hounsfield certificate st-k3v7c2m5x4qapz6b
    """
    from hounsfield.evidence import Certificate
    from hounsfield.stages.produce import open_product

    site = _site()
    with open_product(site, site.catalog.latest(study_key, "deid")) as folder:
        found = Certificate.read(folder)
    _say(as_json, found.to_dict(), str(found))


@main.command()
@click.argument("key", required=False)
@click.option("--lift", metavar="NUMBER", type=click.IntRange(min=1), help="Lift this hold.")
@click.option("--why", default="", help="The matter, without any name; for the audit trail.")
@_JSON
def hold(key: str | None, lift: int | None, why: str, as_json: bool) -> None:
    """Put KEY, a study's or a patient's, on legal hold; lift a hold; or list those that stand.

    What is on hold is neither deleted nor moved, whatever a policy or an erasure asks for. A
    patient's hold is also on the studies that are still to come.

    \b
    Example:
      hounsfield hold pt-w2m6x7k4d3qz5vna --why "matter 17"
      hounsfield hold --lift 3 --why "matter 17 is closed"
      hounsfield hold
    """
    from hounsfield.stages.hold import lift_hold, set_hold

    if key and lift:
        raise click.UsageError("give a KEY to set a hold, or --lift a hold, not both")
    site = _site()
    if key:
        set_hold(site, key, why, run=_person())
    elif lift:
        lift_hold(site, lift, why, run=_person())
    names = ("id", "subject", "why", "set_by", "set_at")
    rows = [{name: getattr(row, name) for name in names} for row in site.catalog.holds()]
    lines = [
        f"{r['id']}  {r['subject']}  {r['why']} ({r['set_by']}, {r['set_at']:%F})" for r in rows
    ]
    _say(as_json, rows, "\n".join(lines) or "No legal hold stands.")


@main.command()
@_JSON
def orphans(as_json: bool) -> None:
    """List what lies in a zone or tier and no row names, and what is not where its row says.

    Nothing is deleted. What is on its way, in drafts and staging, is no orphan.

    \b
    Example:
      hounsfield orphans
    """
    from hounsfield.stages.orphans import find_orphans

    names = ("place", "what", "uri", "files", "bytes")
    rows = [{name: getattr(row, name) for name in names} for row in find_orphans(_site())]
    lines = [f"{row['place']}  {row['what']}  {row['uri']}  {row['bytes']} bytes" for row in rows]
    _say(as_json, rows, "\n".join([*lines, f"{len(rows)} orphans."]))


@main.command("method-statement")
@click.option("--html", "as_html", is_flag=True, help="A page instead of Markdown.")
def method_statement(as_html: bool) -> None:
    """Print how this project takes patients out of its images, for an ethics board.

    \b
    Example:
      hounsfield method-statement > method.md
    """
    from hounsfield.evidence import MethodStatement
    from hounsfield.stages.candidate import profile_of

    site = _site()
    keys = _pseudonyms()
    ours = site.settings.site
    statement = MethodStatement.of(ours.project, profile_of(site), keys, deface=ours.deface)
    click.echo(statement.to_html() if as_html else statement.to_markdown())


@main.command()
@click.argument("sop_instance_uid")
@_JSON
def lineage(sop_instance_uid: str, as_json: bool) -> None:
    """Follow an SR or SEG back: model, training set, volume, profile, raw manifest.

    \b
    Example:
      hounsfield lineage 2.25.181071609749557201928074680216194429023
    """
    from hounsfield.tracking.lineage import lineage as trace
    from hounsfield.tracking.tree import as_text

    found = trace(_site(), sop_instance_uid)
    _say(as_json, found.to_dict(), as_text(found))


@main.command()
@click.option("--port", type=_PORT, help="To listen on.")
@click.option("--bind", metavar="ADDRESS", help="Of ours, to listen on.")
@click.option("--ae-title", help="Ours; a peer that calls another is rejected.")
@click.option(
    "--allow", multiple=True, metavar="AE", help="Calling AE title to accept; may be given again."
)
@click.option(
    "--landing", type=_NEW, metavar="DIR", help="Where instances wait for their study (PHI)."
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
    site = _site()
    options["calling_ae_titles"] = options.pop("allow")
    settings = ReceiverSettings.load(site.settings).but(**options)
    serve(site, settings, airflow=Airflow.from_environment(os.environ), stop=stop)


def _load_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        raise NotFound(f"there is no {path.name}", remedy="give the folder it lies in") from None


def _settings() -> Any:
    from hounsfield.settings import Settings

    return Settings.load()


def _site() -> Any:
    from hounsfield.site import Site

    return Site.open()


def _person() -> Any:
    """Who sits at the terminal, as the audit trail names them."""
    from hounsfield.records import RunContext

    return RunContext(actor=f"cli:{getpass.getuser()}")


def _pseudonyms() -> Any:
    """The site's; its key is made where there is none yet."""
    from hounsfield.pseudonyms import load_key

    site = _site()
    load_key(site.settings.site.key_file, create=True)
    return site.pseudonyms


def _say(as_json: bool, told: Any, text: str) -> None:
    click.echo(json.dumps(told, indent=1, default=str) if as_json else text)


def _is_lost(entry: dict[str, Any]) -> bool:
    """Whether a file has no output that could have one: a listing of others could not."""
    return not entry["output"] and entry.get("code") != "not-an-instance"


def _refuse(reason: str, *, code: int = 1) -> NoReturn:
    click.echo(f"hounsfield: {' '.join(reason.split())}", err=True)
    sys.exit(code)


@contextmanager
def _usage(option: str) -> Iterator[None]:
    """An option that names nothing is wrong usage, not a refusal."""
    try:
        yield
    except (ConfigError, NotFound) as error:
        raise click.BadParameter(str(error), param_hint=option) from None


@contextmanager
def _progress(what: str, as_json: bool) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on standard error; nothing where it is no terminal, or where JSON is asked for."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, quiet=as_json)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


if __name__ == "__main__":
    main()
