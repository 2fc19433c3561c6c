"""The certificate of one study: what was removed, by which rules, and who let it go.

It names no identity, and holds no clock but that of a person's decision: the same study gives
the same bytes. When it was released, the catalog and the audit trail know.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Self

import jinja2

from hounsfield.deid.explain import explain
from hounsfield.deid.profile import Profile
from hounsfield.dicom.folders import new_part
from hounsfield.errors import IntegrityError

__all__ = ["NAME", "OCR_ENGINE", "Certificate"]

#: Its files in a released product are called so, ``.json`` and ``.html``.
NAME = "certificate"
#: What the counts call all private elements together.
_PRIVATE: Final = "PRIVATE"
#: What reads burned-in text.
OCR_ENGINE: Final = "PP-OCRv4 (detector and recogniser as in rapidocr's wheel)"
_LISTS: Final = ("options", "checks", "findings", "reviews")
_TEMPLATES = Path(__file__).parent / "templates"

# What the walker says it did → the code of PS3.15 Table E.1-1a.
_CODES: Final = {
    "removed": "X",
    "malformed": "X",
    "date unreadable": "X",
    "emptied": "Z",
    "pseudonym": "Z",
    "dummy": "D",
    "uid": "U",
    "date shifted": "C",
    "cleaned": "C",
    "age capped": "C",
    "private kept": "K",
    "replaced": "=",
}
MEANINGS: Final = {
    "X": "removed",
    "Z": "emptied, or replaced by a pseudonym",
    "D": "replaced by a dummy value",
    "U": "replaced by a keyed UID",
    "C": "cleaned: date shifted, text without identities",
    "K": "private, known to be safe, kept",
    "=": "replaced by the site's recipe",
}


@dataclass(frozen=True, slots=True)
class Certificate:
    """What happened to one study.

    Attributes
    ----------
    input_digest
        Of the manifest of the raw revision.
    output_digest
        Over the released objects, this certificate apart: SHA-256 of the canonical JSON of
        the sorted pairs (path, SHA-256).
    actions
        Code of PS3.15 Table E.1-1a → how many values.
    private
        How many private elements were ``removed`` and ``kept``.
    masked
        Objects with masked regions, regions, and the area that they cover, in pixels of one
        frame each.
    regions
        By released object, what was masked: (x0, y0, x1, y1), half-open, pixels from the top left.
    reasons
        Why objects were withheld → how many of them.
    checks
        Of the gate: name, how much was looked at, findings, note.
    findings
        By rule and place, where a person released in spite of them.
    decision
        ``by`` whom, ``why``, and ``at`` what time where it was a person.
    reviews
        Answers of persons, in their order: ``by``, ``decision``, ``why``, ``at``, and how many
        ``masks`` they asked for.
    rules
        Attribute and what was done → how many values.
    sources
        Attribute → its name, and the row, option, addition or recipe that decided.
    """

    project: str
    study_key: str
    profile: str
    profile_digest: str
    options: tuple[str, ...]
    edition: str
    engine: str
    key_version: int
    key_fingerprint: str
    input_digest: str
    output_digest: str
    written: int
    withheld: int
    actions: dict[str, int]
    private: dict[str, int]
    masked: dict[str, int]
    ocr: str
    gate: str
    verdict: str
    checks: tuple[dict[str, Any], ...]
    findings: tuple[dict[str, Any], ...]
    decision: dict[str, str]
    rules: dict[str, int] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    regions: dict[str, list[list[int]]] = field(default_factory=dict)
    reviews: tuple[dict[str, Any], ...] = ()
    reasons: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        project: str,
        study_key: str,
        profile: Profile,
        report: Mapping[str, Any],
        gate: Mapping[str, Any],
        *,
        input_digest: str,
        output_digest: str,
        engine: str,
        decision: dict[str, str],
        reviews: Iterable[dict[str, Any]] = (),
        pixels: bool = True,
    ) -> Self:
        """From what de-identification (`report`) and the gate (`gate`) wrote down.

        Parameters
        ----------
        pixels
            Whether pixels were looked at, where the profile asks for it.
        """
        pixels = pixels and profile.clean_pixel_data
        options = tuple(code.meaning for code in profile.codes(pixels_cleaned=pixels))
        regions = _regions(report["masked"])
        return cls(
            project=project,
            study_key=study_key,
            profile=report["profile"],
            profile_digest=report["profile_digest"],
            options=options,
            edition=f"PS3.15 {report['edition']}",
            engine=engine,
            key_version=report["key_version"],
            key_fingerprint=report["key_fingerprint"],
            input_digest=input_digest,
            output_digest=output_digest,
            written=report["written"],
            withheld=len(report["refused"]),
            actions=_by_code(report["actions"]),
            private=_private(report["rules"]),
            masked=_masked(regions),
            ocr=OCR_ENGINE if pixels else "not asked for",
            gate=gate["code"],
            verdict=gate["verdict"],
            checks=tuple(gate["checks"]),
            findings=tuple(gate["findings"]),
            decision=decision,
            rules=dict(sorted(report["rules"].items())),
            sources=_sources(report["rules"], profile, pixels=pixels),
            regions=regions,
            reviews=tuple(reviews),
            reasons=dict(sorted(Counter(one["reason"] for one in report["refused"]).items())),
        )

    def write(self, folder: Path, *, name: str = NAME) -> None:
        """As JSON and as a page, beside what it certifies; each whole, or not at all."""
        text = json.dumps(asdict(self), indent=1, sort_keys=True)
        with new_part(folder / name) as part:
            (part / f"{name}.json").write_text(text + "\n")
            (part / f"{name}.html").write_text(self.to_html())
            for path in part.iterdir():
                path.replace(folder / path.name)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The one that lies in a released product.

        Raises
        ------
        IntegrityError
            If there is none that can be read.
        """
        try:
            data = json.loads((folder / f"{NAME}.json").read_bytes())
            lists = {name: tuple(data.get(name, ())) for name in _LISTS}
            return cls(**{**data, **lists})
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            raise IntegrityError(
                "the study has no certificate that can be read", remedy="clear deidentify"
            ) from None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def to_html(self) -> str:
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True
        )
        template = environment.get_template("certificate.html")
        return template.render(told=self, meanings=MEANINGS)

    @property
    def deeds(self) -> list[tuple[str, str, str, int]]:
        """What was done to which attribute, by what, and to how many values."""
        told = []
        for rule, count in self.rules.items():
            tag, _, action = rule.partition(" ")
            name, _, by = self.sources.get(tag, "").partition(": ")
            told.append((_attribute(tag, name), action, by, count))
        return told

    def __str__(self) -> str:
        actions = ", ".join(f"{code} {count}" for code, count in self.actions.items())
        checks = ", ".join(f"{c['name']} {c['findings']} of {c['looked_at']}" for c in self.checks)
        return "\n".join(
            (
                f"{self.study_key}: {self.verdict}; released by {self.decision['by']}: "
                f"{self.decision['why']}",
                f"  profile {self.profile} {self.profile_digest[:12]}, {self.edition}, "
                f"engine {self.engine}, key {self.key_version} ({self.key_fingerprint})",
                f"  {self.written} objects, {self.withheld} withheld; actions {actions}",
                *(f"  withheld {count}: {reason}" for reason, count in self.reasons.items()),
                f"  private elements: {self.private['removed']} removed, "
                f"{self.private['kept']} kept; {self.masked['regions']} regions masked in "
                f"{self.masked['objects']} objects",
                f"  gate {self.gate}: findings {checks}",
                *(
                    f"  {one['by']}, {one['at']}: {one['decision']}, {one['why']}"
                    for one in self.reviews
                ),
                f"  input {self.input_digest}",
                f"  output {self.output_digest}",
                *(
                    f"  {attribute}: {action} {count}" + (f" [{by}]" if by else "")
                    for attribute, action, by, count in self.deeds
                ),
            )
        )


def _by_code(actions: Mapping[str, int]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for action, count in actions.items():
        counts[_CODES.get(action, action)] += count
    return dict(sorted(counts.items()))


def _private(rules: Mapping[str, int]) -> dict[str, int]:
    removed = sum(rules.get(f"PRIVATE {action}", 0) for action in ("removed", "malformed"))
    return {"removed": removed, "kept": rules.get("PRIVATE private kept", 0)}


def _regions(entries: Iterable[Mapping[str, Any]]) -> dict[str, list[list[int]]]:
    """By object: the cleaner masked it, and a reviewer may have had more of it masked."""
    regions: dict[str, list[list[int]]] = {}
    for entry in entries:
        if entry["boxes"]:
            regions.setdefault(entry["output"], []).extend(map(list, entry["boxes"]))
    return regions


def _masked(regions: Mapping[str, Sequence[Sequence[int]]]) -> dict[str, int]:
    return {
        "objects": len(regions),
        "regions": sum(map(len, regions.values())),
        "pixels": sum(map(_covered, regions.values())),
    }


def _covered(boxes: Sequence[Sequence[int]]) -> int:
    """Pixels that boxes cover together; they may overlap."""
    rows = sorted({y for _, y0, _, y1 in boxes for y in (y0, y1)})
    return sum(
        (bottom - top) * _length(sorted((x0, x1) for x0, y0, x1, y1 in boxes if y0 <= top < y1))
        for top, bottom in pairwise(rows)
    )


def _length(spans: Iterable[tuple[int, int]]) -> int:
    """What spans, by their start, cover together."""
    total, reached = 0, -1
    for start, stop in spans:
        total += max(0, stop - max(start, reached))
        reached = max(reached, stop)
    return total


def _sources(rules: Iterable[str], profile: Profile, *, pixels: bool) -> dict[str, str]:
    tags = sorted({rule.partition(" ")[0] for rule in rules} - {_PRIVATE})
    told = {tag: explain(int(tag, 16), profile, pixels=pixels) for tag in tags}
    return {tag: f"{one.name}: {one.by}" for tag, one in told.items()}


def _attribute(tag: str, name: str) -> str:
    return f"({tag[:4]},{tag[4:]}) {name}" if tag != _PRIVATE else "private elements"
