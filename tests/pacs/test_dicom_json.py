from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hounsfield.pacs import dicom_json as dj

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
ELEMENT = ANYTHING | st.fixed_dictionaries({"Value": ANYTHING, "vr": st.just("UI")})
ANSWER = st.dictionaries(st.sampled_from(["0020000D", "00081198", "00201208"]), ELEMENT)


@given(ANSWER)
def test_odd_values_count_as_not_told(answer: dict[str, object]) -> None:
    for keyword in ("StudyInstanceUID", "FailedSOPSequence", "NumberOfStudyRelatedInstances"):
        assert isinstance(dj.text(answer, keyword), str)
        assert all(dj.texts(answer, keyword))
        number = dj.count(answer, keyword)
        assert number is None or number > 0
        assert all(isinstance(item, dict) for item in dj.items(answer, keyword))


@given(st.binary(max_size=60) | ANYTHING.map(lambda data: json.dumps(data).encode()))
def test_any_body_is_data_sets_or_no_json(body: bytes) -> None:
    try:
        found = dj.objects(body)
    except ValueError:
        return
    assert all(isinstance(item, dict) for item in found)


@pytest.mark.parametrize(
    ("values", "number"),
    [([6], 6), (["6"], 6), ([6.0], 6), ([0], None), ([None], None), ([True], None), ([-1], None)],
)
def test_counts(values: list[object], number: int | None) -> None:
    answer = {"00201208": {"vr": "IS", "Value": values}}
    assert dj.count(answer, "NumberOfStudyRelatedInstances") == number


def test_too_deep_a_nesting_is_no_json() -> None:
    with pytest.raises(ValueError, match="deep"):
        dj.objects(b"[" * 200_000)
