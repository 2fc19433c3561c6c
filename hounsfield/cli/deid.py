"""De-identification: of a folder, how well it is done, and what is proven of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from hounsfield.cli.opening import open_pseudonyms, open_settings, open_site
from hounsfield.cli.terminal import FOLDER, JSON, NEW, progress, refuse, say, usage
from hounsfield.errors import NotFound
from hounsfield.records import counted

__all__ = ["certificate", "deidentify", "method_statement", "score_deid"]

_PARTLY = 3  # exit code: done, but for some files


@click.command()
@click.argument("source", type=FOLDER, required=False)
@click.argument("destination", type=NEW, required=False)
@click.option("--profile", default="strict", show_default=True, help="Name, or a YAML file.")
@click.option("--pixels/--no-pixels", default=True, show_default=True, help="Mask burned-in text.")
@click.option("--gate/--no-gate", default=True, show_default=True, help="Look a second time.")
@click.option("--doubtful", type=NEW, help="Folder for what the gate doubts; else it is dropped.")
@click.option("--explain", "tag", metavar="TAG", help="Tell which rule acts on TAG, and why.")
@JSON
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
    with the output. It is written last: a folder without is of a run that did not end. If that was
    killed outright, a hidden folder .draft.*.part lies there, in which a patient may be named,
    until the next run over DESTINATION takes it away.

    The gate looks for what it knows of each patient in the output before that gets to DESTINATION,
    and writes a certificate for each study to DESTINATION/certificates. A study that it is in doubt
    about is withheld: --doubtful names a folder of its own for it, where a person can look at it.

    Exit codes: 0 when every file has its output, 3 when some have none (a DICOMDIR needs none),
    1 when none has or the gate is in doubt about a study, 2 for wrong usage.

    \b
    Example:
      hounsfield deidentify studies/ clean/ --profile research
      hounsfield deidentify --explain StudyDate
    """
    from hounsfield.deid import Profile, deidentify_folder, explain
    from hounsfield.stages.certify_folder import FolderCertifier

    with usage("--profile"):
        rules = Profile.load(profile)
    if tag:
        with usage("--explain"):
            explanation = explain(tag, rules, pixels=pixels)
        told = {name: getattr(explanation, name) for name in explanation.__slots__}
        return say(as_json, told, str(explanation))
    if source is None or destination is None:
        raise click.UsageError("SOURCE and DESTINATION are needed, or --explain TAG")
    pseudonyms = open_pseudonyms()
    needed = open_settings().site.need_dciodvfy
    certifier = FolderCertifier(destination, rules, pseudonyms, pixels=pixels, need_dciodvfy=needed)
    with progress("De-identifying", as_json) as advance:
        report = deidentify_folder(
            source,
            destination,
            profile=rules,
            pseudonyms=pseudonyms,
            pixels=pixels,
            progress=advance,
            gate=certifier if gate else certifier.unseen,
            doubtful=doubtful,
        )
    say(
        as_json,
        json.loads(report.path.read_bytes()),
        f"{counted(report.written, 'file')} written under {report.profile}, {report.refused} "
        f"without output; reasons in {report.path}.",
    )
    if certifier.doubtful:
        refuse(
            f"the gate is in doubt about {len(certifier.doubtful)} of "
            f"{len(certifier.verdicts)} studies, which are withheld: look at their certificates, "
            "and with --doubtful FOLDER at their files"
        )
    if not report.written:
        refuse("no file could be written: see report.json for each reason")
    if lost := sum(_is_lost(entry) for entry in report.files):
        refuse(f"{lost} files have no output: see report.json for each reason", code=_PARTLY)


@click.command(name="score-deid")
@click.argument("key", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("source", type=FOLDER)
@click.argument("cleaned", type=FOLDER)
@click.option("--at-least", type=click.FloatRange(0, 1), default=0.999, show_default=True)
@JSON
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
    found = score(AnswerKey.load(key), source, outputs, open_pseudonyms())
    lines = [
        f"{name:17} {done:.1f} of {count}" for name, (done, count) in found.actions.items() if count
    ]
    lines += [
        f"  {failure.check.action} {failure.check.path} of {failure.check.instance}: "
        f"{failure.share:.0%}, {failure.reason}"
        for failure in found.failures
    ]
    say(as_json, found.to_dict(), "\n".join([*lines, f"{found.share:.3%} of {found.total}"]))
    if found.share < at_least:
        refuse(f"{found.share:.3%} of the checks are fulfilled, fewer than {at_least:.3%}")


@click.command()
@click.argument("study_key")
@JSON
def certificate(study_key: str, as_json: bool) -> None:
    """Print the de-identification certificate of a released study.

    \b
    Example:
      hounsfield certificate st-k3v7c2m5x4qapz6b
    """
    from hounsfield.evidence import Certificate
    from hounsfield.stages.produce import open_product

    site = open_site()
    with open_product(site, site.catalog.latest(study_key, "deid")) as folder:
        found = Certificate.read(folder)
    say(as_json, found.to_dict(), str(found))


@click.command("method-statement")
@click.option("--html", "as_html", is_flag=True, help="A page instead of Markdown.")
def method_statement(as_html: bool) -> None:
    """Print how this project takes patients out of its images, for an ethics board.

    \b
    Example:
      hounsfield method-statement > method.md
    """
    from hounsfield.evidence import MethodStatement
    from hounsfield.stages.candidate import profile_of

    site = open_site()
    keys = open_pseudonyms()
    ours = site.settings.site
    statement = MethodStatement.of(ours.project, profile_of(site), keys, deface=ours.deface)
    click.echo(statement.to_html() if as_html else statement.to_markdown())


def _load_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        raise NotFound(f"there is no {path.name}", remedy="give the folder it lies in") from None


def _is_lost(entry: dict[str, Any]) -> bool:
    """Whether a file has no output that could have one: a listing of others could not."""
    return not entry["output"] and entry.get("code") != "not-an-instance"
