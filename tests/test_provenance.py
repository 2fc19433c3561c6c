"""Which code made a thing."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import hounsfield
from hounsfield.provenance import bundle_digest, code_version, product_id


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of two sources and a note."""
    folder = tmp_path / "made_up_stage"
    (folder / "deep").mkdir(parents=True)
    for name in ("__init__.py", "deep/rules.csv", "notes.txt"):
        (folder / name).write_text("one\n" if name != "__init__.py" else "")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return folder


def version() -> str:
    code_version.cache_clear()
    return code_version("made_up_stage")


def test_it_names_the_release() -> None:
    assert code_version("hounsfield.errors").startswith(f"{hounsfield.__version__}+")


def test_a_changed_source_is_another_version(package: Path) -> None:
    first = version()
    assert version() == first
    (package / "notes.txt").write_text("two\n")
    assert version() == first, "a note decides nothing"
    (package / "deep" / "rules.csv").write_text("two\n")
    assert version() != first, "a table of rules does"


def test_one_stage_does_not_change_another() -> None:
    assert code_version("hounsfield.errors") != code_version("hounsfield.records")
    both = code_version("hounsfield.errors", "hounsfield.records")
    assert both not in (code_version("hounsfield.errors"), code_version("hounsfield.records"))


def test_a_package_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="no such package"):
        code_version("hounsfield_of_yesterday")


def test_an_identity_is_of_all_that_decides() -> None:
    identity = product_id("volume", "i", "c", {"a": 1, "b": 2})
    assert identity == product_id("volume", "i", "c", {"b": 2, "a": 1})
    others = [
        product_id("deid", "i", "c", {"a": 1, "b": 2}),
        product_id("volume", "j", "c", {"a": 1, "b": 2}),
        product_id("volume", "i", "d", {"a": 1, "b": 2}),
        product_id("volume", "i", "c", {"a": 1, "b": 3}),
    ]
    assert len({identity, *others}) == 5


def test_outside_an_image_there_is_no_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOUNSFIELD_BUNDLE_DIGEST", raising=False)
    assert bundle_digest() == ""
