"""Made-up people are distinct, and every value that is planted is listed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from hounsfield.phantom import identity
from hounsfield.phantom.identity import derived_uid, draw_patient

SCRIPTS = {
    "latin": "ascii",
    "accented": "latin-1",
    "polish": "utf-8",
    "japanese": "iso2022_jp",
}


@given(seed=st.integers(0, 2**32), script=st.sampled_from(sorted(SCRIPTS)))
def test_a_patient_fits_its_character_set_and_its_attributes(seed: int, script: str) -> None:
    patient = draw_patient(np.random.default_rng(seed), script=script)
    for value in vars(patient).values():
        value.encode(SCRIPTS[script])
    assert patient.drawn_name.isascii() and patient.drawn_name.isupper()
    assert max(map(len, (patient.phone, patient.station, patient.accession_number))) <= 16
    assert max(map(len, patient.name.split("="))) <= 64
    assert len(patient.birth_date) == 8 and patient.birth_date.isdigit()


@given(seed=st.integers(0, 2**32), script=st.sampled_from(sorted(SCRIPTS)))
def test_canaries_are_long_enough_to_mean_something(seed: int, script: str) -> None:
    patient = draw_patient(np.random.default_rng(seed), script=script)
    canaries = patient.canaries()
    assert len(set(canaries)) == len(canaries)
    assert all(len(canary.value.encode()) >= 6 for canary in canaries)
    kinds = {canary.kind for canary in canaries}
    assert {"patient_name", "patient_id", "birth_date", "address", "phone"} <= kinds
    for value in (patient.patient_id, patient.address, patient.accession_number):
        assert value in {canary.value for canary in canaries}


def test_other_numbers_are_other_people() -> None:
    people = [draw_patient(np.random.default_rng(seed)) for seed in range(40)]
    assert len({person.patient_id for person in people}) == 40
    assert len({person.accession_number for person in people}) == 40


@pytest.mark.parametrize("word", [*identity._JAPANESE_FAMILY, *identity._JAPANESE_GIVEN])
def test_no_japanese_character_looks_like_a_delimiter(word: tuple[str, str, str]) -> None:
    for text in word[1:]:
        assert not set(text.encode("iso2022_jp")[3:-3]) & set(b"=^\\")


@given(parts=st.lists(st.integers(0, 9), max_size=4))
def test_derived_uids_are_valid_and_stable(parts: list[int]) -> None:
    uid = derived_uid("root", *parts)
    assert UID(uid).is_valid and len(uid) <= 44
    assert uid == derived_uid("root", *parts)
    assert uid != derived_uid("root", *parts, "more")
