"""The suites that ship are sound, and a wrong one is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from hounsfield.errors import ConfigError
from hounsfield.quality.suites import load_suites
from hounsfield.quality.validation import validate_study
from tests.quality.conftest import SUITES, MakeCt

SUITE = """
applies_to: {each: series, kinds: [slice]}
expectations:
  - type: expect_column_values_to_be_in_set
    kwargs: {column: decodes, value_set: [true]}
    severity: error
    description: Each frame decodes.
    meta: {code: undecodable, reason: it does not decode, remedy: send it again}
"""


def test_each_check_says_what_to_do() -> None:
    for suite in load_suites(SUITES).suites:
        for check in suite.checks:
            assert check.description.endswith("."), check.where
            assert check.reason and not check.reason.endswith("."), check.where
            assert check.remedy and not check.remedy.endswith("."), check.where


def test_suites_are_chosen_by_modality_and_kind() -> None:
    suites = load_suites(SUITES)

    def codes(kind: str, modality: str | None) -> set[str]:
        return {check.code for check in suites.of_series(kind, modality)}

    assert {"missing-slice", "missing-rescale", "truncated-pixels"} <= codes("slice", "CT")
    assert "missing-rescale" not in codes("slice", "MR")
    assert "missing-slice" not in codes("localizer", "CT")
    assert "missing-slice" not in codes("frames", "US")
    assert codes("object", "SR") == codes("object", None) and "missing-pixels" not in codes(
        "object", "SR"
    )


def test_the_digest_follows_the_meaning_not_the_layout(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SUITE)
    first = load_suites(tmp_path).digest
    (tmp_path / "a.yaml").write_text("# a comment\n" + SUITE)
    assert load_suites(tmp_path).digest == first
    (tmp_path / "a.yaml").write_text(SUITE.replace("error", "warning"))
    assert load_suites(tmp_path).digest != first


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("severity: error", "severity: fatal", "severity"),
        ("severity: error", "severity: error\n    mostly: 0.9", "mostly"),
        ("column: decodes", "column: decods", "decods"),
        ("kinds: [slice]", "kinds: [slices]", "kinds"),
        ("remedy: send it again", "remedy: ''", "remedy"),
        ("code: undecodable", "code: Un Decodable", "code"),
        ("reason: it does not decode", "reason: '{value}', columns: [a]", "meta"),
        ("- type:", "- type: [", "YAML"),
    ],
)
def test_a_wrong_suite_is_refused(tmp_path: Path, old: str, new: str, named: str) -> None:
    (tmp_path / "a.yaml").write_text(SUITE.replace(old, new))
    with pytest.raises(ConfigError, match=named) as caught:
        load_suites(tmp_path)
    assert "configs/quality/a.yaml" in str(caught.value)


def test_no_suite_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no quality suites"):
        load_suites(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("expect_column_values_to_be_in_set", "expect_column_values_to_be_nice", "nice"),
        ("value_set: [true]", "value_set: [true], sauce: 1", "extra fields"),
        ("value_set: [true]", "value_set: 3", "expect_column_values_to_be_in_set"),
        (
            "expect_column_values_to_be_in_set",
            "expect_column_values_to_be_between",
            "min_value",
        ),
    ],
)
def test_what_only_great_expectations_knows_is_refused_too(
    tmp_path: Path, make_ct: MakeCt, old: str, new: str, named: str
) -> None:
    (tmp_path / "a.yaml").write_text(SUITE.replace(old, new))
    with pytest.raises(ConfigError, match=named) as caught:
        validate_study(make_ct(3), suites=tmp_path, study_key="st-x")
    assert "configs/quality/a.yaml expectation 1" in str(caught.value)


def test_an_expectation_that_cannot_be_evaluated_is_no_verdict(
    tmp_path: Path, make_ct: MakeCt
) -> None:
    text = SUITE.replace("to_be_in_set", "to_match_regex").replace(
        "value_set: [true]", "regex: '('"
    )
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match="could not be evaluated"):
        validate_study(make_ct(3), suites=tmp_path, study_key="st-x")
