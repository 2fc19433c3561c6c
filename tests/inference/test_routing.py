from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hounsfield.errors import ConfigError
from hounsfield.inference import Routes, load_routes, route

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "routing.yaml"
CHEST: dict[str, Any] = {
    "series_key": "2.25.1",
    "Modality": "CT",
    "BodyPartExamined": "CHEST",
    "SeriesDescription": "Axial 2.5 mm",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "SliceThickness": 2.5,
    "shape": [100, 512, 512],
    "spacing_zyx": [2.5, 0.7, 0.7],
}


@pytest.fixture(scope="module")
def routes() -> Routes:
    return load_routes(CONFIG)


def test_a_chest_ct_goes_to_both_models(routes: Routes) -> None:
    decision = route([CHEST], routes)
    assert [r.model for r in decision.routes] == ["lung_nodule", "lung_density"]
    assert {r.series_key for r in decision.routes} == {"2.25.1"}
    assert decision.declined == {}
    assert decision.routes[0].reason == "CT, 100 slices of 2.5 mm"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Modality": "MR"}, "the modality MR is not CT"),
        ({"Modality": ""}, "the modality (none) is not CT"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "the image type is LOCALIZER"),
        ({"ImageType": "ORIGINAL\\PRIMARY\\LOCALIZER"}, "the image type is LOCALIZER"),
        ({"SeriesDescription": "Dose Report"}, "its description is refused"),
        ({"BodyPartExamined": "HEAD"}, "neither body part nor descriptions name the region"),
        ({"BodyPartExamined": None}, "neither body part nor descriptions name the region"),
        ({"SliceThickness": 8.0}, "slices of 8 mm are not within 0.4 to 5"),
        (
            {"SliceThickness": None, "spacing_zyx": None},
            "the slice thickness is not known",
        ),
        ({"shape": [12, 512, 512]}, "12 slices are fewer than 40"),
    ],
)
def test_what_a_model_does_not_want_it_declines_with_the_reason(
    routes: Routes, change: dict[str, Any], reason: str
) -> None:
    decision = route([{**CHEST, **change}], routes)
    assert decision.declined["lung_nodule"] == reason
    assert "lung_nodule" not in [r.model for r in decision.routes]


@pytest.mark.parametrize(
    "change",
    [
        {"BodyPartExamined": "", "StudyDescription": "CT Thorax nativ"},
        {"BodyPartExamined": "", "ProtocolName": "LUNG SCREENING"},
        {"BodyPartExamined": "chest"},
        {"SliceThickness": 0.39},
        {"SliceThickness": None},
        {"ImageType": None},
    ],
)
def test_what_is_known_otherwise_suffices(routes: Routes, change: dict[str, Any]) -> None:
    assert "lung_nodule" not in route([{**CHEST, **change}], routes).declined


def test_gaps_count_as_thickness(routes: Routes) -> None:
    spread = {**CHEST, "SliceThickness": 1.0, "spacing_zyx": [7.5, 0.7, 0.7]}
    decision = route([spread], routes)
    assert "7.5 mm" in decision.declined["lung_nodule"]
    assert [r.model for r in decision.routes] == ["lung_density"]


def test_the_thinnest_series_of_a_study_is_taken(routes: Routes) -> None:
    thin = {**CHEST, "series_key": "2.25.2", "SliceThickness": 1.0, "spacing_zyx": [1.0, 0.7, 0.7]}
    head = {**CHEST, "series_key": "2.25.3", "BodyPartExamined": "HEAD"}
    for order in ([CHEST, thin, head], [head, thin, CHEST]):
        decision = route(order, routes)
        assert {r.series_key for r in decision.routes} == {"2.25.2"}
        assert "thinnest of 2" in decision.routes[0].reason


def test_equal_series_are_chosen_between_by_key(routes: Routes) -> None:
    twin = {**CHEST, "series_key": "2.25.0"}
    assert {r.series_key for r in route([CHEST, twin], routes).routes} == {"2.25.0"}
    assert {r.series_key for r in route([twin, CHEST], routes).routes} == {"2.25.0"}


def test_a_study_without_volumes_goes_nowhere(routes: Routes) -> None:
    decision = route([], routes)
    assert decision.routes == ()
    assert set(decision.declined.values()) == {"the study has no volume"}


def test_reasons_quote_no_free_text(routes: Routes) -> None:
    series = {**CHEST, "SeriesDescription": "report of Q. Zweistein", "BodyPartExamined": "Q"}
    assert "Zweistein" not in str(route([series], routes))


def test_many_series_are_declined_in_few_words(routes: Routes) -> None:
    scout = {**CHEST, "ImageType": ["LOCALIZER"]}
    assert route([scout, scout | {"series_key": "b"}], routes).declined["lung_nodule"] == (
        "the image type is LOCALIZER (2 series)"
    )


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("models: {m: {modality: [CT], colour: red}}", "models.m.colour"),
        ("models: {m: {}}", "models.m.modality"),
        ("models: {m: {modality: [CT], description: '('}}", "models.m.description"),
        (
            "models: {m: {modality: [CT], slice_thickness_mm: {least: 5, most: 1}}}",
            "models.m.slice_thickness_mm",
        ),
        ("rules: []", "models"),
    ],
)
def test_a_wrong_table_is_refused_by_its_key(tmp_path: Path, text: str, where: str) -> None:
    path = tmp_path / "routing.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_routes(path)
    assert where in caught.value.where
