"""Data Docs: what Great Expectations found, as pages that open without a network.

One page a study and one index over all, under one folder, and beside a study's page its
certificate of de-identification. The checks are rendered by Great
Expectations' own renderer; only the frame around them is ours, since its frame loads styles
and scripts from a dozen hosts, which a hospital's network does not reach and need not learn
of.

A page is written in one piece, and the index is a script to which each validation adds a
line, all under one lock: two runs at once, of one study or of two, do not hurt each other,
nothing is built twice, and who is killed leaves at most a piece that the next one takes over.
"""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import jinja2

from hounsfield.errors import ConfigError, StoreUnavailable
from hounsfield.quality.engine import Validated
from hounsfield.quality.report import ValidationReport

__all__ = [
    "INDEX",
    "names_study",
    "remove_certificate",
    "remove_pages",
    "write_certificate",
    "write_page",
]

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
    page = _pages(docs, report.study_key)[0]
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True
    )
    html = environment.get_template("study.html").render(
        report=report, at=at, batches=[(each, _checks_html(each)) for each in validated]
    )
    with _writing(docs, report.study_key):
        _write(page, html)
        _write(docs / INDEX, environment.get_template("index.html").render())
        with (docs / _ENTRIES).open("a") as entries:
            entries.write(_entry(report, at))
    return replace(report, docs=str(page))


def write_certificate(docs: Path, study_key: str, html: str) -> Path:
    """Lays the certificate of a study beside its page.

    Raises
    ------
    StoreUnavailable
        The folder cannot be written.
    """
    page = _pages(docs, study_key)[1]
    with _writing(docs, study_key):
        _write(page, html)
    return page


def remove_certificate(docs: Path, study_key: str) -> None:
    """Takes back the certificate of a study that is released no more."""
    _remove(_pages(docs, study_key)[1])


def remove_pages(docs: Path, study_key: str) -> None:
    """Forgets a study: its page and its certificate, and its entries in the index."""
    for page in _pages(docs, study_key):
        _remove(page)
    entries = docs / _ENTRIES
    if not entries.exists():
        return
    mark = f"study({json.dumps(study_key)},"
    with _locked(docs):
        kept = [line for line in entries.read_text().splitlines(True) if mark not in line]
        _write(entries, "".join(kept))


def names_study(docs: Path, study_key: str) -> bool:
    """Whether there is a page or a certificate of a study, a piece of one, or an entry."""
    entries = docs / _ENTRIES
    listed = entries.exists() and f"study({json.dumps(study_key)}," in entries.read_text()
    pages = _pages(docs, study_key)
    return listed or any(page.exists() or _part(page).exists() for page in pages)


def _pages(docs: Path, study_key: str) -> tuple[Path, Path]:
    """Where a study's page lies, and its certificate."""
    if not _STUDY_KEY.fullmatch(study_key):
        raise ConfigError("a study key is made of letters, digits, dashes and underscores")
    name = f"{study_key}.html"
    return docs / "studies" / name, docs / "certificates" / name


def _remove(page: Path) -> None:
    page.unlink(missing_ok=True)
    _part(page).unlink(missing_ok=True)


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


@contextmanager
def _writing(docs: Path, study_key: str) -> Iterator[None]:
    try:
        docs.mkdir(parents=True, exist_ok=True)
        with _locked(docs):
            yield
    except OSError as error:
        raise StoreUnavailable(
            f"a page of the study cannot be written: {error.strerror}",
            where=study_key,
            remedy="see the space and the permissions of Data Docs",
        ) from None


def _write(path: Path, text: str) -> None:
    """The whole file or none of it, by who holds the lock."""
    path.parent.mkdir(exist_ok=True)
    part = _part(path)
    try:
        part.write_text(text)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


@contextmanager
def _locked(docs: Path) -> Iterator[None]:
    with (docs / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
