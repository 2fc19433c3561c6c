"""No patient in two splits; no split that moves when another patient comes."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hounsfield.datasets import SPLITS, Fractions, split_patients
from hounsfield.errors import ConfigError

PATIENTS = st.sets(st.text("abcdef0123456789", min_size=1), min_size=1, max_size=60)
SHARES = st.tuples(*[st.integers(0, 10)] * 3).filter(any)


def fractions(shares: tuple[int, ...]) -> Fractions:
    return Fractions(*(share / sum(shares) for share in shares))


@given(PATIENTS, st.integers(), SHARES)
def test_every_patient_is_in_one_wanted_split(
    patients: set[str], seed: int, shares: tuple[int, ...]
) -> None:
    split = split_patients([*patients, *patients], seed, fractions(shares))
    wanted = {name for name, share in zip(SPLITS, shares, strict=True) if share}
    assert set(split) == patients
    assert set(split.values()) <= wanted
    assert len(set(split.values())) == min(len(patients), len(wanted))


@given(PATIENTS, st.integers(), st.randoms())
def test_order_does_not_matter(patients: set[str], seed: int, random: object) -> None:
    shuffled = sorted(patients)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert split_patients(shuffled, seed, Fractions()) == split_patients(
        sorted(patients), seed, Fractions()
    )


@given(st.sets(st.integers(), min_size=200, max_size=300), st.integers(0, 99))
def test_a_new_patient_moves_nobody(patients: set[int], seed: int) -> None:
    names = [str(p) for p in patients]
    before = split_patients(names, seed, Fractions())
    after = split_patients([*names, "the new one"], seed, Fractions())
    assert before.items() <= after.items()


def test_the_shares_are_kept_and_the_seed_counts() -> None:
    patients = [f"pt-{n}" for n in range(5000)]
    split = split_patients(patients, 0, Fractions())
    counts = Counter(split.values())
    assert counts["training"] / 5000 == pytest.approx(0.7, abs=0.03)
    assert counts["testing"] / 5000 == pytest.approx(0.15, abs=0.03)
    assert split != split_patients(patients, 1, Fractions())


@pytest.mark.parametrize(
    "data",
    [
        {"training": 1.0},
        {"training": 0.5, "validation": 0.2, "testing": 0.2},
        {"training": 1.5, "validation": -0.5, "testing": 0},
        {"training": "most", "validation": 0, "testing": 0},
        {"training": 1, "validation": 0, "test": 0},
    ],
)
def test_fractions_that_cannot_be(data: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"fractions"):
        Fractions.from_dict(data)
