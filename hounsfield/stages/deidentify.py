"""deidentify: take the patient out, into a product that models may see."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from hounsfield.catalog.models import Product, Series, Study
from hounsfield.deid import Deidentifier, Profile
from hounsfield.dicom.reading import read_header
from hounsfield.errors import DeidentificationError
from hounsfield.records import RunContext
from hounsfield.site import Site
from hounsfield.stages.produce import Recipe, open_product, open_raw, produce
from hounsfield.stages.step import step

__all__ = ["deidentify"]

#: What routing and cohorts may ask of a series.
FACTS = (
    "Modality",
    "SOPClassUID",
    "BodyPartExamined",
    "SeriesDescription",
    "StudyDescription",
    "ProtocolName",
    "ConvolutionKernel",
    "Manufacturer",
    "ManufacturerModelName",
    "ImageType",
    "SliceThickness",
    "Rows",
    "Columns",
    "KVP",
    "PatientSex",
    "PatientAge",
)


def deidentify(site: Site, study_key: str, *, run: RunContext) -> dict[str, Any]:
    """De-identifies the newest revision under the site's profile.

    Returns
    -------
    dict
        ``study_key``, ``product_id``, ``digest`` and the ``profile`` with its digest.

    Raises
    ------
    DeidentificationError
        If the patient could not be taken out with certainty.
    """
    profile = Profile.load(
        site.settings.configs / "deid" / f"{site.settings.site.deid_profile}.yaml"
    )
    with step(site, study_key, "deidentify", run) as record:
        raw = site.catalog.latest(study_key, "raw")
        recipe = Recipe(
            kind="deid",
            zone="deid",
            study_key=study_key,
            input_digest=raw.digest,
            packages=("hounsfield.deid", "hounsfield.dicom", "hounsfield.pseudonyms"),
            parameters={
                "profile": profile.name,
                "profile_digest": profile.digest,
                "key": site.pseudonyms.fingerprint,
            },
        )

        def build(draft: Path) -> dict[str, Any]:
            engine = Deidentifier(profile, site.pseudonyms)
            with open_raw(site, study_key, purpose="deidentify", run=run) as (folder, manifest):
                paths = [folder / entry.path for entry in manifest.instances]
                report = engine.study(paths, draft / "instances")
            if not report.written:
                raise DeidentificationError(
                    f"no instance could be released: {report.refused[0].reason}",
                    where=study_key,
                    remedy="the study stays in the raw zone; see its quarantine entry",
                )
            return report.to_dict()

        product, made = produce(site, recipe, build, run=run)
        with open_product(site, product) as folder:
            headers = _first_headers(folder / "instances")
        _describe(site, study_key, headers)
        withheld = product.detail["refused"]
        for refusal in withheld:
            _quarantine(site, raw, refusal)
        record.say(
            f"{'De-identified' if made else 'Found de-identified'} "
            f"{product.detail['written']} instances in {len(headers)} series under profile "
            f"{profile.name}; {len(product.detail['masked'])} had burned-in text masked, "
            f"{len(withheld)} are withheld{_reasons(withheld)}.",
            digest=product.digest,
            version=f"{profile.name} {profile.digest[:12]}",
        )
        return {
            "study_key": study_key,
            "product_id": product.product_id,
            "digest": product.digest,
            "profile": f"{profile.name} {profile.digest[:12]}",
        }


def _reasons(withheld: list[dict[str, Any]]) -> str:
    reasons = sorted({refusal["reason"] for refusal in withheld})
    return f": {'; '.join(reasons)}" if reasons else ""


def _quarantine(site: Site, raw: Product, refusal: dict[str, Any]) -> None:
    """An instance that is not released stays in the raw zone alone, with its reason noted."""
    site.catalog.quarantine(
        raw.study_key,
        stage="deidentify",
        code=refusal["code"],
        reason=refusal["reason"],
        digest=f"{raw.digest[:32]}-{refusal['source']}",
        uri=raw.uri,
    )


def _first_headers(folder: Path) -> list[tuple[Dataset, int]]:
    """One header and the number of instances of each series."""
    found = []
    for series in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(series.iterdir())
        found.append((read_header(files[0]), len(files)))
    return found


def _describe(site: Site, study_key: str, headers: Iterable[tuple[Dataset, int]]) -> None:
    """Writes into the catalog what the de-identified headers say."""
    rows, first = [], None
    for header, count in headers:
        first = first or header
        rows.append(_series_row(site, study_key, header, count))
    if first is None:
        return
    site.catalog.put(*rows)
    with site.catalog.write() as session:
        study = session.get(Study, study_key)
        if study is not None:
            study.modalities = "/".join(sorted({row.modality for row in rows}))
            study.body_part = _text(first, "BodyPartExamined")
            study.description = _text(first, "StudyDescription")
            study.manufacturer = _text(first, "Manufacturer")
            study.study_date = _text(first, "StudyDate")[:8]


def _series_row(site: Site, study_key: str, header: Dataset, count: int) -> Series:
    facts: dict[str, Any] = {name: _plain(header.get(name)) for name in FACTS}
    facts = {name: value for name, value in facts.items() if value not in ("", [])}
    facts["instance_count"] = count
    thickness = facts.get("SliceThickness")
    return Series(
        series_key=str(header.SeriesInstanceUID),
        study_key=study_key,
        modality=_text(header, "Modality"),
        body_part=_text(header, "BodyPartExamined"),
        description=_text(header, "SeriesDescription"),
        manufacturer=_text(header, "Manufacturer"),
        slice_thickness_mm=thickness if isinstance(thickness, int | float) else None,
        instance_count=count,
        facts=facts,
    )


def _text(header: Dataset, name: str) -> str:
    value = header.get(name)
    return "" if value is None else str(value)


def _plain(value: object) -> Any:
    """A JSON value of an element's value."""
    if isinstance(value, int | float) and isfinite(value):
        return float(value) if isinstance(value, float) else int(value)
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return "" if value is None else str(value)
