"""Pages that stand alone, and an index that survives company."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from hounsfield.errors import ConfigError
from hounsfield.quality.docs import names_study, remove_pages, write_certificate, write_page
from hounsfield.quality.report import Problem, ValidationReport
from hounsfield.quality.validation import validate_study
from tests.quality.conftest import SUITES, MakeCt

REPORT = ValidationReport("st-a", (), (), instances=3, series=1, checks=4, suites_digest="0" * 64)


def entries(docs: Path) -> list[str]:
    return re.findall(r'^study\("([^"]+)",.*\);$', (docs / "studies.js").read_text(), re.M)


def test_a_page_loads_nothing_from_anywhere(make_ct: MakeCt, tmp_path: Path) -> None:
    report = validate_study(
        make_ct(8, skip=(3,)), suites=SUITES, study_key="st-a", docs=tmp_path / "docs"
    )
    assert report.docs is not None
    for page in (Path(report.docs), tmp_path / "docs" / "index.html"):
        html = page.read_text()
        assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:)?//", html)
    html = Path(report.docs).read_text()
    assert "missing-slice" in html and "No slice is missing." in html
    assert "0.0 mm" not in html  # Great Expectations quotes no values


def test_many_at_once_are_all_in_the_index(tmp_path: Path) -> None:
    keys = [f"st-{number:03d}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: write_page(tmp_path, replace(REPORT, study_key=key), []), keys))
    assert sorted(entries(tmp_path)) == keys
    assert sorted(page.stem for page in (tmp_path / "studies").glob("*.html")) == keys
    assert not list(tmp_path.rglob("*.part"))


def test_a_study_can_be_forgotten(tmp_path: Path) -> None:
    for key in ("st-a", "st-b", "st-a"):
        write_page(tmp_path, replace(REPORT, study_key=key), [])
    certificate = write_certificate(tmp_path, "st-a", "<p>released")
    assert certificate == tmp_path / "certificates" / "st-a.html"
    assert names_study(tmp_path, "st-a")
    remove_pages(tmp_path, "st-a")
    assert entries(tmp_path) == ["st-b"]
    assert not certificate.exists() and not (tmp_path / "studies" / "st-a.html").exists()
    assert names_study(tmp_path, "st-b") and not names_study(tmp_path, "st-a")
    remove_pages(tmp_path / "nowhere", "st-a")


def killed_between_writing_and_renaming(action: Callable[[], object]) -> None:
    def die(name: str, _: object) -> None:
        if name == "os.rename":
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        sys.addaudithook(die)
        action()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


def test_what_a_kill_leaves_is_taken_over(tmp_path: Path) -> None:
    write_page(tmp_path, replace(REPORT, study_key="st-b"), [])
    whole = sorted(tmp_path.rglob("*"))
    killed_between_writing_and_renaming(lambda: write_page(tmp_path, REPORT, []))
    assert names_study(tmp_path, "st-a"), "half a page, which an erasure is to find"
    remove_pages(tmp_path, "st-a")
    assert sorted(tmp_path.rglob("*")) == whole

    write_page(tmp_path, REPORT, [])
    killed_between_writing_and_renaming(lambda: remove_pages(tmp_path, "st-a"))
    assert names_study(tmp_path, "st-a")
    remove_pages(tmp_path, "st-a")
    assert sorted(tmp_path.rglob("*")) == whole and entries(tmp_path) == ["st-b"]


@pytest.mark.parametrize("key", ["../x", "", "a/b", "st a", "x" * 65])
def test_a_study_key_is_no_path(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError):
        write_page(tmp_path, replace(REPORT, study_key=key), [])
    with pytest.raises(ConfigError):
        write_certificate(tmp_path, key, "")


def test_the_index_lists_the_latest_word_in_a_browser(
    tmp_path: Path, need_program: Callable[[str], str]
) -> None:
    chromium = need_program("chromium")
    refusal = Problem("x", 'a <b>reason</b> with "quotes" and \u2028', "series 1", "do this")
    write_page(tmp_path, replace(REPORT, errors=(refusal,)), [])
    write_page(tmp_path, replace(REPORT, study_key="st-b", warnings=(refusal,)), [])
    write_page(tmp_path, REPORT, [])
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += ["--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}"]
    command.append((tmp_path / "index.html").as_uri())
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    rows = re.findall(r'<a href="studies/([^"]+)\.html">', dom)
    assert rows == ["st-a", "st-b"]
    assert "a &lt;b&gt;reason&lt;/b&gt;" in dom
    assert '<span id="count">2</span>' in dom
