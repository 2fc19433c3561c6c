"""Arrivals: what has come so far of a study that is not whole yet, and since when.

::

    <folder>/instances/<sha256>.dcm   an instance, byte for byte (PHI)
    <folder>/arrived.jsonl            an entry for each, in order of arrival
    <folder>/waiting.json             for each source: since when it is waited for, and what it
                                      said last

The folder lies in the staging area of the raw zone. So a run that is deferred, tried again or
killed goes on where the last one was, and fetches only what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hounsfield.errors import StoreUnavailable
from hounsfield.records import InstanceEntry, canonical_json

__all__ = ["Arrival"]

_LONGEST_PAUSE = 300.0  # seconds between two askings for what is missing


@dataclass(frozen=True, slots=True)
class _Waiting:
    """When the last instance came, and what the source said, and when, as all that was here.

    Times are seconds since 1970; 0 is never.
    """

    since: float = 0.0
    said: str = ""
    said_at: float = 0.0


class Arrival:
    """One study on its way.

    Parameters
    ----------
    source
        Who is asked: each source that has the study is waited for by itself.

    Attributes
    ----------
    entries
        What came, in order. Two contents may have come for one SOPInstanceUID.
    """

    def __init__(self, folder: Path, now: Callable[[], float], source: str = "") -> None:
        self.instances = folder / "instances"
        self._journal = folder / "arrived.jsonl"
        self._notes = folder / "waiting.json"
        self._now = now
        self._source = source
        self.instances.mkdir(exist_ok=True)
        for part in self.instances.glob(".*.part"):  # A run was killed while it wrote it.
            part.unlink()
        self.entries = [entry for entry in self._read() if (self.instances / entry.path).is_file()]
        self._waiting = self._remembered()

    def take(self, entry: InstanceEntry) -> None:
        """Notes an instance whose file is whole: a sink for ``PacsClient.fetch_study``.

        Raises
        ------
        StoreUnavailable
            If the note cannot be written.
        """
        try:
            with self._journal.open("ab") as file:
                # The new line comes first: it also ends what a killed run left unfinished.
                file.write(b"\n" + canonical_json(entry.to_dict()))
        except OSError as error:
            raise _unwritable(error) from None
        self.entries.append(entry)
        self._waiting = replace(self._waiting, since=self._now())

    def uids(self) -> set[str]:
        return {entry.SOPInstanceUID for entry in self.entries}

    def note(self, said: str = "") -> None:
        """Writes down what is waited for.

        Parameters
        ----------
        said
            Digest of what the source lists, if all of that is here; empty if it is not.
        """
        now = self._now()
        waiting = self._waiting
        # A clock that was set back would keep a study waiting for as long.
        if said != waiting.said or now < waiting.said_at:
            waiting = replace(waiting, said=said, said_at=now)
        self._write(replace(waiting, since=min(waiting.since or now, now)))

    def forget(self) -> None:
        """The next try has all the patience again; what came is kept."""
        self._write(_Waiting())

    def changed(self, said: str) -> bool:
        """Whether the source said something else when it was asked last."""
        return self._waiting.said not in ("", said)

    def age_of(self, said: str) -> float | None:
        """Seconds since the source first said this and nothing else; None where it did not."""
        age = self._now() - self._waiting.said_at
        # A clock that was set back tells nothing.
        return age if said == self._waiting.said and age >= 0 else None

    def patience(self, seconds: float, pause: float) -> float:
        """Seconds until it is to be asked again for what is missing; 0: enough is enough.

        Asked again after `pause`, then after as long as it was waited for; for the last time
        `seconds` after the last instance came.
        """
        waited = max(self._now() - self._waiting.since, 0.0)
        left = seconds - waited
        if left <= 0:
            return 0.0
        return min(max(pause, min(waited, _LONGEST_PAUSE), 1.0), max(left, 1.0))

    def _read(self) -> Iterable[InstanceEntry]:
        try:
            lines = self._journal.read_bytes().splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                yield InstanceEntry.from_dict(json.loads(line))
            except (ValueError, TypeError, AttributeError):  # A killed run's last: it comes again.
                continue

    def _remembered(self) -> _Waiting:
        try:
            return _Waiting(**self._noted()[self._source])
        except (KeyError, TypeError):
            return _Waiting()

    def _noted(self) -> dict[str, Any]:
        """What is written down, by source."""
        try:
            noted = json.loads(self._notes.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return noted if isinstance(noted, dict) else {}

    def _write(self, waiting: _Waiting) -> None:
        self._waiting = waiting
        part = self._notes.with_suffix(".part")
        try:
            part.write_text(json.dumps({**self._noted(), self._source: asdict(waiting)}))
            part.replace(self._notes)
        except OSError as error:
            raise _unwritable(error) from None


def _unwritable(error: OSError) -> StoreUnavailable:
    return StoreUnavailable(
        f"what arrived could not be noted: {error.strerror}",
        remedy="see the space and the permissions of the raw zone",
    )
