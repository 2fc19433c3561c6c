"""What de-identification gave, before anything lets it out of the protected zone.

A candidate lies in the zone `quarantine`: it may still name its patient, and the raw zone holds
what came, byte for byte, and nothing else. Released, it is published to the zone `deid` and the
candidate goes; so a study that is whole has one de-identified copy, not two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath
from typing import Any

from hounsfield.catalog.models import Product
from hounsfield.deid import Profile
from hounsfield.deid.pixels import Box, mask_known
from hounsfield.deid.recipe import Recipe as SiteRecipe
from hounsfield.deid.stamp import stamp_masked
from hounsfield.dicom.reading import read_beginning, read_header
from hounsfield.dicom.writing import write_dataset
from hounsfield.errors import NotFound, UnreadableFile
from hounsfield.gate import GateReport, Output, inspect
from hounsfield.gate.elements import read_elements
from hounsfield.pseudonyms import Pseudonyms
from hounsfield.records import RunContext
from hounsfield.site import Site
from hounsfield.stages.produce import Recipe, open_product, open_raw

__all__ = [
    "INSTANCES",
    "candidate_recipe",
    "candidate_recipes",
    "content_of",
    "is_settled",
    "look_again",
    "mask_regions",
    "pair",
    "profile_of",
    "released_recipe",
    "under_review",
]

#: Folder of the objects in a candidate, and in what is released.
INSTANCES = "instances"
_SOP_INSTANCE = 0x00080018


def profile_of(site: Site) -> Profile:
    """The profile that configs/site.yaml names."""
    return Profile.load(site.settings.configs / "deid" / f"{site.settings.site.deid_profile}.yaml")


def candidate_recipe(site: Site, study_key: str, profile: Profile) -> Recipe:
    """Of the newest revision, with the masks that reviewers asked for so far.

    Raises
    ------
    NotFound
        If nothing was received of the study.
    """
    *_, newest = candidate_recipes(site, study_key, profile)
    return newest


def candidate_recipes(site: Site, study_key: str, profile: Profile) -> Iterator[Recipe]:
    """Of the newest revision: without what reviewers asked for, and after each answer of theirs.

    What a person saw in a picture stays masked, also where images came later, or other code
    takes the patient out.

    Raises
    ------
    NotFound
        If nothing was received of the study.
    """
    raw = site.catalog.latest(study_key, "raw")
    recipe = Recipe(
        kind="candidate",
        zone="quarantine",
        folder="candidate",
        study_key=study_key,
        input_digest=raw.digest,
        packages=("hounsfield.deid", "hounsfield.dicom", "hounsfield.pseudonyms"),
        parameters={
            "profile": profile.name,
            "profile_digest": profile.digest,
            "key": site.pseudonyms_for(study_key).fingerprint,
        },
    )
    yield recipe
    asked: list[dict[str, Any]] = []
    for masks in site.catalog.masks(study_key):
        asked = [*asked, *masks]
        yield replace(recipe, parameters={**recipe.parameters, "masks": asked})


def released_recipe(candidate: Recipe) -> Recipe:
    """Of what a candidate becomes: the same, in the zone `deid`."""
    return replace(candidate, kind="deid", zone="deid", folder="")


def under_review(site: Site, study_key: str) -> Product:
    """What the gate looks at: what was released, or else the candidate.

    Raises
    ------
    NotFound
        If the study is not de-identified as configured now.
    """
    recipe = candidate_recipe(site, study_key, profile_of(site))
    for identity in (released_recipe(recipe).identity, recipe.identity):
        product = site.catalog.product(identity)
        if product is not None:
            return product
    raise NotFound("the study is not de-identified yet", where=study_key, remedy="clear deidentify")


def content_of(product: Product) -> str:
    """Digest of the objects: of a candidate all it holds, of what is released all but the
    certificate, which names it."""
    return str(product.detail.get("content", product.digest))


def mask_regions(
    folder: Path, masks: Sequence[dict[str, Any]], profile: Profile
) -> list[dict[str, Any]]:
    """Masks what reviewers asked for, in the objects of a candidate.

    Parameters
    ----------
    folder
        ``<SeriesInstanceUID>/<SOPInstanceUID>.dcm``, with the new UIDs.
    masks
        ``object`` (one of those UIDs) and ``box`` (x0, y0, x1, y1).

    Returns
    -------
    list of dict
        As a study's report tells of what was masked: of objects that a mask changed.
    """
    told = []
    for path in sorted(folder.rglob("*.dcm")) if masks else ():
        boxes = _boxes_for({path.stem, path.parent.name}, masks)
        if not boxes:
            continue
        dataset = read_header(path, stop_before_pixels=False)
        record = mask_known(dataset, boxes, "by a reviewer")
        if not record.changed:
            continue
        stamp_masked(dataset, profile)
        write_dataset(dataset, path)
        told.append({"output": path.relative_to(folder).as_posix(), **asdict(record)})
    return told


def is_settled(left: Mapping[str, Any], masks: Iterable[dict[str, Any]]) -> bool:
    """Whether what the cleaner could not mask away lies in what reviewers had masked since.

    Parameters
    ----------
    left
        ``output`` and ``boxes``, as a study's report tells of it.
    """
    masked = _boxes_for(set(PurePosixPath(left["output"]).with_suffix("").parts), masks)
    return all(any(_holds(mask, box) for mask in masked) for box in left["boxes"])


def _holds(outer: Box, inner: Box) -> bool:
    return (
        outer[0] <= inner[0]
        and outer[1] <= inner[1]
        and inner[2] <= outer[2]
        and inner[3] <= outer[3]
    )


def _boxes_for(names: set[str], masks: Iterable[dict[str, Any]]) -> list[Box]:
    boxes = (mask["box"] for mask in masks if mask["object"] in names)
    return [(x0, y0, x1, y1) for x0, y0, x1, y1 in boxes]


def look_again(
    site: Site,
    product: Product,
    *,
    run: RunContext,
    then: Callable[[GateReport, list[tuple[Path, Path]]], None],
) -> GateReport:
    """Sends a candidate through the gate.

    Parameters
    ----------
    then
        Called with what was found and the pairs (raw, output), while both are at hand.
    """
    profile = profile_of(site)
    overridden = SiteRecipe.of(profile).overrides
    with (
        open_product(site, product) as folder,
        open_raw(site, product.study_key, purpose="release gate", run=run) as (raw, manifest),
    ):
        paths = [raw / entry.path for entry in manifest.instances]
        names = site.pseudonyms_for(product.study_key)
        told = product.detail["masked"], product.detail.get("left", ())
        outputs = pair(paths, folder / INSTANCES, names, profile, *told)
        report = inspect(
            outputs,
            paths,
            profile,
            overridden=frozenset(overridden),
            need_dciodvfy=site.settings.site.need_dciodvfy,
        )
        then(report, [(output.raw, output.path) for output in outputs])
    return report


def pair(
    raw: Sequence[Path],
    folder: Path,
    pseudonyms: Pseudonyms,
    profile: Profile,
    masked: Iterable[Mapping[str, Any]] = (),
    left: Iterable[Mapping[str, Any]] = (),
) -> list[Output]:
    """Each output with the file that it was made from, by its SOPInstanceUID.

    An output that no raw file explains is paired with the first: it is looked at all the same.

    Parameters
    ----------
    masked, left
        What a study's report tells of masks, and of text that they did not take away: ``output``
        and its ``boxes``.
    """
    sources = {}
    for path in raw:
        uid = _sop_instance_uid(path)
        sources[uid if profile.retain_uids else pseudonyms.uid(uid)] = path
    boxes, doubted = _by_output(masked), _by_output(left)
    outputs = []
    for path in sorted(folder.rglob("*.dcm")):
        name = path.relative_to(folder).as_posix()
        source = sources.get(_sop_instance_uid(path), raw[0])
        outputs.append(
            Output(source, path, tuple(boxes.get(name, ())), tuple(doubted.get(name, ())))
        )
    return outputs


def _by_output(entries: Iterable[Mapping[str, Any]]) -> dict[str, list[Box]]:
    boxes: dict[str, list[Box]] = {}
    for entry in entries:
        boxes.setdefault(entry["output"], []).extend(tuple(box) for box in entry["boxes"])
    return boxes


def _sop_instance_uid(path: Path) -> str:
    """Of a file that breaks the rules, too, in pydicom's time."""
    with suppress(UnreadableFile):
        for element in read_elements(path):
            if element.path == (_SOP_INSTANCE,):
                return element.text
    return str(read_beginning(path, "SOPInstanceUID").get("SOPInstanceUID", ""))
