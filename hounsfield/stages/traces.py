"""traces: what is here of a study beside the products that the catalog names.

Instances that wait, what a killed run left, what was refused, pages: each is found by looking
where it would lie, so that what was deleted can be looked for once more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hounsfield.errors import NotFound
from hounsfield.pacs.commitment import Transactions
from hounsfield.pacs.known import Known
from hounsfield.pacs.place import identity_of
from hounsfield.quality.docs import names_study, remove_pages
from hounsfield.settings import ReceiverSettings
from hounsfield.site import Site
from hounsfield.store import Zone
from hounsfield.store.product import MANIFEST

__all__ = ["Trace", "folders_of", "forget_instances", "landing_of", "traces"]

_INSTANCES = (".dcm", ".whole")  # in the landing folder
_DRAFTS, _STAGING = ".drafts", ".staging"


@dataclass(frozen=True)
class Trace:
    """Files of one study in one place.

    Attributes
    ----------
    kind
        ``files``, ``staging`` or ``draft`` of a zone; ``landing``; ``page``.
    """

    study_key: str
    kind: str
    uri: str
    files: int
    bytes: int
    remove: Callable[[], None] = field(repr=False)


def traces(site: Site, study_key: str, *, landed: Collection[str]) -> Iterator[Trace]:
    """All that lies here of a study: in each zone and tier, the landing folder, and the pages.

    Parameters
    ----------
    landed
        URIs of the instances in the landing folder that may be its patient's. What else lies or
        comes there under this study is another's, or nobody has looked at it yet.
    """
    for zone in site.places():
        yield from _in_zone(zone, study_key)
    yield from _landed(landing_of(site), study_key, landed)
    yield from _pages(site.settings.site.docs, study_key)


def landing_of(site: Site) -> Path:
    """The receiver's landing folder; on a machine without a receiver it is not there."""
    return ReceiverSettings.load(site.settings).landing


def forget_instances(site: Site, study_key: str) -> None:
    """Makes the receiver forget which instances were the study's, and who asked about them."""
    landing = landing_of(site)
    if (landing / ".known.db").exists():
        known = Known(landing / ".known.db")
        Transactions(landing).forget(known.instances_of(study_key))
        known.forget_study(study_key)


def folders_of(zone: Zone, study_key: str) -> list[tuple[str, str]]:
    """Where in a zone something of a study may lie: kind of trace, and path.

    Beside its own folder and what came of it, there is what a move was putting together.
    """
    below = {path.split("/")[1] for path in zone.files(_STAGING)}
    moves = sorted(name for name in below if name.startswith(f"{study_key}~"))
    staged = [("staging", f"{_STAGING}/{name}") for name in (study_key, *moves)]
    return [("files", study_key), *staged]


def _in_zone(zone: Zone, study_key: str) -> Iterator[Trace]:
    for kind, relative in (*folders_of(zone, study_key), *_drafts(zone, study_key)):
        files = zone.files(relative)
        if files:
            yield Trace(
                study_key,
                kind,
                zone.uri(relative),
                len(files),
                sum(files.values()),
                lambda relative=relative: _remove(zone, relative),  # type: ignore[misc]
            )


def _remove(zone: Zone, relative: str) -> None:
    """What names the study goes last: who is killed finds the rest again."""
    for path in zone.files(relative):
        if not path.endswith(f"/{MANIFEST}"):
            zone.delete(path)
    zone.delete(relative)


def _drafts(zone: Zone, study_key: str) -> Iterator[tuple[str, str]]:
    """Sealed drafts of the study: what was killed before it could be published."""
    for path in zone.files(_DRAFTS):
        folder, _, name = path.rpartition("/")
        if name == MANIFEST and folder.count("/") == 1:
            try:
                told = json.loads(zone.read_file(folder, MANIFEST))
            except (NotFound, ValueError):  # It was published just now, or cut short.
                continue
            if told.get("study_key") == study_key:
                yield "draft", folder


def _landed(landing: Path, study_key: str, landed: Collection[str]) -> Iterator[Trace]:
    zone = Zone("landing", str(landing))
    on_its_way = f".incoming/.{study_key}."
    files = {
        name: size
        for name, size in {**zone.files(study_key), **zone.files(".incoming")}.items()
        if name.startswith((f"{study_key}/", on_its_way))
        and (zone.uri(name) in landed or not name.endswith(_INSTANCES))
    }

    def remove() -> None:
        Transactions(landing).forget(_instances_in(landing, files))
        for name in files:  # Not the folder: what comes meanwhile may be another patient's.
            (landing / name).unlink(missing_ok=True)
        with suppress(OSError):
            (landing / study_key).rmdir()

    if files:
        yield Trace(
            study_key, "landing", zone.uri(study_key), len(files), sum(files.values()), remove
        )


def _instances_in(landing: Path, names: Iterable[str]) -> set[str]:
    """SOPInstanceUIDs of those of some files that can be read."""
    found = set()
    for name in names:
        with suppress(OSError):
            if name.endswith(_INSTANCES):
                found.add(identity_of(landing / name)[0])
    return found


def _pages(docs: Path, study_key: str) -> Iterator[Trace]:
    if names_study(docs, study_key):
        yield Trace(study_key, "page", str(docs), 1, 0, partial(remove_pages, docs, study_key))
