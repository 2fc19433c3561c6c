"""What was done, as records: counts and rules, never values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

__all__ = [
    "BLANKED",
    "FolderReport",
    "HeaderRecord",
    "InstanceRecord",
    "Note",
    "PixelRecord",
    "StudyReport",
]

#: (tag, action): one thing that was done.
Note = tuple[int, str]

#: Compressed frames lost what applications had written into them.
BLANKED: Final[Note] = (0x7FE00010, "cleaned")


class HeaderRecord:
    """What the walker did to one object.

    Parameters
    ----------
    notes
        What was done, for every value that did not stay as it was. The actions: ``removed``,
        ``emptied``, ``dummy``, ``uid``, ``date shifted``, ``cleaned`` (text that changed,
        comments in compressed frames), ``pseudonym``, ``age capped``, ``date unreadable``,
        ``private kept``, ``malformed``.

    Attributes
    ----------
    actions
        Action → how often.
    rules
        ``ggggeeee action`` → how often.
    """

    def __init__(self, notes: Iterable[Note]) -> None:
        rules = Counter(notes)
        self.actions: Counter[str] = Counter()
        self.rules: Counter[str] = Counter()
        for (tag, action), count in rules.items():
            self.actions[action] += count
            self.rules[_rule(tag, action)] += count


@lru_cache(maxsize=8192)
def _rule(tag: int, action: str) -> str:
    return f"{'PRIVATE' if tag & 0x10000 else f'{tag:08X}'} {action}"


@dataclass(frozen=True, slots=True)
class PixelRecord:
    """What was done about burned-in text, and about what is drawn beside the stored values.

    Attributes
    ----------
    looked
        ``each`` frame's extremes, ``projection`` of the series, or ``none`` with the reason.
    reason
        Why it was not looked at, and why pixels changed that no box covers.
    boxes
        Masked (x0, y0, x1, y1), pixels, half-open, origin at the top left of a frame.
    transfer_syntax_uid
        The new one where pixels changed, else an empty string.
    left
        Boxes of what still reads as text after masking: a person has to look at it before anything
        is released.
    """

    looked: str = "none"
    reason: str = ""
    boxes: tuple[tuple[int, int, int, int], ...] = ()
    transfer_syntax_uid: str = ""
    left: tuple[tuple[int, int, int, int], ...] = ()

    @property
    def changed(self) -> bool:
        return bool(self.transfer_syntax_uid)


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """One input file: its output, or the reason why there is none.

    Attributes
    ----------
    source
        Index into the paths given, so that the record itself names no input.
    output
        Relative name of what was written, or an empty string.
    code, reason
        Of the refusal, where there is one.
    """

    source: int
    output: str = ""
    code: str = ""
    reason: str = ""
    actions: dict[str, int] = field(default_factory=dict)
    rules: dict[str, int] = field(default_factory=dict)
    pixels: PixelRecord = field(default_factory=PixelRecord)
    modality: str = ""
    sop_instance_uid: str = ""
    series_instance_uid: str = ""
    study_instance_uid: str = ""


@dataclass(frozen=True, slots=True)
class StudyReport:
    """What was done to one study; without any identifier of the input.

    Attributes
    ----------
    profile, profile_digest, edition
        By which rules.
    key_version, key_fingerprint
        With which key.
    """

    profile: str
    profile_digest: str
    edition: str
    key_version: int
    key_fingerprint: str
    instances: tuple[InstanceRecord, ...]

    @property
    def written(self) -> tuple[InstanceRecord, ...]:
        return tuple(record for record in self.instances if record.output)

    @property
    def refused(self) -> tuple[InstanceRecord, ...]:
        return tuple(record for record in self.instances if not record.output)

    @property
    def left(self) -> tuple[InstanceRecord, ...]:
        """Those in which text is left."""
        return tuple(record for record in self.written if record.pixels.left)

    @property
    def actions(self) -> dict[str, int]:
        """Action → how often, over all instances."""
        total: Counter[str] = Counter()
        for record in self.instances:
            total.update(record.actions)
        return dict(sorted(total.items()))

    @property
    def rules(self) -> dict[str, int]:
        """Rule → how often, over all instances."""
        total: Counter[str] = Counter()
        for record in self.instances:
            total.update(record.rules)
        return dict(sorted(total.items()))

    def to_dict(self) -> dict[str, Any]:
        """For a certificate or a product's detail; no value and no name of the input."""
        return {
            "profile": self.profile,
            "profile_digest": self.profile_digest,
            "edition": self.edition,
            "key_version": self.key_version,
            "key_fingerprint": self.key_fingerprint,
            "written": len(self.written),
            "refused": [asdict(record) for record in self.refused],
            "actions": self.actions,
            "rules": self.rules,
            "masked": [
                {"output": record.output, **asdict(record.pixels)}
                for record in self.written
                if record.pixels.changed
            ],
            "left": [
                {"output": record.output, "boxes": record.pixels.left} for record in self.left
            ],
        }


@dataclass(frozen=True, slots=True)
class FolderReport:
    """What ``deidentify_folder`` did. Names the input files, so it may itself hold PHI.

    Attributes
    ----------
    files
        One entry an input file, sorted by its relative path: ``input``, and ``output`` or
        ``code`` and ``reason``; for outputs also actions and masked boxes. What the gate is in
        doubt about has no output, but a name that it has apart from them, ``in_doubt``.
    path
        The report.json that says the same.
    """

    profile: str
    profile_digest: str
    files: tuple[dict[str, Any], ...]
    path: Path

    @property
    def written(self) -> int:
        return sum(bool(entry["output"]) for entry in self.files)

    @property
    def refused(self) -> int:
        return len(self.files) - self.written
