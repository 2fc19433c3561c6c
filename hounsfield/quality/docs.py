"""Data Docs: what Great Expectations found, as pages that open without a network.

One page a study and one index over all, under one folder. The checks are rendered by Great
Expectations' own renderer; only the frame around them is ours, since its frame loads styles
and scripts from a dozen hosts, which a hospital's network does not reach and need not learn
of.

A page is written in one piece, and the index is a script to which each validation adds a
line under a lock: two runs at once, of one study or of two, do not hurt each other, and
nothing is built twice.
"""

from __future__ import annotations

import fcntl
import json
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import jinja2

from hounsfield.errors import ConfigError, StoreUnavailable
from hounsfield.quality.engine import Validated
from hounsfield.quality.report import ValidationReport

__all__ = ["INDEX", "names_study", "remove_page", "write_page"]

INDEX = "index.html"
_ENTRIES = "studies.js"
_TEMPLATES = Path(__file__).parent / "templates"
_STUDY_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def write_page(
    docs: Path, report: ValidationReport, validated: Sequence[Validated]
) -> ValidationReport:
    """Writes a study's page and its entry in the index.

    Parameters
    ----------
    docs
        The folder, one for the installation.

    Returns
    -------
    ValidationReport
        `report`, naming its page.

    Raises
    ------
    StoreUnavailable
        The folder cannot be written.
    """
    page = _page(docs, report.study_key)
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True
    )
    html = environment.get_template("study.html").render(
        report=report, at=at, batches=[(each, _checks_html(each)) for each in validated]
    )
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        _write(page, html)
        _write(docs / INDEX, environment.get_template("index.html").render())
        with _locked(docs), (docs / _ENTRIES).open("a") as entries:
            entries.write(_entry(report, at))
    except OSError as error:
        raise StoreUnavailable(
            f"the validation report cannot be written: {error.strerror}", where=report.study_key
        ) from None
    return replace(report, docs=str(page))


def remove_page(docs: Path, study_key: str) -> None:
    """Forgets a study: its page, and its entries in the index."""
    _page(docs, study_key).unlink(missing_ok=True)
    entries = docs / _ENTRIES
    if not entries.exists():
        return
    mark = f"study({json.dumps(study_key)},"
    with _locked(docs):
        kept = [line for line in entries.read_text().splitlines(True) if mark not in line]
        _write(entries, "".join(kept))


def names_study(docs: Path, study_key: str) -> bool:
    """Whether there is a page of a study, or an entry in the index."""
    entries = docs / _ENTRIES
    listed = entries.exists() and f"study({json.dumps(study_key)}," in entries.read_text()
    return listed or _page(docs, study_key).exists()


def _page(docs: Path, study_key: str) -> Path:
    if not _STUDY_KEY.fullmatch(study_key):
        raise ConfigError("a study key is made of letters, digits, dashes and underscores")
    return docs / "studies" / f"{study_key}.html"


def _entry(report: ValidationReport, at: str) -> str:
    problems = [str(problem) for problem in (*report.errors, *report.warnings)]
    values = [
        report.study_key,
        report.outcome,
        at,
        report.series,
        report.instances,
        problems[0] if problems else "",
    ]
    return f"study({','.join(json.dumps(value) for value in values)});\n"


def _checks_html(validated: Validated) -> str:
    """The checks of a batch, by Great Expectations' renderer."""
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    view = DefaultJinjaPageView()
    view.env.loader = jinja2.ChoiceLoader([jinja2.FileSystemLoader(_TEMPLATES), view.env.loader])
    document = ValidationResultsPageRenderer().render(validated.result)
    return str(view.render(document, template="checks.html"))


def _write(path: Path, text: str) -> None:
    """The whole file or none of it, whoever else writes it."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        part.write_text(text)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _locked(docs: Path) -> Iterator[None]:
    with (docs / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
