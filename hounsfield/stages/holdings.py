"""Which instances are held for good: the answer to a Storage Commitment request."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path

from hounsfield.errors import HounsfieldError
from hounsfield.pacs.inbox import Intake, is_lost, is_sound
from hounsfield.pacs.place import identity_of
from hounsfield.records import InstanceEntry
from hounsfield.site import Site
from hounsfield.stages.revision import newest_revision, raw_manifest

__all__ = ["Holdings"]

log = logging.getLogger(__name__)


class Holdings:
    """Looks instances up in the landing folder, and in the newest revisions of their studies.

    What cannot be looked up counts as not held: its sender then keeps it.
    """

    def __init__(self, site: Site, intake: Intake) -> None:
        self._site = site
        self._intake = intake

    def __call__(self, uids: Collection[str]) -> Mapping[str, str]:
        """The SOP classes of those that are held, by SOPInstanceUID."""
        # The landing folder first: what leaves it meanwhile is in a revision by then.
        found = self._landed(uids)
        missing = set(uids) - found.keys()
        for study_key in self._intake.known.studies_of(missing):
            try:
                found |= self._published(study_key, missing)
            except HounsfieldError as error:
                log.error("Study %s cannot be looked at, to commit to it: %s", study_key, error)
        return found

    def _landed(self, uids: Collection[str]) -> dict[str, str]:
        found = {}
        for path in self._intake.root.glob("*/*.dcm"):
            try:
                uid, sop_class = identity_of(path)
                if uid in uids and is_sound(path):
                    found[uid] = sop_class
            except OSError as error:  # It may have become part of a revision just now.
                if not is_lost(error):
                    raise
        return found

    def _published(self, study_key: str, uids: Collection[str]) -> dict[str, str]:
        held = newest_revision(self._site, study_key)
        if held is None:
            return {}
        zone, relative = self._site.locate(held.uri)
        with zone.open(relative) as folder:
            return {
                entry.SOPInstanceUID: entry.SOPClassUID
                for entry in raw_manifest(folder).instances
                if entry.SOPInstanceUID in uids and _is_whole(folder / "instances", entry)
            }


def _is_whole(folder: Path, entry: InstanceEntry) -> bool:
    try:
        return (folder / entry.path).stat().st_size == entry.size
    except FileNotFoundError:
        return False
