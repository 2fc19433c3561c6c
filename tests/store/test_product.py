"""A product: what its last-written file says is in it, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hounsfield.errors import IntegrityError
from hounsfield.store.product import MANIFEST, Product, read_product, seal, verify

CONTENTS = {"a.bin": b"one", "deep/er/b.bin": b"two", "empty": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sealed product."""
    for name, content in CONTENTS.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    seal(tmp_path, product_id="p" * 64, kind="raw", study_key="st-a", detail={"code": "1"})
    return tmp_path


def test_a_whole_product_verifies(folder: Path) -> None:
    product = verify(folder)
    assert {name: size for name, (size, _) in product.files.items()} == {
        name: len(content) for name, content in CONTENTS.items()
    }
    assert product.size == 6
    assert product == read_product(folder)


@pytest.mark.parametrize("name", ["a.bin", "deep/er/b.bin"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_is_found(folder: Path, name: str, data: st.DataObject) -> None:
    original = (folder / name).read_bytes()
    bit = data.draw(st.integers(0, len(original) * 8 - 1))
    changed = bytearray(original)
    changed[bit // 8] ^= 1 << bit % 8
    try:
        (folder / name).write_bytes(changed)
        with pytest.raises(IntegrityError, match="raw pppppppppppp"):
            verify(folder)
    finally:
        (folder / name).write_bytes(original)


def test_a_flipped_bit_in_the_manifest_is_found(folder: Path) -> None:
    """Also in what no file's checksum depends on: the region, or that a product is packed."""
    text = (folder / MANIFEST).read_bytes()
    for bit in range(len(text) * 8):
        changed = bytearray(text)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(IntegrityError):
            Product.from_json(bytes(changed))


def test_a_manifest_of_an_earlier_release_is_read(folder: Path) -> None:
    """It has no checksum of its own."""
    product = read_product(folder)
    body = json.loads((folder / MANIFEST).read_text())
    del body["checksum"]
    (folder / MANIFEST).write_text(json.dumps(body))
    assert verify(folder) == product


def test_keys_that_are_no_text_are_as_json_has_them(folder: Path) -> None:
    detail = {"slices": {10: 1, 9: 2}}
    seal(folder, product_id="p", kind="raw", study_key="st-a", detail=detail)
    assert read_product(folder).detail == {"slices": {"10": 1, "9": 2}}


def test_a_missing_file_is_found(folder: Path) -> None:
    (folder / "empty").unlink()
    with pytest.raises(IntegrityError):
        verify(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "raw"}', '{"files": 3}'])
def test_a_spoiled_manifest_is_an_integrity_error(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text)
    with pytest.raises(IntegrityError, match="manifest"):
        verify(folder)


def test_the_digest_is_of_the_contents_alone(folder: Path) -> None:
    first = read_product(folder)
    again = seal(folder, product_id="q" * 64, kind="deid", study_key="st-b", detail={})
    assert again.digest == first.digest
    (folder / "a.bin").write_bytes(b"other")
    changed = seal(folder, product_id="q" * 64, kind="deid", study_key="st-b", detail={})
    assert changed.digest != first.digest


def test_a_renamed_file_is_another_content(folder: Path) -> None:
    first = read_product(folder)
    (folder / "a.bin").rename(folder / "c.bin")
    again = seal(folder, product_id="p", kind="raw", study_key="st-a", detail={})
    assert again.digest != first.digest


def test_the_manifest_tells_its_digest(folder: Path) -> None:
    text = (folder / MANIFEST).read_text()
    assert json.loads(text)["digest"] == Product.from_json(text).digest
