"""The tree of everything that can fail."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hounsfield import errors
from hounsfield.errors import HounsfieldError, InternalError, PermanentError, TransientError

KINDS = [getattr(errors, name) for name in errors.__all__]
each = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@each
def test_every_error_is_permanent_or_transient_or_ours(kind: type[HounsfieldError]) -> None:
    sides = [
        side for side in (PermanentError, TransientError, InternalError) if issubclass(kind, side)
    ]
    assert kind is HounsfieldError or len(sides) == 1


def test_the_docstring_is_the_tree() -> None:
    """Each line names a class; the line above with less indentation names its base."""
    drawn: list[tuple[int, type[HounsfieldError]]] = []
    lines = (errors.__doc__ or "").split("::")[1].splitlines()
    for line in lines:
        words = line.replace("│", " ").replace("├──", "   ").replace("└──", "   ")
        name = words.split()[0] if words.split() else ""
        if name not in errors.__all__:
            continue
        depth, kind = words.index(name), getattr(errors, name)
        parents = [above for above_depth, above in drawn if above_depth < depth]
        assert not parents or parents[-1] in kind.__bases__
        drawn = [(d, k) for d, k in drawn if d < depth] + [(depth, kind)]
    assert {name for name in errors.__all__ if name in (errors.__doc__ or "")} == set(
        errors.__all__
    )


def test_codes_name_one_error_each() -> None:
    codes = [kind.code for kind in KINDS]
    assert len(set(codes)) == len(codes)


@each
@given(what=st.text(), where=st.text(), remedy=st.text())
def test_an_error_travels_between_processes(
    kind: type[HounsfieldError], what: str, where: str, remedy: str
) -> None:
    error = kind(what, where=where, remedy=remedy)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (again.what, again.where, again.remedy) == (what, where, remedy)
    assert str(again) == str(error)


@each
def test_it_says_what_where_and_what_to_do(kind: type[HounsfieldError]) -> None:
    error = kind("the disk is full", where="st-a", remedy="make room")
    assert str(error) == "st-a: the disk is full (make room)"
    assert str(kind("the disk is full")) == "the disk is full"


def test_only_what_was_said_is_told() -> None:
    """The cause's text, which could quote a patient, is no part of the message."""
    try:
        try:
            raise ValueError("PatientName Ada^Lovelace")
        except ValueError:
            raise errors.InvalidStudy("a value is not allowed", where="st-a") from None
    except HounsfieldError as error:
        assert "Ada" not in str(error) + repr(error)
        assert "Ada" not in str(pickle.dumps(error))
        assert error.__suppress_context__
