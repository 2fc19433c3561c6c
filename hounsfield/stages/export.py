"""export: a study out of its zone again, as DICOM files."""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import select

from hounsfield.catalog.models import Product
from hounsfield.dicom.folders import new_folder, uid_name
from hounsfield.errors import IntegrityError, NotFound
from hounsfield.records import RunContext
from hounsfield.site import Site
from hounsfield.stages.chunk import VOLUME
from hounsfield.stages.produce import open_product, open_raw
from hounsfield.store.product import file_digest
from hounsfield.volume import Volume
from hounsfield.volume.export import write_instances

__all__ = ["export_raw", "export_volumes_of"]


def export_raw(
    site: Site, study_key: str, destination: Path, *, run: RunContext, purpose: str = "export"
) -> int:
    """Every instance of a study's newest revision, byte for byte as it was received. PHI.

    Parameters
    ----------
    destination
        A new folder, ``SeriesInstanceUID/SOPInstanceUID.dcm``. It appears whole or not at all.
    purpose
        Why; it stands in the audit trail.

    Returns
    -------
    int
        How many instances.

    Raises
    ------
    NotFound
        There is no such study.
    ConfigError
        Something lies at `destination` already.
    IntegrityError
        A file in the raw zone, or its copy, is not the one that was received.
    """
    with (
        open_raw(site, study_key, purpose=purpose, run=run) as (folder, manifest),
        new_folder(destination) as draft,
    ):
        for series in manifest.series:
            place = draft / uid_name(series.SeriesInstanceUID)
            place.mkdir()
            for entry in series.instances:
                copy = place / f"{uid_name(entry.SOPInstanceUID)}.dcm"
                shutil.copyfile(folder / entry.path, copy)
                if file_digest(copy) != entry.sha256:
                    raise IntegrityError(
                        "an instance is not the one that was received",
                        where=study_key,
                        remedy="restore the raw zone from its copy",
                    )
        return len(manifest.instances)


def export_volumes_of(site: Site, study_key: str, destination: Path) -> int:
    """The newest volumes of a study as de-identified DICOM, pixels equal to the volumes'.

    Returns
    -------
    int
        How many instances.

    Raises
    ------
    NotFound
        The study has no volume.
    ConfigError
        Something lies at `destination` already.
    IntegrityError, GeometryError
        A volume is not what was written, or was resampled.
    """
    raw = site.catalog.latest(study_key, "raw")
    deid = site.catalog.latest(study_key, "deid", input_digest=raw.digest)
    query = select(Product).where(
        Product.study_key == study_key,
        Product.kind == "volume",
        Product.input_digest == deid.digest,
    )
    products = site.catalog.all(query.order_by(Product.created_at, Product.product_id))
    # Made anew by newer code, a picture or series has a product more: the newest counts.
    newest = {(one.series_key, one.detail.get("picture")): one for one in products}
    if not newest:
        raise NotFound("the study has no volume", where=study_key)
    count = 0
    with new_folder(destination) as draft:
        for product in newest.values():
            with open_product(site, product) as folder:
                count += write_instances(Volume.open(folder / VOLUME), draft)
    return count
