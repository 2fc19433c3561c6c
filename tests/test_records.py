"""The records that travel: out and in again, and the tree of digests."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hounsfield.records import (
    Code,
    Finding,
    InstanceEntry,
    Measurement,
    Prediction,
    RunContext,
    Segment,
    SeriesManifest,
    StudyManifest,
    canonical_json,
    digest_of,
)

WORDS = st.text(max_size=12)
UIDS = st.integers(0, 2**32).map(lambda number: f"1.2.{number}")
HASHES = st.integers(0, 2**256 - 1).map(lambda number: f"{number:064x}")
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SPAN = st.tuples(st.integers(0, 99), st.integers(100, 200))

ENTRIES = st.builds(
    InstanceEntry,
    SOPInstanceUID=UIDS,
    SOPClassUID=UIDS,
    TransferSyntaxUID=UIDS,
    path=HASHES.map(lambda name: f"{name}.dcm"),
    size=st.integers(0, 2**40),
    sha256=HASHES,
)
SERIES = st.builds(
    lambda uid, entries: SeriesManifest(
        uid, "CT", tuple(sorted(entries, key=lambda entry: entry.SOPInstanceUID))
    ),
    UIDS,
    st.lists(ENTRIES, min_size=1, max_size=4, unique_by=lambda entry: entry.SOPInstanceUID),
)
STUDIES = st.builds(
    lambda series: StudyManifest("st-a", "1.2", tuple(sorted(series, key=_uid))),
    st.lists(SERIES, min_size=1, max_size=3, unique_by=lambda series: series.SeriesInstanceUID),
)
CODES = st.builds(Code, WORDS, WORDS, WORDS)
MEASUREMENTS = st.builds(Measurement, CODES, NUMBERS, CODES)
FINDINGS = st.builds(
    Finding,
    label=WORDS,
    type=CODES,
    measurements=st.lists(MEASUREMENTS, max_size=2).map(tuple),
    segment=st.none() | st.integers(1, 255),
    centroid_lps=st.none() | st.tuples(NUMBERS, NUMBERS, NUMBERS),
    box_zyx=st.none() | st.tuples(SPAN, SPAN, SPAN),
    confidence=st.none() | st.floats(0, 1),
    site=st.none() | CODES,
)
SEGMENTS = st.builds(Segment, st.integers(1, 255), WORDS, CODES, CODES, st.none() | CODES)
PREDICTIONS = st.builds(
    Prediction,
    **dict.fromkeys(
        ("prediction_id", "study_key", "series_key", "volume_digest", "model", "version"), WORDS
    ),
    algorithm=WORDS,
    disclaimer=WORDS,
    findings=st.lists(FINDINGS, max_size=2).map(tuple),
    segments=st.lists(SEGMENTS, max_size=2).map(tuple),
    measurements=st.lists(MEASUREMENTS, max_size=2).map(tuple),
    mask=st.none() | WORDS,
    extra=st.dictionaries(WORDS, NUMBERS | WORDS, max_size=2),
)
RUNS = st.builds(RunContext, WORDS, WORDS, WORDS, WORDS, st.integers(1, 9), st.integers(-1, 9))


def _uid(series: SeriesManifest) -> str:
    return series.SeriesInstanceUID


@pytest.mark.parametrize(
    "records",
    [
        pytest.param(RUNS, id="run"),
        pytest.param(ENTRIES, id="entry"),
        pytest.param(SERIES, id="series"),
        pytest.param(STUDIES, id="study"),
        pytest.param(CODES, id="code"),
        pytest.param(MEASUREMENTS, id="measurement"),
        pytest.param(FINDINGS, id="finding"),
        pytest.param(SEGMENTS, id="segment"),
        pytest.param(PREDICTIONS, id="prediction"),
    ],
)
@settings(max_examples=50)
@given(data=st.data())
def test_a_record_survives_json(records: st.SearchStrategy, data: st.DataObject) -> None:
    record = data.draw(records)
    again = type(record).from_dict(json.loads(json.dumps(record.to_dict())))
    assert again == record


def test_a_field_of_a_later_release_is_passed_over() -> None:
    assert RunContext.from_dict({"actor": "officer", "colour": "grey"}) == RunContext("officer")


@given(STUDIES, st.randoms(use_true_random=False))
def test_the_digest_does_not_depend_on_the_order_of_arrival(
    study: StudyManifest, chance: random.Random
) -> None:
    data = json.loads(json.dumps(study.to_dict()))
    chance.shuffle(data["series"])
    for series in data["series"]:
        chance.shuffle(series["instances"])
    assert StudyManifest.from_dict(data).digest == study.digest


@given(STUDIES, st.data())
def test_one_changed_byte_shows_at_each_level(study: StudyManifest, data: st.DataObject) -> None:
    s = data.draw(st.integers(0, len(study.series) - 1))
    series = study.series[s]
    i = data.draw(st.integers(0, len(series.instances) - 1))
    entry = series.instances[i]
    other = "0" if entry.sha256[0] != "0" else "1"
    changed = replace(entry, sha256=other + entry.sha256[1:])
    changed_series = replace(
        series, instances=(*series.instances[:i], changed, *series.instances[i + 1 :])
    )
    changed_study = replace(
        study, series=(*study.series[:s], changed_series, *study.series[s + 1 :])
    )
    assert changed_series.digest != series.digest
    assert changed_study.digest != study.digest
    untouched = [a == b for a, b in zip(study.series, changed_study.series, strict=True)]
    assert untouched.count(False) == 1


@given(STUDIES)
def test_a_missing_instance_shows(study: StudyManifest) -> None:
    first = study.series[0]
    fewer = replace(first, instances=first.instances[1:])
    assert replace(study, series=(fewer, *study.series[1:])).digest != study.digest


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_one_value_has_one_byte_string(value: object) -> None:
    assert json.loads(canonical_json(value)) == value
    assert canonical_json(json.loads(canonical_json(value))) == canonical_json(value)


@given(st.dictionaries(WORDS, st.integers(), min_size=2, max_size=5))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    backwards = dict(reversed(value.items()))
    assert digest_of(backwards) == digest_of(value)
