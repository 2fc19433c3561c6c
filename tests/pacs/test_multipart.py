from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hounsfield.pacs.multipart import CutOffBody, PartTooLong, boundary_of, parts

BOUNDARY = b"=_b-1"
CONTENT = st.binary(max_size=60).filter(lambda data: BOUNDARY not in data)


def encode(contents: list[bytes], preamble: bytes = b"") -> bytes:
    body = b"".join(
        b"--" + BOUNDARY + b"\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n"
        for content in contents
    )
    return preamble + body + b"--" + BOUNDARY + b"--\r\n"


def chop(body: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    return [body[start:end] for start, end in pairwise(places)]


@given(st.lists(CONTENT, max_size=5), st.lists(st.integers(0, 10_000), max_size=8), st.booleans())
def test_what_was_put_in_comes_out_however_it_is_cut_up(
    contents: list[bytes], cuts: list[int], has_preamble: bool
) -> None:
    body = encode(contents, b"a preamble\r\n" if has_preamble else b"")
    assert list(parts(chop(body, cuts), BOUNDARY)) == contents


@given(st.lists(CONTENT, min_size=1, max_size=4), st.integers(0, 10_000))
def test_a_cut_off_body_gives_whole_parts_only(contents: list[bytes], cut: int) -> None:
    body = encode(contents)
    end = len(body) - len(b"--\r\n")
    came: list[bytes] = []
    with pytest.raises(CutOffBody):
        for part in parts([body[: cut % end]], BOUNDARY):
            came.append(part)
    assert came == contents[: len(came)]


@given(st.lists(st.binary(max_size=50)))
def test_any_bytes_are_parts_or_cut_off(chunks: list[bytes]) -> None:
    with suppress(CutOffBody):
        list(parts(chunks, b"x"))


def test_a_part_that_grows_too_long_is_not_read_to_its_end() -> None:
    body = encode([b"short", b"long" * 1000])
    came: list[bytes] = []
    left = iter(chop(body, list(range(0, len(body), 100))))
    with pytest.raises(PartTooLong):
        for part in parts(left, BOUNDARY, longest=1000):
            came.append(part)
    assert came == [b"short"]
    assert len(b"".join(left)) > 2000


@pytest.mark.parametrize(("told", "is_whole"), [(5, True), (6, False), (4, True)])
def test_a_part_that_is_shorter_than_it_says_is_cut_off(told: int, is_whole: bool) -> None:
    """As where a gateway closes a body in form that its server left off."""
    header = b"Content-Type: application/dicom\r\ncontent-length: %d" % told
    body = b"--b\r\n" + header + b"\r\n\r\nfirst\r\n--b--"
    if is_whole:
        assert list(parts([body], b"b")) == [b"first"]
    else:
        with pytest.raises(CutOffBody):
            list(parts([body], b"b"))


def test_a_part_without_a_header() -> None:
    assert list(parts([b"--b\r\n\r\nfirst\r\n--b\r\n\r\nsecond\r\n--b--"], b"b")) == [
        b"first",
        b"second",
    ]


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ('multipart/related; type="application/dicom"; boundary=abc', b"abc"),
        ('Multipart/Related;boundary="a b:c";type="application/dicom"', b"a b:c"),
        ("multipart/related", None),
        ("multipart/related; boundary=", None),
        ("text/html; boundary=abc", None),
        ("", None),
    ],
)
def test_boundary(content_type: str, boundary: bytes | None) -> None:
    assert boundary_of(content_type) == boundary


@given(st.text(max_size=80))
def test_any_content_type_has_a_boundary_or_none(text: str) -> None:
    for content_type in (text, f"multipart/related; {text}", f"multipart/related; boundary={text}"):
        boundary = boundary_of(content_type)
        assert boundary is None or 1 <= len(boundary) <= 200
