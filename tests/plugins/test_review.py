"""The review page: PHI for those alone who may decide, and no look without a trace."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hounsfield.catalog.models import Product, Review, Study
from hounsfield.gate import Check, Finding, GateReport, Region
from hounsfield.site import Site
from hounsfield.store import seal
from operators.review import ReviewStudyOperator
from tests.plugins.conftest import open_site
from tests.plugins.test_pages import Reader

OpenPage = Callable[..., Any]
WAITING = "st-r3v7c2m5x4qapz6b"
PATH = f"/hounsfield/studies/{WAITING}/review"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c63600000000200015b6f2a1b0000000049454e44ae426082"
)
REPORT = GateReport(
    checks=(Check("sentinels", 4, 1), Check("pixels", 1, 1)),
    findings=(
        Finding("pixels", "text left: person", "frame 1", 1, "2.25.7"),
        Finding("sentinels", "person", "SeriesDescription (0008,103E)", 4, "2.25.1"),
    ),
    regions=(
        Region(1, "2.25.7", "frame 1", (60, 90, 300, 130), "text left: person"),
        Region(2, "2.25.7", "", (10, 200, 90, 220), "masked"),
    ),
    code="0.1.0+abc",
)


def ask(
    site: Site, report: GateReport = REPORT, *, pictures: bool = True, run_id: str = "asset__1"
) -> Site:
    """A study that waits for a person."""
    product = Product(
        product_id="a" * 64,
        study_key=WAITING,
        kind="review",
        digest="b" * 64,
        input_digest="c" * 64,
        uri=site.zone("review").uri(f"{WAITING}/one"),
    )
    if pictures:
        folder = Path(site.settings.site.zones["review"]) / WAITING / "one"
        folder.mkdir(parents=True)
        for name in ("1-before", "1-after", "2-before", "2-after"):
            (folder / f"{name}.png").write_bytes(PNG)
        seal(folder, product_id=product.product_id, kind="review", study_key=WAITING, detail={})
    review = Review(
        review_id="d" * 64,
        study_key=WAITING,
        product_id="e" * 64,
        digest="c" * 64,
        findings_digest=report.findings_digest,
        report=report.to_dict(),
        pictures=product.product_id,
        dag_id="prepare",
        run_id=run_id,
    )
    study = Study(study_key=WAITING, patient_key="pt-a", state="review", reason="in doubt")
    site.catalog.put(study, product, review)
    return site


@pytest.fixture
def waiting(tmp_path: Path) -> Site:
    return ask(open_site(tmp_path))


def views(site: Site) -> list[tuple[str, str, str]]:
    return [(e.actor, e.object, e.run) for e in site.audit.entries() if e.action == "review.view"]


def only(entity: str) -> Callable[..., bool]:
    """An auth manager's answer: allowed but for this."""
    return lambda requests, *, user: all(each["access_entity"].name != entity for each in requests)


def test_a_reviewer_sees_before_and_after(open_page: OpenPage, waiting: Site) -> None:
    page = open_page(waiting).get(PATH)
    assert page.status_code == 200
    assert len(re.findall(r'src="data:image/png;base64,', page.text)) == 4
    shown = Reader(page.text).text
    for words in ("text left: person", "SeriesDescription (0008,103E)", "as received", "masked"):
        assert words in shown
    assert 'placeholder="60 90 240 40"' in page.text


def test_a_reviewer_is_told_of_regions_that_are_not_shown(
    open_page: OpenPage, tmp_path: Path
) -> None:
    report = replace(REPORT, unshown={"text left": 3, "masked": 10})
    told = Reader(open_page(ask(open_site(tmp_path), report)).get(PATH).text).text
    assert "2 of 15 regions are shown." in told
    assert "Not shown: 10 masked, 3 text left." in told


def test_where_all_regions_are_shown_nothing_is_said(open_page: OpenPage, waiting: Site) -> None:
    told = open_page(waiting).get(PATH).text
    assert "regions are shown" not in told
    with waiting.catalog.write() as session:  # as a report of an older gate
        row = session.get(Review, "d" * 64)
        assert row is not None
        row.report = {name: each for name, each in row.report.items() if name != "unshown"}
    assert open_page(waiting).get(PATH).status_code == 200


def test_looking_is_written_down_with_the_name(open_page: OpenPage, waiting: Site) -> None:
    client = open_page(waiting)
    client.get(PATH)
    client.get(PATH)
    assert views(waiting) == [("officer", WAITING, "prepare/asset__1/review")] * 2


def test_without_a_session_nothing_is_shown(open_page: OpenPage, waiting: Site) -> None:
    answer = open_page(waiting, session=False).get(PATH)
    assert answer.status_code == 401
    assert "data:image" not in answer.text and not views(waiting)


def test_who_may_not_decide_may_not_look(
    open_page: OpenPage, waiting: Site, auth_manager: Any
) -> None:
    auth_manager.batch_is_authorized_dag.side_effect = only("HITL_DETAIL")
    client = open_page(waiting)
    answer = client.get(PATH)
    assert answer.status_code == 403
    assert "data:image" not in answer.text and not views(waiting)
    study = client.get(f"/hounsfield/studies/{WAITING}")
    assert study.status_code == 200 and "Review before release" not in study.text


def test_airflow_is_asked_for_the_right_to_answer(auth_manager: Any) -> None:
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from hounsfield_page.access import require_reviewer

    user: Any = object()
    assert require_reviewer(user) is user
    ((requests,),) = (call.args for call in auth_manager.batch_is_authorized_dag.call_args_list)
    (request,) = requests
    assert request["method"] == "PUT"
    assert request["access_entity"] is DagAccessEntity.HITL_DETAIL
    assert request["details"].id == "prepare"


def test_the_study_leads_there(open_page: OpenPage, waiting: Site) -> None:
    page = Reader(open_page(waiting).get(f"/hounsfield/studies/{WAITING}").text)
    assert PATH in page.links
    assert not views(waiting), "that page shows no PHI"


def test_headers(open_page: OpenPage, waiting: Site) -> None:
    """No copy is kept; pictures come with the page, and answers go to Airflow alone."""
    page = open_page(waiting).get(PATH)
    policy = page.headers["content-security-policy"]
    assert "img-src data:;" in policy and "connect-src 'self';" in policy
    assert "default-src 'none'" in policy and "unsafe" not in policy and "*" not in policy
    assert page.headers["cache-control"] == "no-store"
    other = open_page(waiting).get("/hounsfield/").headers["content-security-policy"]
    assert "img-src" not in other and "connect-src" not in other


def test_the_answer_goes_to_the_task_that_waits(open_page: OpenPage, tmp_path: Path) -> None:
    site = ask(open_site(tmp_path), run_id="by hand/50 %?#")
    page = open_page(site, prefix="/flow").get(f"/flow{PATH}").text
    run = "by%20hand%2F50%20%25%3F%23"
    path = f"/flow/api/v2/dags/prepare/dagRuns/{run}/taskInstances/review/-1/hitlDetails"
    assert f'data-answer="{path}"' in page


def test_reasons_against_a_release_are_known_to_the_page(
    open_page: OpenPage, waiting: Site
) -> None:
    page = open_page(waiting).get(PATH).text
    assert "<option data-against>text of the patient is left</option>" in page
    assert "<option>a word of the examination, not a name</option>" in page


def test_the_page_knows_how_many_regions_an_answer_has_room_for(
    open_page: OpenPage, waiting: Site
) -> None:
    most = ReviewStudyOperator(task_id="review").serialized_params["regions"]["schema"]["maxLength"]
    page = open_page(waiting).get(PATH).text
    assert f'data-room="{most}"' in page
    assert "regions.length > Number(form.dataset.room)" in page


def test_a_server_without_the_zone_says_so(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(ask(open_site(tmp_path), pictures=False)).get(PATH)
    assert page.status_code == 200
    assert "not within reach" in page.text and "data:image" not in page.text


@pytest.mark.parametrize("state", ["released", "masked", "rejected", "superseded"])
def test_a_question_that_is_answered_is_not_shown(
    open_page: OpenPage, waiting: Site, state: str
) -> None:
    with waiting.catalog.write() as session:
        row = session.get(Review, "d" * 64)
        assert row is not None
        row.state = state
    answer = open_page(waiting).get(PATH)
    assert answer.status_code == 404
    assert not views(waiting)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_page_itself_takes_no_answer(open_page: OpenPage, waiting: Site, method: str) -> None:
    assert open_page(waiting).request(method, PATH).status_code == 405
    assert not views(waiting)
