"""mixed: studies of several patients, whose instances are told apart by their own headers.

Validation refuses a revision of several patients, so that nothing is made of it; what was made of
an earlier one, before the others' instances came, is one patient's. By its row such a study is one
patient's; what is erased of either leaves the other's instances.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select

from hounsfield.catalog.models import Event, Product
from hounsfield.deid import patient_identity
from hounsfield.dicom.reading import read_beginning
from hounsfield.errors import InvalidStudy, NotFound, UnreadableFile
from hounsfield.records import RunContext, StudyManifest
from hounsfield.site import Site
from hounsfield.stages.dispose import Grounds, dispose, past_locks
from hounsfield.stages.produce import open_product
from hounsfield.stages.revision import link_file, newest_revision, publish, raw_manifest
from hounsfield.stages.traces import forget_instances

__all__ = ["Mixed", "Revision", "mixed_studies", "part"]

_LAST = "StudyInstanceUID"  # of the attributes that tell whose it is


class Revision(NamedTuple):
    """One of a study, and the paths of its instances."""

    product: Product
    paths: frozenset[str]
    is_valid: bool


@dataclass(frozen=True)
class Mixed:
    """A study whose revisions hold instances of several patients.

    Attributes
    ----------
    patient_keys
        Path of an instance → its patient's pseudonyms under each version of the key. It is not
        there where the header tells nobody.
    """

    study_key: str
    revisions: tuple[Revision, ...]
    patient_keys: Mapping[str, frozenset[str]]

    def of(self, patient_keys: Collection[str]) -> frozenset[str]:
        """Paths of this patient's instances."""
        return frozenset(
            path for path, keys in self.patient_keys.items() if not keys.isdisjoint(patient_keys)
        )

    def valid_of(self, patient_keys: Collection[str]) -> list[Product]:
        """This patient's revisions that validation passed.

        Whatever was made in the study was made of these, if there are any.
        """
        own = self.of(patient_keys)
        return [one.product for one in self.revisions if one.is_valid and one.paths & own]


def mixed_studies(site: Site, *, purpose: str, run: RunContext) -> list[Mixed]:
    """All of them, by the headers. PHI: that they are read is an event of the audit trail.

    Raises
    ------
    NotYet
        Some lie in an archive; all of these were asked for.
    """
    site.audit.append(action="headers.read", object="studies not valid", purpose=purpose, run=run)
    is_raw = Product.kind == "raw"
    passed = (
        select(Event.id)
        .where(Event.study_key == Product.study_key, Event.digest == Product.digest)
        .where(Event.stage == "validate", Event.state == "done")
        .exists()
    )
    doubtful = is_raw & Product.study_key.in_(select(Product.study_key).where(is_raw, ~passed))
    valid = {*site.catalog.all(select(Product.product_id).where(doubtful, passed))}
    query = select(Product).where(doubtful).order_by(Product.created_at, Product.product_id)
    products = site.catalog.all(query)
    site.recall([product.uri for product in products], where="studies not valid")
    studies: dict[str, list[Product]] = defaultdict(list)
    for product in products:
        studies[product.study_key].append(product)
    looked = (_looked_at(site, key, held, valid) for key, held in studies.items())
    return [one for one in looked if len(set(one.patient_keys.values())) > 1]


def part(
    site: Site, mixed: Mixed, patient_keys: Collection[str], grounds: Grounds, *, run: RunContext
) -> None:
    """Takes a patient's instances out of a study that others are in, too.

    A revision without them becomes the newest, and then those with them go. Killed at any point,
    it does the same again.
    """
    gone, newest = mixed.of(patient_keys), newest_revision(site, mixed.study_key)
    if newest is not None:
        _publish_rest(site, newest, gone, f"{grounds.rule}: {grounds.why}", run)
    with past_locks() as past:
        for revision in mixed.revisions:
            if revision.paths & gone:
                with past():
                    dispose(site, revision.product, grounds, run=run)
        site.catalog.resolve(mixed.study_key, InvalidStudy.code)
        forget_instances(site, mixed.study_key)


def _publish_rest(
    site: Site, newest: Product, gone: frozenset[str], purpose: str, run: RunContext
) -> None:
    zone = site.zone("raw", site.region_of(newest.study_key))
    with open_product(site, newest) as folder, zone.draft() as draft:
        manifest = raw_manifest(folder)
        rest = _without(manifest, gone)
        if rest.digest == manifest.digest:
            return
        (draft / "instances").mkdir()
        for entry in rest.instances:
            link_file(folder / "instances" / entry.path, draft / "instances" / entry.path)
        identity = site.vault.open(newest.study_key, purpose=purpose, run=run)
        publish(site, newest.study_key, rest, draft, identity, run)


def _without(manifest: StudyManifest, gone: frozenset[str]) -> StudyManifest:
    left = [
        replace(series, instances=tuple(one for one in series.instances if one.path not in gone))
        for series in manifest.series
    ]
    return replace(manifest, series=tuple(series for series in left if series.instances))


def _looked_at(
    site: Site, study_key: str, products: Collection[Product], valid: Collection[str]
) -> Mixed:
    revisions: list[Revision] = []
    named: dict[str, tuple[str, str]] = {}
    for product in products:
        # Of one that is damaged, scrubbing tells.
        with suppress(NotFound, FileNotFoundError), open_product(site, product) as folder:
            paths = frozenset(entry.path for entry in raw_manifest(folder).instances)
            revisions.append(Revision(product, paths, product.product_id in valid))
            named |= dict(_named(folder / "instances", paths - named.keys()))
    return Mixed(study_key, tuple(revisions), _keys(site, named))


def _named(folder: Path, paths: Collection[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Path → PatientID and its issuer, of those that tell."""
    for path in filter(lambda path: (folder / path).is_file(), paths):
        with suppress(UnreadableFile):
            header = read_beginning(folder / path, _LAST)
            if str(header.get("PatientID", "") or "").strip():
                yield path, patient_identity(header)


def _keys(site: Site, named: Mapping[str, tuple[str, str]]) -> dict[str, frozenset[str]]:
    """Who leaves out the issuer means the only one that others name, as in validation."""
    issuers: dict[str, set[str]] = defaultdict(set)
    for patient_id, issuer in named.values():
        issuers[patient_id].add(issuer)
    found = {}
    for path, (patient_id, issuer) in named.items():
        is_one = len(issuers[patient_id] - {""}) <= 1
        same = issuers[patient_id] if is_one else {issuer}
        found[path] = frozenset(
            key for one in same for key in site.keys.patient_keys(patient_id, one)
        )
    return found
