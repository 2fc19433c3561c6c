"""A snapshot as a data list: paths that a bundle's training reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select

from hounsfield.catalog.models import Label, Product
from hounsfield.datasets.freeze import load_snapshot
from hounsfield.datasets.manifest import Member
from hounsfield.errors import NotFound
from hounsfield.records import RunContext
from hounsfield.site import Site

__all__ = ["datalist"]


@contextmanager
def datalist(
    site: Site,
    digest: str,
    splits: Sequence[str] = ("training", "validation"),
    *,
    labelled: bool = True,
    run: RunContext | None = None,
) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """Local paths of a snapshot's labelled members by split, as MONAI's bundles take them.

    ``{"training": [{"image": path, "label": path, "subgroup": {...}}, ...], ...}``; volumes
    that lie in an object store are fetched for as long as the block runs.

    Parameters
    ----------
    splits
        Those to give. ``testing`` is for the evaluation, and never seen in training.
    labelled
        Only members that have a label; else all of them, and some have no key "label".
    run
        Who reads them. It is a use of their studies, which the policy of tiers counts from.

    Raises
    ------
    NotFound
        If there is no such snapshot, a member's volume or label is gone (erased), or no
        member of a wanted split has a label.
    NotYet
        Volumes lie in an archive; all of them were asked for.
    """
    members = [
        member
        for member in load_snapshot(site, digest).members
        if member.split in splits and (member.label_digest or not labelled)
    ]
    for split in splits:
        if all(member.split != split for member in members):
            raise NotFound(
                f"no {'labelled ' if labelled else ''}volume is in the split {split}",
                where=f"snapshot {digest[:12]}",
                remedy="freeze a cohort that asks for a label, of more patients",
            )
    for study_key in sorted({member.study_key for member in members}):
        site.audit.append(
            action="volume.read",
            object=study_key,
            purpose="learning",
            run=run or RunContext(),
            detail=f"snapshot {digest[:12]}",
        )
    listed = [(member, _uris(site, member)) for member in members]
    site.recall([uris["image"] for _, uris in listed], where=f"snapshot {digest[:12]}")
    with ExitStack() as held:
        lists = {
            split: [_item(site, *item, held) for item in listed if item[0].split == split]
            for split in splits
        }
        yield lists


def _uris(site: Site, member: Member) -> dict[str, str]:
    """Where its volume lies, and its label where it has one."""
    volume = select(Product.uri).where(
        Product.kind == "volume",
        Product.digest == member.volume_digest,
        Product.study_key == member.study_key,
    )
    label = select(Label.uri).where(
        Label.series_key == member.series_key, Label.digest == member.label_digest
    )
    # The catalog knows where a volume lies now; the manifest only where it lay.
    uris = {"image": site.catalog.all(volume.limit(1))}
    if member.label_digest is not None:
        uris["label"] = site.catalog.all(label.limit(1))
    if not all(uris.values()):
        raise NotFound(
            "a volume or label of the snapshot is no longer there",
            where=member.study_key,
            remedy="it may have been erased: freeze the cohort again",
        )
    return {name: found[0] for name, found in uris.items()}


def _item(site: Site, member: Member, uris: dict[str, str], held: ExitStack) -> dict[str, Any]:
    paths = {name: str(_array(site, uri, held)) for name, uri in uris.items()}
    return {**paths, "subgroup": dict(member.subgroup)}


def _array(site: Site, uri: str, held: ExitStack) -> Path:
    """The one Zarr folder of a product, on this machine."""
    zone, relative = site.locate(uri)
    folder = held.enter_context(zone.open(relative))
    arrays = [path for path in sorted(folder.iterdir()) if path.suffix == ".zarr"]
    if len(arrays) != 1:
        raise NotFound(f"the product holds {len(arrays)} arrays instead of one", where=zone.name)
    return arrays[0]
