"""A product: a folder whose last-written file, ``product.json``, says what is in it.

A folder without that file is not a product, whatever else lies there; so a crash leaves
rubbish that nobody takes for data.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hounsfield.errors import IntegrityError
from hounsfield.records import digest_of

__all__ = [
    "MANIFEST",
    "MANIFESTS",
    "UNPACKED",
    "Product",
    "damaged",
    "file_digest",
    "read_product",
    "seal",
    "verify",
]

MANIFEST = "product.json"
UNPACKED = "unpacked.json"
#: Files that say what is in a product: small, and always to be read at once.
MANIFESTS = frozenset((MANIFEST, UNPACKED, "manifest.json"))
#: What a manifest says beside its checksum.
_FIELDS = frozenset(("product_id", "kind", "study_key", "files", "detail", "region", "digest"))


@dataclass(frozen=True, slots=True)
class Product:
    """What ``product.json`` says.

    Attributes
    ----------
    files
        Relative path → (bytes, SHA-256).
    detail
        Provenance: input digest, code, parameters, and what the stage adds.
    region
        Which its data may not leave; empty where the site has one only.
    """

    product_id: str
    kind: str
    study_key: str
    files: dict[str, tuple[int, str]]
    detail: dict[str, Any]
    region: str = ""

    @property
    def digest(self) -> str:
        """Over the contents alone: two products with the same files are the same."""
        return digest_of(sorted([name, sha256] for name, (_, sha256) in self.files.items()))

    @property
    def size(self) -> int:
        return sum(size for size, _ in self.files.values())

    def to_json(self) -> bytes:
        """As ``product.json`` holds it, with a checksum over all that it says."""
        body = json.loads(json.dumps({**asdict(self), "digest": self.digest}))
        checked = {**body, "checksum": digest_of(body)}
        return json.dumps(checked, indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Product:
        """Parses ``product.json``.

        Raises
        ------
        IntegrityError
            If it is no manifest, or not what was written, as after a fault of the disk.
        """
        try:
            data = json.loads(text)
            if not _is_as_written(data):
                raise ValueError
            files = {name: (int(size), sha) for name, (size, sha) in data["files"].items()}
            facts = (data["product_id"], data["kind"], data["study_key"], files, data["detail"])
            return cls(*facts, region=data.get("region", ""))
        except (ValueError, LookupError, TypeError, AttributeError):
            raise IntegrityError(
                "the manifest of a product cannot be read",
                remedy="restore it from another copy, or make the product again",
            ) from None


def _is_as_written(data: dict[str, Any]) -> bool:
    """Whether no bit differs; what an earlier release wrote has no checksum to tell."""
    told = data.pop("checksum", None)
    return data.keys() <= _FIELDS if told is None else bool(told == digest_of(data))


def seal(
    folder: Path,
    *,
    product_id: str,
    kind: str,
    study_key: str,
    detail: dict[str, Any],
    region: str = "",
) -> Product:
    """Writes ``product.json`` over all files of `folder`."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    files = {name: (folder / name) for name in names if name != MANIFEST}
    product = Product(
        product_id=product_id,
        kind=kind,
        study_key=study_key,
        files={name: (path.stat().st_size, file_digest(path)) for name, path in files.items()},
        detail=detail,
        region=region,
    )
    (folder / MANIFEST).write_bytes(product.to_json())
    return product


def read_product(folder: Path) -> Product:
    return Product.from_json((folder / MANIFEST).read_bytes())


def verify(folder: Path) -> Product:
    """Reads every byte of a local product and compares.

    Raises
    ------
    IntegrityError
        If a file is missing, or its checksum is another.
    """
    product = read_product(folder)
    for name, (_, sha256) in product.files.items():
        path = folder / name
        if not path.is_file() or file_digest(path) != sha256:
            raise damaged(product)
    return product


def damaged(product: Product) -> IntegrityError:
    return IntegrityError(
        "a file is missing or its checksum differs",
        where=f"{product.kind} {product.product_id[:12]}",
        remedy="restore it from another copy, or make the product again",
    )


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
