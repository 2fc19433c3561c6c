"""Keyed pseudonyms: valid, consistent, and worth nothing without the key."""

from __future__ import annotations

import os
import re
import stat
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from hounsfield.errors import ConfigError, DeidentificationError
from hounsfield.pseudonyms import (
    KEY_BYTES,
    MAX_SHIFT_DAYS,
    KeyRing,
    Pseudonyms,
    load_key,
    load_keys,
    rotate_key,
    without_key,
)
from tests.processes import together

KEY = bytes(range(KEY_BYTES))
NAMES = Pseudonyms(KEY)
UIDS = st.from_regex(r"[0-2](\.(0|[1-9][0-9]{0,8})){1,5}", fullmatch=True)
TEXTS = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=16)
DAYS = st.integers(1, MAX_SHIFT_DAYS)
DATES = st.dates(date(1900, 1, 1), date(2100, 12, 31))
TIMES = st.from_regex(
    r"([01][0-9]|2[0-3])([0-5][0-9]([0-5][0-9](\.[0-9]{1,6})?)?)?", fullmatch=True
)
ZONES = st.sampled_from(["", "+0000", "-0500", "+1245"])


@given(UIDS)
def test_a_uid_is_valid_and_fits(uid: str) -> None:
    new = UID(NAMES.uid(uid))
    assert new.is_valid
    assert len(new) <= 44
    assert new.startswith("2.25.")
    number = int(new.removeprefix("2.25."))
    assert number < 2**128
    assert (number >> 76) & 0xF == 8, "the version of its UUID"
    assert (number >> 62) & 0b11 == 0b10, "the variant of its UUID"


@given(st.sets(UIDS, min_size=2, max_size=20))
def test_references_stay_whole(uids: set[str]) -> None:
    again = Pseudonyms(KEY)
    new = {uid: NAMES.uid(uid) for uid in uids}
    assert new == {uid: again.uid(f"{uid}\0") for uid in uids}, "padding is no part of a UID"
    assert len(set(new.values())) == len(uids)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(Pseudonyms(bytes(KEY_BYTES)), id="key"),
        pytest.param(Pseudonyms(KEY, project="other"), id="project"),
        pytest.param(Pseudonyms(KEY, version=2), id="version"),
    ],
)
@given(uid=UIDS, patient=TEXTS)
def test_another_project_cannot_be_joined(other: Pseudonyms, uid: str, patient: str) -> None:
    assert other.uid(uid) != NAMES.uid(uid)
    assert other.study_key(uid) != NAMES.study_key(uid)
    assert other.patient_key(patient) != NAMES.patient_key(patient)
    assert other.fingerprint != NAMES.fingerprint


@given(UIDS)
def test_keys_of_two_kinds_are_two(uid: str) -> None:
    keys = {NAMES.study_key(uid), NAMES.series_key(uid), NAMES.patient_key(uid)}
    assert len({key.split("-", 1)[1] for key in keys}) == 3
    assert all(re.fullmatch(r"(st|se|pt)-[a-z2-7]{16}", key) for key in keys)


@given(TEXTS, TEXTS)
def test_a_patient_is_an_id_of_an_issuer(patient: str, issuer: str) -> None:
    assert NAMES.patient_key(f" {patient} ", issuer) == NAMES.patient_key(patient, issuer)
    assert NAMES.patient_key(patient, issuer) != NAMES.patient_key(patient)


@given(TEXTS)
def test_dates_of_a_patient_shift_alike(patient: str) -> None:
    days = NAMES.shift_days(patient)
    assert 1 <= days <= MAX_SHIFT_DAYS
    assert days == NAMES.shift_days(f"{patient} ")


@given(DATES, DATES, DAYS)
def test_intervals_stay(first: date, second: date, days: int) -> None:
    shifted = [_parse(NAMES.shift_date(f"{day:%Y%m%d}", days)) for day in (first, second)]
    assert shifted[1] - shifted[0] == second - first
    assert (first - shifted[0]).days == days


@given(DATES, TIMES, ZONES, DAYS)
def test_a_date_time_shifts_as_its_date(day: date, time: str, zone: str, days: int) -> None:
    """DA and DT of one moment stay together; time, fraction and zone are kept."""
    text = f"{day:%Y%m%d}"
    shifted = NAMES.shift_datetime(f"{text}{time}{zone}", days)
    assert shifted == f"{NAMES.shift_date(text, days)}{time}{zone}"


@given(DATES, DAYS, st.sampled_from(["%Y", "%Y%m", "%Y%m%d"]), ZONES)
def test_a_coarse_date_time_keeps_its_precision(day: date, days: int, form: str, zone: str) -> None:
    value = day.strftime(form)
    shifted = NAMES.shift_datetime(value + zone, days)
    assert len(shifted) == len(value + zone)
    assert datetime.strptime(shifted.removesuffix(zone), form) <= datetime.strptime(value, form)


def test_the_old_form_of_a_date_is_read() -> None:
    assert NAMES.shift_date("1997.04.02", 1) == "19970401"


@pytest.mark.parametrize(
    "value", ["", "2026", "20261301", "20260230", "yesterday", "2026-03-01", "99999999", "00010101"]
)
def test_what_is_no_date_is_refused(value: str) -> None:
    with pytest.raises(DeidentificationError) as refusal:
        NAMES.shift_date(value, 400)
    assert not value or value not in str(refusal.value)


@pytest.mark.parametrize("value", ["", "20", "20261", "2026130112", "20260301T12", "noon", "٢٠٢٦"])
def test_what_is_no_date_time_is_refused(value: str) -> None:
    with pytest.raises(DeidentificationError) as refusal:
        NAMES.shift_datetime(value, 400)
    assert not value or value not in str(refusal.value)


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "project.key"
    key = load_key(path)
    assert len(key) == KEY_BYTES
    assert load_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["project.key"]


def test_makers_of_one_key_agree(tmp_path: Path) -> None:
    """Several processes start at once; the first key stands."""
    path = tmp_path / "project.key"
    together(make_and_tell, *[(path, tmp_path / f"told-{number}") for number in range(3)])
    told = {file.read_text() for file in tmp_path.glob("told-*")}
    assert told == {path.read_text().strip()}
    assert not list(tmp_path.glob(".*")), "no draft is left"


def make_and_tell(path: Path, answer: Path) -> None:
    answer.write_text(load_key(path).hex())


def test_a_draft_of_a_maker_that_died_is_no_obstacle(tmp_path: Path) -> None:
    """In a container the next process has the same number."""
    path = tmp_path / "project.key"
    (tmp_path / f".{path.name}.{os.getpid()}").write_text("half")
    assert len(load_key(path)) == KEY_BYTES


def test_the_variable_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOUNSFIELD_PROJECT_KEY", KEY.hex())
    assert load_key(tmp_path / "project.key") == KEY
    assert not list(tmp_path.iterdir())


def test_an_environment_without_the_key() -> None:
    environ = {"HOUNSFIELD_PROJECT_KEY": KEY.hex(), "PATH": "/bin"}
    assert without_key(environ) == {"PATH": "/bin"}
    assert environ["HOUNSFIELD_PROJECT_KEY"], "its own process keeps it"


@pytest.mark.parametrize("text", ["", "my secret key", "ab" * (KEY_BYTES - 1)])
def test_what_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    """Before anything is encrypted under it; the message does not quote it."""
    path = tmp_path / "project.key"
    path.write_text(text)
    with pytest.raises(ConfigError, match="project key") as refusal:
        load_key(path)
    assert not text or text not in str(refusal.value)


def test_no_key_is_made_unasked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no project key"):
        load_key(tmp_path / "project.key", create=False)


def test_a_folder_that_takes_no_key_is_told_as_a_setting(tmp_path: Path) -> None:
    """Such as a secret that is mounted, or a home that is not there."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"key_file: .*HOUNSFIELD_KEY_FILE"):
        load_key(tmp_path / "file" / "project.key")


def test_a_short_key_gives_no_pseudonyms() -> None:
    with pytest.raises(ConfigError, match="31 bytes"):
        Pseudonyms(KEY[:-1])


def test_a_rotation_keeps_what_is_here_and_renews_what_comes(tmp_path: Path) -> None:
    path = tmp_path / "project.key"
    first = load_key(path)
    before = KeyRing(load_keys(path), project="p", newest=1).newest
    here = {before.study_key("1.2.3")}

    assert rotate_key(path) == 2
    keys = load_keys(path)
    assert keys[1] == first != keys[2]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["project.key"]
    assert KeyRing(keys, project="p", newest=1).newest.study_key("1.2.3") in here, "not yet used"

    after = KeyRing(keys, project="p", newest=2)
    assert after.of_study("1.2.3", here.__contains__).version == 1
    assert after.of_study("1.2.4", here.__contains__).version == 2
    assert after.that_made(before.study_key("1.2.3"), "1.2.3").version == 1
    assert after.version(1).uid("1.2.3") == before.uid("1.2.3") != after.newest.uid("1.2.3")
    assert rotate_key(path) == 3


def test_a_version_that_is_not_known_is_named() -> None:
    with pytest.raises(ConfigError, match="version 2"):
        KeyRing({1: KEY}, project="p", newest=2)
    with pytest.raises(ConfigError, match="version 7"):
        KeyRing({1: KEY}, project="p", newest=1).version(7)
    with pytest.raises(ConfigError, match="st-other"):
        KeyRing({1: KEY}, project="p", newest=1).that_made("st-other", "1.2.3")


def test_keys_of_several_versions_come_from_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "project.key"
    monkeypatch.setenv("HOUNSFIELD_PROJECT_KEY", f"1:{KEY.hex()},3:{bytes(KEY_BYTES).hex()}")
    assert load_keys(path) == {1: KEY, 3: bytes(KEY_BYTES)}
    with pytest.raises(ConfigError, match="HOUNSFIELD_PROJECT_KEY"):
        rotate_key(path)
    monkeypatch.setenv("HOUNSFIELD_PROJECT_KEY", KEY.hex())
    assert load_keys(path, version=4) == {4: KEY}
    monkeypatch.setenv("HOUNSFIELD_PROJECT_KEY", f"{KEY.hex()},1:{KEY.hex()}")
    with pytest.raises(ConfigError, match="two project keys"):
        load_keys(path)


def _parse(text: str) -> date:
    return datetime.strptime(text, "%Y%m%d").date()
