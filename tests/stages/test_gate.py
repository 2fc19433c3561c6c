"""gate, review and release: nothing leaves the protected zone that was not let pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select

from hounsfield.catalog.models import Product, QuarantineItem, Series
from hounsfield.deid.pixels import StoredPixels
from hounsfield.deid.pixels.second_look import Look
from hounsfield.dicom.reading import read_header
from hounsfield.dicom.writing import write_dataset
from hounsfield.errors import ConfigError, DeidentificationError, IntegrityError, NotFound
from hounsfield.evidence import Certificate
from hounsfield.site import Site
from hounsfield.stages.candidate import under_review
from hounsfield.stages.chunk import chunk
from hounsfield.stages.deidentify import deidentify
from hounsfield.stages.gate import gate
from hounsfield.stages.produce import open_product
from hounsfield.stages.release import release
from hounsfield.stages.review import REASONS, decide, open_review, parse_regions
from tests.quality.conftest import CANARIES, ct_slice, save
from tests.stages.received import RUN, receive, screenshot, write_slices

NAME = CANARIES[0]
FALSE_ALARM, LEFT = REASONS[0], REASONS[4]

Spoil = Callable[[Dataset], None]


@pytest.fixture
def study_key(site: Site, tmp_path: Path) -> str:
    return receive(site, write_slices(tmp_path / "in"))


def spoil(site: Site, study_key: str, edit: Spoil) -> None:
    """Lets the cleaner fail: its candidate is edited, and sealed as if that were its work."""
    from hounsfield.store import seal

    product = under_review(site, study_key)
    zone, relative = site.locate(product.uri)
    with zone.open(relative) as folder:
        for path in folder.rglob("*.dcm"):
            dataset = read_header(path, stop_before_pixels=False)
            edit(dataset)
            write_dataset(dataset, path)
        sealed = seal(
            folder,
            product_id=product.product_id,
            kind=product.kind,
            study_key=study_key,
            detail=product.detail,
        )
    with site.catalog.write() as session:
        row = session.get(Product, product.product_id)
        assert row is not None
        row.digest = sealed.digest


def leave_a_name(dataset: Dataset) -> None:
    dataset.SeriesDescription = f"Thorax {NAME}"


def released(site: Site) -> list[Path]:
    return list(Path(site.settings.site.zones["deid"]).rglob("*.dcm"))


def kinds(site: Site) -> list[str]:
    return sorted(product.kind for product in site.catalog.all(select(Product)))


def doubtful(site: Site, study_key: str) -> None:
    """A candidate that still names its patient, and the question about it."""
    deidentify(site, study_key, run=RUN)
    spoil(site, study_key, leave_a_name)
    assert gate(site, study_key, run=RUN)["verdict"] == "doubtful"


def audited(site: Site, action: str) -> list[tuple[str, str]]:
    return [(e.actor, e.purpose) for e in site.audit.entries() if e.action == action]


def test_what_is_clean_is_released_without_a_person(site: Site, study_key: str) -> None:
    deidentify(site, study_key, run=RUN)
    assert kinds(site) == ["candidate", "raw"] and not released(site)
    assert not site.catalog.all(select(Series)), "no description is told before the gate"
    assert gate(site, study_key, run=RUN)["verdict"] == "passed"
    assert not released(site)
    done = release(site, study_key, run=RUN)
    assert done["released"] == "gate"
    assert release(site, study_key, run=RUN) == done, "a retry finds it released"
    assert kinds(site) == ["deid", "raw"] and len(released(site)) == 4
    assert site.catalog.all(select(Series))[0].instance_count == 4
    assert audited(site, "deid.release") == [("tester", "the release gate found nothing")]
    assert audited(site, "raw.read")[-1][1] == "release gate"
    assert open_review(site, study_key) is None
    assert chunk(site, study_key, run=RUN)["volumes"]
    assert site.catalog.study(study_key).state == "prepared"


def test_a_voice_is_withheld_with_its_reason(site: Site, tmp_path: Path) -> None:
    """The rest of its study goes on."""
    voice = ct_slice(0)
    voice.SOPClassUID, voice.Modality = "1.2.840.10008.5.1.4.1.1.9.4.1", "AU"
    voice.SOPInstanceUID += ".1"
    slices = write_slices(tmp_path / "in")
    key = receive(site, [*slices, save(voice, tmp_path / "in" / "voice.dcm")])
    deidentify(site, key, run=RUN)
    told = site.catalog.latest(key, "candidate").detail
    (item,) = site.catalog.all(select(QuarantineItem))
    assert told["written"] == len(slices)
    assert "a voice tells who speaks" in item.reason
    assert [refusal["reason"] for refusal in told["refused"]] == [item.reason]


def test_what_the_gate_did_not_see_is_not_released(site: Site, study_key: str) -> None:
    deidentify(site, study_key, run=RUN)
    with pytest.raises(DeidentificationError, match="neither the gate nor a person"):
        release(site, study_key, run=RUN)
    assert not released(site)


def test_what_changed_after_the_gate_is_not_released(site: Site, study_key: str) -> None:
    deidentify(site, study_key, run=RUN)
    gate(site, study_key, run=RUN)
    spoil(site, study_key, leave_a_name)
    with pytest.raises(DeidentificationError):
        release(site, study_key, run=RUN)
    assert not released(site)


def test_a_file_that_changed_under_its_seal_is_not_released(site: Site, study_key: str) -> None:
    deidentify(site, study_key, run=RUN)
    gate(site, study_key, run=RUN)
    zone, relative = site.locate(under_review(site, study_key).uri)
    with zone.open(relative) as folder:
        path = next(folder.rglob("*.dcm"))
        path.write_bytes(path.read_bytes() + b"\0\0")
    with pytest.raises(IntegrityError):
        release(site, study_key, run=RUN)
    assert not released(site)


def test_a_doubt_keeps_the_study_in_and_asks(site: Site, study_key: str) -> None:
    doubtful(site, study_key)
    assert kinds(site) == ["candidate", "raw", "review"] and not released(site)
    review = open_review(site, study_key)
    assert review is not None
    places = [finding["place"] for finding in review.report["findings"]]
    assert places == ["SeriesDescription (0008,103E)"]
    study = site.catalog.study(study_key)
    assert study.state == "review" and "1 of sentinels" in study.reason
    with pytest.raises(DeidentificationError):
        release(site, study_key, run=RUN)
    with pytest.raises(NotFound):
        chunk(site, study_key, run=RUN)


def test_what_was_found_is_told_without_a_value(site: Site, study_key: str) -> None:
    doubtful(site, study_key)
    review = open_review(site, study_key)
    assert review is not None
    told = json.dumps(review.report) + site.catalog.study(study_key).reason
    told += "".join(event.sentence for event in site.catalog.timeline(study_key))
    assert not [canary for canary in CANARIES if canary in told]


def test_a_person_releases(site: Site, study_key: str) -> None:
    doubtful(site, study_key)
    answer = {"decision": "Release", "why": FALSE_ALARM, "regions": ""}
    done = decide(site, study_key, answer, reviewer="officer", run=RUN)
    assert done["verdict"] == "passed"
    assert audited(site, "review.released") == [("officer", FALSE_ALARM)]
    assert release(site, study_key, run=RUN)["released"] == "officer"
    assert kinds(site) == ["deid", "raw"]
    with open_product(site, site.catalog.latest(study_key, "deid")) as folder:
        certificate = Certificate.read(folder)
    assert certificate.decision["by"] == "officer" and certificate.decision["at"]
    assert certificate.verdict == "doubtful" and len(certificate.findings) == 1


def test_a_released_study_is_looked_at_again_and_asks_nobody_again(
    site: Site, study_key: str
) -> None:
    doubtful(site, study_key)
    answer = {"decision": "Release", "why": FALSE_ALARM}
    decide(site, study_key, answer, reviewer="officer", run=RUN)
    first = release(site, study_key, run=RUN)
    reads = len(audited(site, "raw.read"))
    deidentify(site, study_key, run=RUN)
    assert gate(site, study_key, run=RUN)["verdict"] == "passed"
    assert len(audited(site, "raw.read")) == reads + 1, "the gate has looked"
    assert release(site, study_key, run=RUN)["digest"] == first["digest"]
    assert kinds(site) == ["deid", "raw"]


def test_a_person_rejects(site: Site, study_key: str) -> None:
    doubtful(site, study_key)
    answer = {"decision": "Reject", "why": LEFT}
    with pytest.raises(DeidentificationError, match="rejected"):
        decide(site, study_key, answer, reviewer="officer", run=RUN)
    assert audited(site, "review.rejected") == [("officer", LEFT)]
    study = site.catalog.study(study_key)
    assert study.state == "quarantined" and LEFT in study.reason
    assert kinds(site) == ["candidate", "raw"] and not released(site)
    with pytest.raises(DeidentificationError):
        release(site, study_key, run=RUN)
    # Asked again, the question is open again.
    assert gate(site, study_key, run=RUN)["verdict"] == "doubtful"
    assert open_review(site, study_key) is not None


def test_who_rejected_first_stays_named_where_somebody_releases_later(
    site: Site, study_key: str
) -> None:
    doubtful(site, study_key)
    with pytest.raises(DeidentificationError, match="rejected"):
        decide(site, study_key, {"decision": "Reject", "why": LEFT}, reviewer="first", run=RUN)
    for _ in range(2):  # Looked at again, the same question stays open.
        assert gate(site, study_key, run=RUN)["verdict"] == "doubtful"
    answer = {"decision": "Release", "why": FALSE_ALARM}
    decide(site, study_key, answer, reviewer="second", run=RUN)
    release(site, study_key, run=RUN)
    with open_product(site, site.catalog.latest(study_key, "deid")) as folder:
        reviews = Certificate.read(folder).reviews
    assert [(one["by"], one["decision"]) for one in reviews] == [
        ("first", "rejected"),
        ("second", "released"),
    ]


def test_what_was_released_too_early_is_taken_back(site: Site, study_key: str) -> None:
    """A later gate that knows more looks at what is released already."""
    deidentify(site, study_key, run=RUN)
    gate(site, study_key, run=RUN)
    release(site, study_key, run=RUN)
    certificate = site.settings.site.docs / "certificates" / f"{study_key}.html"
    assert certificate.is_file()
    spoil(site, study_key, leave_a_name)
    assert gate(site, study_key, run=RUN)["verdict"] == "doubtful"
    with pytest.raises(DeidentificationError):
        decide(site, study_key, {"decision": "Reject", "why": LEFT}, reviewer="officer", run=RUN)
    assert not released(site) and kinds(site) == ["raw"]
    assert not certificate.exists()


@pytest.mark.parametrize(("needed", "verdict"), [(False, "passed"), (True, "doubtful")])
def test_a_site_says_whether_it_needs_dciodvfy(
    needed: bool, verdict: str, site: Site, study_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hounsfield.gate.conformance.program", lambda: None)
    changed = site.settings.site.model_copy(update={"need_dciodvfy": needed})
    strict = Site(site.settings.model_copy(update={"site": changed}))
    deidentify(strict, study_key, run=RUN)
    assert gate(strict, study_key, run=RUN)["verdict"] == verdict


# Burned-in text.


@pytest.fixture
def burned_in(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The cleaner's reader is blind: what is burned in stays in the candidate."""
    monkeypatch.setattr("hounsfield.deid.pixels.clean.look_at", lambda *_: Look([], []))
    files = [save(screenshot(f"{NAME} 4711"), tmp_path / "in" / "shot.dcm")]
    key = receive(site, files)
    deidentify(site, key, run=RUN)
    assert gate(site, key, run=RUN)["verdict"] == "doubtful"
    return key


def pictures(site: Site, study_key: str) -> dict[str, bytes]:
    review = open_review(site, study_key)
    assert review is not None
    product = site.catalog.product(review.pictures)
    assert product is not None
    with open_product(site, product) as folder:
        return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def test_a_reviewer_sees_before_and_after(site: Site, burned_in: str) -> None:
    shown = pictures(site, burned_in)
    assert {"1-before.png", "1-after.png"} <= shown.keys()
    assert all(content.startswith(b"\x89PNG") for content in shown.values())


def test_the_timeline_tells_of_regions_that_are_not_shown(
    site: Site, burned_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    review = open_review(site, burned_in)
    assert review is not None
    count = len(review.report["regions"])
    monkeypatch.setattr("hounsfield.gate.gate._MOST_REGIONS", 0)
    gate(site, burned_in, run=RUN)
    told = site.catalog.timeline(burned_in)[-1].sentence
    assert told.endswith(f"Of {count} regions 0 are shown.")


def test_more_is_masked_and_looked_at_again(site: Site, burned_in: str) -> None:
    review = open_review(site, burned_in)
    assert review is not None
    numbers = "; ".join(str(region["number"]) for region in review.report["regions"])
    answer = {"decision": "Mask more", "why": LEFT, "regions": numbers}
    done = decide(site, burned_in, answer, reviewer="officer", run=RUN)
    assert done["verdict"] == "passed"
    assert release(site, burned_in, run=RUN)["released"] == "gate"
    product = site.catalog.latest(burned_in, "deid")
    with open_product(site, product) as folder:
        certificate = Certificate.read(folder)
    assert certificate.masked["regions"] >= 1
    assert [(one["by"], one["decision"], one["why"]) for one in certificate.reviews] == [
        ("officer", "masked", LEFT)
    ]
    assert certificate.reviews[0]["masks"] == len(review.report["regions"])
    assert audited(site, "review.masked") == [("officer", LEFT)]
    (output,) = released(site)
    assert "Burned-in text masked" in read_header(output).DerivationDescription
    # Sent through again, the masks are remembered.
    deidentify(site, burned_in, run=RUN)
    assert under_review(site, burned_in).digest == product.digest


@pytest.fixture
def unmasked(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The cleaner reads what its masks do not take away, and the gate's reader is blind."""
    monkeypatch.setattr(StoredPixels, "mask", lambda *_: False)
    monkeypatch.setattr("hounsfield.gate.pictures.find_text", lambda *_, **__: [])
    key = receive(site, [save(screenshot(f"{NAME} 4711"), tmp_path / "in" / "shot.dcm")])
    deidentify(site, key, run=RUN)
    assert gate(site, key, run=RUN)["verdict"] == "doubtful"
    monkeypatch.undo()
    return key


def test_what_the_cleaner_cannot_mask_away_a_person_decides_on(site: Site, unmasked: str) -> None:
    review = open_review(site, unmasked)
    assert review is not None
    (finding,) = review.report["findings"]
    assert finding["rule"] == "text that the cleaner could not mask away"
    assert {"1-before.png", "1-after.png"} <= pictures(site, unmasked).keys()
    assert not released(site)
    answer = {"decision": "Release", "why": FALSE_ALARM}
    assert decide(site, unmasked, answer, reviewer="officer", run=RUN)["verdict"] == "passed"
    assert release(site, unmasked, run=RUN)["released"] == "officer"


def test_what_a_reviewer_had_masked_is_no_doubt_of_the_cleaner(
    site: Site, unmasked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hounsfield.deid.pixels.clean._ROUNDS", 0)
    review = open_review(site, unmasked)
    assert review is not None
    doubts = [one for one in review.report["regions"] if one["why"] != "masked"]
    numbers = "; ".join(str(one["number"]) for one in doubts)
    answer = {"decision": "Mask more", "why": LEFT, "regions": numbers}
    assert decide(site, unmasked, answer, reviewer="officer", run=RUN)["verdict"] == "passed"
    assert release(site, unmasked, run=RUN)["released"] == "gate"


def test_what_a_reviewer_had_masked_stays_masked_when_images_come_later(
    site: Site, burned_in: str, tmp_path: Path
) -> None:
    answer = {"decision": "Mask more", "why": LEFT, "regions": "1"}
    assert decide(site, burned_in, answer, reviewer="officer", run=RUN)["verdict"] == "passed"
    release(site, burned_in, run=RUN)
    receive(site, [tmp_path / "in" / "shot.dcm", *write_slices(tmp_path / "later")])
    deidentify(site, burned_in, run=RUN)
    assert under_review(site, burned_in).detail["written"] == 5
    assert gate(site, burned_in, run=RUN)["verdict"] == "passed", "nobody is asked again"
    release(site, burned_in, run=RUN)
    with open_product(site, site.catalog.latest(burned_in, "deid")) as folder:
        certificate = Certificate.read(folder)
    assert certificate.masked["objects"] == 1
    assert [(one["by"], one["decision"]) for one in certificate.reviews] == [("officer", "masked")]


def test_a_mask_beside_the_text_asks_again(site: Site, burned_in: str) -> None:
    answer = {"decision": "Mask more", "why": LEFT, "regions": "1: 0 0 10 10"}
    done = decide(site, burned_in, answer, reviewer="officer", run=RUN)
    assert done["verdict"] == "doubtful"
    assert open_review(site, burned_in) is not None and not released(site)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"regions": "1: 2"}, "a region is"),
        ({"regions": "99"}, "a region is"),
        ({"regions": f"{NAME}"}, "a region is"),
        ({"regions": " "}, "at least one"),
        ({"regions": None}, "at least one"),
        ({"regions": [NAME]}, "a region is"),
        ({"decision": "Release"}, "a release masks none"),
        ({"decision": "Release", "regions": ""}, "speaks against a release"),
        ({"why": f"it is {NAME}"}, "none of those offered"),
        ({"why": None}, "none of those offered"),
        ({"decision": "Burn"}, "none of those offered"),
    ],
)
def test_what_is_no_answer_changes_nothing(
    site: Site, burned_in: str, change: dict[str, Any], match: str
) -> None:
    answer: dict[str, Any] = {"decision": "Mask more", "why": LEFT, "regions": "1", **change}
    with pytest.raises(ConfigError, match=match) as refusal:
        decide(site, burned_in, answer, reviewer="officer", run=RUN)
    assert NAME not in str(refusal.value)
    assert open_review(site, burned_in) is not None
    assert site.catalog.study(burned_in).state == "review"


def test_an_answer_without_its_form_changes_nothing(site: Site, burned_in: str) -> None:
    with pytest.raises(ConfigError, match="none of those offered"):
        decide(site, burned_in, {"decision": "Release"}, reviewer="officer", run=RUN)
    assert open_review(site, burned_in) is not None and not audited(site, "review.released")


def test_regions_are_boxes(site: Site, burned_in: str) -> None:
    review = open_review(site, burned_in)
    assert review is not None
    first = review.report["regions"][0]
    masks = parse_regions(f"{first['number']}; {first['number']}: 10, 20 30 40;", review)
    assert [mask["box"] for mask in masks] == [list(first["box"]), [10, 20, 40, 60]]
    assert {mask["object"] for mask in masks} == {first["object"]}


def test_an_answer_without_a_question(site: Site, study_key: str) -> None:
    answer = {"decision": "Release", "why": FALSE_ALARM}
    with pytest.raises(NotFound, match="no review is open"):
        decide(site, study_key, answer, reviewer="officer", run=RUN)
