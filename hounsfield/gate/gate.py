"""The gate itself: every check over every output file of one study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hounsfield.deid.profile import Profile
from hounsfield.errors import UnreadableFile
from hounsfield.gate import confidentiality, conformance, header, pictures
from hounsfield.gate.elements import Element, read_elements
from hounsfield.gate.report import Box, Check, Finding, GateReport, Region, summed
from hounsfield.gate.search import Search
from hounsfield.gate.sentinels import Sentinels, gather
from hounsfield.gate.words import check_words
from hounsfield.provenance import code_version

__all__ = ["Output", "inspect"]

_SOP_CLASS, _SOP_INSTANCE, _SERIES = 0x00080016, 0x00080018, 0x0020000E
#: More than these a person would not look through; the others are counted, and that is told.
_MOST_REGIONS = 40
_LEFT = "text that the cleaner could not mask away"


@dataclass(frozen=True, slots=True)
class Output:
    """One de-identified file, and what it was made from.

    Attributes
    ----------
    masked
        Boxes that the cleaner masked in it.
    left
        Boxes that it could not mask away: what still read as text.
    """

    raw: Path
    path: Path
    masked: tuple[Box, ...] = ()
    left: tuple[Box, ...] = ()


def inspect(
    outputs: Sequence[Output],
    raw: Sequence[Path],
    profile: Profile,
    *,
    overridden: frozenset[int] = frozenset(),
    pixels: bool = True,
    need_dciodvfy: bool = False,
) -> GateReport:
    """Scans what de-identification gave, as if it were not to be trusted.

    Parameters
    ----------
    raw
        Every file of the study as received, also those that have no output: each may name
        the patient.
    overridden
        Tags that the site's recipe decides on.
    pixels
        Whether to read the output's pixels, where the profile cleans them.
    need_dciodvfy
        Whether a study may not pass where that is not installed.

    Raises
    ------
    HounsfieldError
        A file could not be looked at; nothing is known of it, so nothing is released.
    """
    known = pictures.Headers()
    sentinels = gather(raw, profile, known.note)
    search = Search(sentinels)
    in_header = header.HeaderSearch(search)
    headers, standard = [], []
    judged: dict[tuple[object, ...], tuple[Output, str]] = {}
    for output in outputs:
        elements, unread = _read(output.path)
        known.note(output.path, elements)
        headers += unread
        names = {element.tag: element.text for element in elements if len(element.path) == 1}
        instance = names.get(_SOP_INSTANCE, "")
        headers += in_header.findings(elements, instance)
        standard += confidentiality.check_object(elements, profile, overridden, sentinels)
        standard += check_words(confidentiality.CHECK, output.path, elements, instance)
        structure = tuple((one.path, one.vr, not one.value) for one in elements)
        kind = (names.get(_SERIES, ""), names.get(_SOP_CLASS, ""), structure)
        judged.setdefault(kind, (output, instance))
    checks = [
        _check(header.CHECK, len(outputs), headers, _counted(sentinels)),
        _check(confidentiality.CHECK, len(outputs), standard),
    ]
    conform, note = _conformance(list(judged.values()), need_dciodvfy)
    checks.append(_check(conformance.CHECK, len(judged), conform, note))
    read, regions, looked_at, note = _pixels(outputs, search, profile, pixels, known)
    checks.append(_check(pictures.CHECK, looked_at, read, note))
    return GateReport(
        checks=tuple(checks),
        findings=summed([*headers, *standard, *conform, *read]),
        regions=regions[:_MOST_REGIONS],
        unshown=dict(Counter(region.kind for region in regions[_MOST_REGIONS:])),
        code=code_version("hounsfield.gate"),
    )


def _read(path: Path) -> tuple[list[Element], list[Finding]]:
    try:
        return list(read_elements(path)), []
    except UnreadableFile:
        return [], [Finding(header.CHECK, "a file that the second reader cannot read", "")]


def _check(name: str, looked_at: int, findings: Sequence[Finding], note: str = "") -> Check:
    return Check(name, looked_at, len(summed(findings)), note)


def _counted(sentinels: Sentinels) -> str:
    counts = {kind: len(texts) for kind, texts in sorted(sentinels.all_texts().items()) if texts}
    counts |= {"UID": len(sentinels.uids), "date": len(sentinels.days)}
    return "looked for: " + ", ".join(f"{kind} {count}" for kind, count in counts.items())


def _conformance(judged: Sequence[tuple[Output, str]], needed: bool) -> tuple[list[Finding], str]:
    """One object of each series, SOP class and structure: which elements, and which are empty."""
    tool = conformance.program()
    if tool is None:
        missing = [Finding(conformance.CHECK, "dciodvfy is not installed", "")] if needed else []
        return missing, "not made: dciodvfy is not installed"
    return [
        finding
        for output, instance in judged
        for finding in conformance.compare(tool, output.raw, output.path, instance)
    ], ""


def _pixels(
    outputs: Sequence[Output],
    search: Search,
    profile: Profile,
    wanted: bool,
    known: pictures.Headers,
) -> tuple[list[Finding], tuple[Region, ...], int, str]:
    if not (wanted and profile.clean_pixel_data):
        return [], (), 0, "not made: not asked for"
    groups = pictures.grouped([(output.raw, output.path) for output in outputs], known)
    masked = {output.path: output.masked for output in outputs}
    left = {output.path: output.left for output in outputs}
    findings: list[Finding] = []
    regions: list[Region] = []
    for group in groups:
        for finding, box in pictures.read_group(group, search):
            findings.append(finding)
            regions.append(Region(0, group.object, finding.place, box, finding.rule, group.size))
    doubted = list(_boxes(groups, left, _LEFT))
    findings += [Finding(pictures.CHECK, _LEFT, "", object=region.object) for region in doubted]
    # A reviewer sees also whether what was masked was right to mask.
    regions += [*doubted, *_boxes(groups, masked, "masked")]
    numbered = [replace(region, number=index + 1) for index, region in enumerate(regions)]
    return findings, tuple(numbered), len(groups), ""


def _boxes(
    groups: Sequence[pictures.Group], boxes: dict[Path, tuple[Box, ...]], why: str
) -> Iterator[Region]:
    """What the cleaner told of the objects, once a group."""
    for group in groups:
        for box in dict.fromkeys(box for path in group.output for box in boxes[path]):
            yield Region(0, group.object, "", box, why, group.size)
