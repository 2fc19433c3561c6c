from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr

from hounsfield.errors import ConfigError, ModelError
from hounsfield.inference import Datalist
from hounsfield.inference.datalist import read_label


def test_paths_are_relative_to_the_list(tmp_path: Path) -> None:
    item = {"image": "v1", "label": "/elsewhere/l1", "subgroup": {"manufacturer": "ACME"}}
    path = tmp_path / "datalist.json"
    path.write_text(json.dumps({"training": [item], "validation": []}))
    (found,) = Datalist.read(path).training
    assert found.image == str(tmp_path / "v1")
    assert found.label == "/elsewhere/l1"
    assert found.subgroup == {"manufacturer": "ACME"}
    assert found.for_monai() == {"image": found.image, "label": found.label}


@pytest.mark.parametrize(
    ("data", "where"),
    [
        ({"testing": []}, "data list"),
        ({"training": [{"image": "a"}]}, "data list: training[0]"),
        ({"validation": [{"image": "a", "label": "b", "colour": "c"}]}, "data list: validation[0]"),
    ],
)
def test_what_is_wrong_is_named(data: dict[str, object], where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Datalist.from_dict(data)
    assert caught.value.where == where


def test_what_is_not_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "datalist.json").write_text("{")
    with pytest.raises(ConfigError, match="JSON"):
        Datalist.read(tmp_path / "datalist.json")


def test_labels_must_lie_on_their_volume(tmp_path: Path) -> None:
    array = zarr.create_array(str(tmp_path / "label"), shape=(4, 5, 6), dtype=np.uint8)
    array[1, 2, 3] = 7
    assert read_label(tmp_path / "label", (4, 5, 6))[1, 2, 3] == 7
    with pytest.raises(ModelError, match="grid"):
        read_label(tmp_path / "label", (4, 5, 7))
