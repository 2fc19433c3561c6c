"""Which code made a thing: part of every product's identity, so written once here."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hounsfield
from hounsfield.records import digest_of

__all__ = ["bundle_digest", "code_version", "product_id"]


@cache
def code_version(*packages: str) -> str:
    """Version of the release and a digest over the sources of `packages`.

    A change to one stage's code must not make every other stage's products anew, so each
    stage names the packages that its outcome depends on, such as ``hounsfield.deid``.
    """
    state = hashlib.sha256()
    for package in packages:
        for path in _sources(package):
            state.update(path.name.encode())
            state.update(path.read_bytes())
    return f"{hounsfield.__version__}+{state.hexdigest()[:12]}"


def product_id(kind: str, input_digest: str, code: str, parameters: dict[str, Any]) -> str:
    """Identity of a product before it is made: SHA-256 of what it is made from."""
    return digest_of([kind, input_digest, code, parameters])


def bundle_digest() -> str:
    """Digest of the Dag bundle, as the image baked it in; empty outside an image."""
    return os.environ.get("HOUNSFIELD_BUNDLE_DIGEST", "")


def _sources(package: str) -> list[Path]:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ValueError(f"no such package: {package}")
    origin = Path(spec.origin)
    if origin.name != "__init__.py":
        return [origin]
    kinds = {".py", ".json", ".csv"}
    return sorted(p for p in origin.parent.rglob("*") if p.suffix in kinds)
