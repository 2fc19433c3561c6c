"""Settings: parsed once, unknown keys refused with the file and the key."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from hounsfield.errors import ConfigError
from hounsfield.settings import ReceiverSettings, Settings, load_yaml

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    """A copy of configs/ to spoil."""
    return Path(shutil.copytree(ROOT / "configs", tmp_path / "configs"))


def load(configs: Path, **variables: str) -> Settings:
    return Settings.load({"HOUNSFIELD_CONFIGS": str(configs), "HOUNSFIELD_HOME": "/h", **variables})


def spoil(path: Path, **keys: object) -> None:
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **keys}))


def test_the_defaults_lie_under_one_home(configs: Path) -> None:
    settings = load(configs)
    assert set(settings.site.zones) == {
        *(
            "raw",
            "deid",
            "volumes",
            "datasets",
            "results",
            "objects",
            "quarantine",
            "review",
            "evidence",
        )
    }
    for root in (*settings.site.zones.values(), str(settings.site.docs)):
        assert root.startswith("/h/")
    assert settings.site.databases.catalog == "sqlite:////h/databases/catalog.db"
    assert settings.site.key_file == Path("/h/secrets/project.key")


def test_variables_go_before_defaults(configs: Path) -> None:
    settings = load(
        configs,
        HOUNSFIELD_ZONE_RAW="s3://phi/raw",
        HOUNSFIELD_CATALOG_URL="postgresql+psycopg2://u:p@h/catalog",
        HOUNSFIELD_PACS_PORT="4242",
    )
    assert settings.site.zones["raw"] == "s3://phi/raw"
    assert settings.tiers.tiers["hot"].roots["raw"] == "s3://phi/raw", "a tier's root is its zone's"
    assert settings.site.databases.catalog == "postgresql+psycopg2://u:p@h/catalog"
    assert settings.sources["pacs"].peer["port"] == 4242


def test_a_folder_that_is_not_there_yet_is_no_error(configs: Path) -> None:
    """Loading touches nothing."""
    assert load(configs, HOUNSFIELD_HOME="/nowhere").home == Path("/nowhere")


@pytest.mark.parametrize("name", ["ROOT", "HOME", "CONFIGS", "MODELS"])
def test_an_empty_variable_names_no_folder(name: str) -> None:
    """Else it were the one that somebody stands in, which gets a project key and databases."""
    assert Settings.load({f"HOUNSFIELD_{name}": ""}) == Settings.load({})


def test_settings_are_frozen(configs: Path) -> None:
    settings = load(configs)
    with pytest.raises(ValidationError):
        settings.site.project = "other"  # type: ignore[misc]


@pytest.mark.parametrize("file", ["site", "sources", "tiers", "drift"])
def test_an_unknown_key_is_refused_by_its_name(configs: Path, file: str) -> None:
    spoil(configs / f"{file}.yaml", colour="grey")
    with pytest.raises(ConfigError, match=rf"configs/{file}\.yaml: colour: .*not permitted"):
        load(configs)


def test_an_unknown_key_deep_inside_is_named_too(configs: Path) -> None:
    rule = {"kind": "raw", "older_than_days": 1, "to": "warm", "colour": "grey"}
    spoil(configs / "tiers.yaml", rules=[rule])
    with pytest.raises(ConfigError, match=r"configs/tiers\.yaml: rules\.0\.colour"):
        load(configs)


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [("site", "zones", {"attic": "/attic"}), ("drift", "drift_share", 1.5), ("tiers", "rules", {})],
)
def test_a_wrong_value_is_refused(configs: Path, file: str, key: str, value: object) -> None:
    spoil(configs / f"{file}.yaml", **{key: value})
    with pytest.raises(ConfigError, match=rf"configs/{file}\.yaml: {key}"):
        load(configs)


@pytest.mark.parametrize(
    ("tier", "told"),
    [
        ({"roots": {"volume": "/v"}}, "no such root"),
        ({"roots": {"raw": "/r"}, "recode": "jpeg-ls"}, "packed"),
    ],
)
def test_a_tier_that_cannot_be_is_refused(
    configs: Path, tier: dict[str, object], told: str
) -> None:
    rule = {"kind": "raw", "to": "cold"}
    spoil(configs / "tiers.yaml", tiers={"cold": {"price": 1, **tier}}, rules=[rule])
    with pytest.raises(ConfigError, match=told):
        load(configs)


@pytest.mark.parametrize(
    ("hot", "warm", "told"),
    [
        ({}, {"roots": {"raw": "/hot/"}}, "hot and warm are one place for raw"),
        ({"copies": {"raw": "/hot"}}, {}, "hot and copies of hot"),
        ({"copies": {"raw": "/warm"}}, {}, "copies of hot and warm"),
        ({"copies": {"raw": "/two"}}, {"copies": {"raw": "/two/"}}, "copies of hot and copies of"),
        ({}, {"roots": {"raw": "file:///hot/"}}, "hot and warm"),
        ({}, {"roots": {"raw": "local:///hot"}}, "hot and warm"),
        ({}, {"roots": {"raw": "/cold/../hot"}}, "hot and warm"),
        ({"copies": {"raw": "s3://b/x/"}}, {"copies": {"raw": "s3a://b/x"}}, "hot and copies of"),
    ],
)
def test_tiers_in_one_place_are_refused(
    configs: Path, hot: dict[str, object], warm: dict[str, object], told: str
) -> None:
    tiers = {
        "hot": {"price": 1, "roots": {"raw": "/hot", "volume": "/hot"}, **hot},
        "warm": {"price": 1, "roots": {"raw": "/warm"}, **warm},
    }
    spoil(configs / "tiers.yaml", tiers=tiers, rules=[{"kind": "raw", "to": "warm"}])
    with pytest.raises(ConfigError, match=told):
        load(configs)


@pytest.mark.parametrize(
    ("hot", "warm"),
    [
        ("s3://of-{region}/raw", "s3://of-eu/raw"),  # of the site's own region
        ("s3://of-{region}/raw", "s3a://of-us/raw/"),  # of another
        ("/of/{region}/raw", "/of/us/../us/raw"),
    ],
)
def test_a_root_that_is_one_of_a_regions_is_refused(configs: Path, hot: str, warm: str) -> None:
    zones = {zone: f"/zones/{{region}}/{zone}" for zone in load(configs).site.zones}
    spoil(configs / "site.yaml", region="eu", regions="us", zones=zones)
    tiers = {
        "hot": {"price": 1, "roots": {"raw": hot}},
        "warm": {"price": 1, "roots": {"raw": warm}},
    }
    spoil(configs / "tiers.yaml", tiers=tiers, rules=[{"kind": "raw", "to": "warm"}])
    with pytest.raises(ConfigError, match="hot and warm are one place for raw"):
        load(configs)
    tiers["warm"]["roots"] = {"raw": "/warm"}
    spoil(configs / "tiers.yaml", tiers=tiers, rules=[{"kind": "raw", "to": "warm"}])
    load(configs)


@pytest.mark.parametrize(
    ("written", "root"),
    [
        ("/data/raw/", "/data/raw"),
        ("file:///data/raw", "/data/raw"),
        ("/data//x/../raw", "/data/raw"),
        ("/data/{region}/raw/", "/data/{region}/raw"),
        ("s3a://cold/raw/", "s3://cold/raw"),
        ("memory://raw", "memory://raw"),
    ],
)
def test_a_root_has_one_spelling(configs: Path, written: str, root: str) -> None:
    """By it rows are found again, and the settings of its store."""
    zones = {**load(configs).site.zones, "raw": written}
    spoil(configs / "site.yaml", zones=zones, stores={written: {"storage_class": "COLD"}})
    settings = load(configs).site
    assert settings.zones["raw"] == root and [*settings.stores] == [
        root + "/" * written.endswith("/")
    ]


def test_half_an_object_lock_is_refused(configs: Path) -> None:
    spoil(configs / "site.yaml", stores={"s3://cold": {"lock_mode": "COMPLIANCE"}})
    with pytest.raises(ConfigError, match="lock_days"):
        load(configs)


def test_a_recall_that_no_store_makes_is_refused(configs: Path) -> None:
    """Amazon has Expedited for GLACIER alone: each recall would be tried again, for ever."""
    cold = {"storage_class": "DEEP_ARCHIVE", "recall_speed": "Expedited"}
    spoil(configs / "site.yaml", stores={"s3://cold": cold})
    with pytest.raises(ConfigError, match="recall_speed"):
        load(configs)
    spoil(configs / "site.yaml", stores={"s3://cold": {**cold, "storage_class": "GLACIER"}})
    assert load(configs).site.stores["s3://cold"].recall_speed == "Expedited"


def source(configs: Path, **keys: object) -> Settings:
    """The settings when the one source has other ones."""
    file = configs / "sources.yaml"
    sources = yaml.safe_load(file.read_text())["sources"]
    spoil(file, sources={"pacs": {**sources["pacs"], **keys}})
    return load(configs)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("description", "(", "not a regular expression"),
        ("timezone", "Mars/Olympus", "unknown time zone"),
        ("timezone", "America", "unknown time zone"),
        ("working_hours", "8-17", "match pattern"),
    ],
)
def test_what_is_wrong_with_a_source_is_told_before_it_is_asked(
    configs: Path, key: str, value: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=rf"configs/sources.yaml: sources.pacs.{key}: .*{told}"):
        source(configs, **{key: value})


def test_a_source_may_name_one_modality_and_leave_the_rest_empty(configs: Path) -> None:
    empty = dict.fromkeys(("description", "working_hours", "results", "jurisdiction"))
    found = source(configs, modalities="CT", **empty).sources["pacs"]
    assert (found.modalities, found.description, found.working_hours) == (("CT",), "", "")


def test_a_missing_file_is_named(configs: Path) -> None:
    (configs / "drift.yaml").unlink()
    with pytest.raises(ConfigError, match=r"configs/drift\.yaml"):
        load(configs)


@pytest.mark.parametrize(
    ("text", "told"),
    [("a: [1", "line"), ("- a", "mapping"), ("", "mapping"), ("a: b: c", "not YAML")],
)
def test_what_is_no_yaml_mapping_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=told):
        load_yaml(path)


@pytest.mark.parametrize(
    ("text", "variables", "value"),
    [
        ("${A}", {"A": "x"}, "x"),
        ("${A:-d}", {}, "d"),
        ("${A:-d}", {"A": "x"}, "x"),
        ("${A:-d}", {"A": ""}, "d"),
        ("${A:-${B}/c}", {"B": "b"}, "b/c"),
        ("${A:-${B:-${C}}}", {"C": "c"}, "c"),
        ("${A:-${B}/c}", {"A": "x", "B": "b"}, "x"),
        ("${A}${B:-}", {"A": "x"}, "x"),
        ("$A and {A}", {"A": "x"}, "$A and {A}"),
    ],
)
def test_variables_are_filled_in(
    tmp_path: Path, text: str, variables: dict[str, str], value: str
) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(f'key: "{text}"')
    assert load_yaml(path, variables) == {"key": value}


def test_a_value_is_not_expanded_again(tmp_path: Path) -> None:
    """A password may hold a dollar and braces; and a variable that names itself ends."""
    path = tmp_path / "site.yaml"
    path.write_text('key: "${A}"')
    for value in ("${A}", "pa${SS}word", "$"):
        assert load_yaml(path, {"A": value}) == {"key": value}


def test_a_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("key: ${NOT_SET}")
    with pytest.raises(ConfigError, match=r"configs/site\.yaml: the variable NOT_SET is not set"):
        load_yaml(path, {})


# The receiver's own file.


def load_receiver(configs: Path, **variables: str) -> ReceiverSettings:
    return ReceiverSettings.load(load(configs), {"HOUNSFIELD_CONFIGS": str(configs), **variables})


def test_the_receiver_has_all_it_needs_by_default(configs: Path) -> None:
    settings = load_receiver(configs)
    assert (settings.port, settings.ae_title) == (11113, "HOUNSFIELD")
    assert settings.landing == Path("/h/landing")
    assert (settings.source, settings.calling_ae_titles, settings.networks) == ("", (), ())


def test_the_receivers_variables(configs: Path) -> None:
    given = {"PORT": "104", "ALLOW": "CT1 MR1", "SOURCE": "pacs", "PROCESSES": "4"}
    variables = {f"HOUNSFIELD_RECEIVER_{name}": value for name, value in given.items()}
    settings = load_receiver(configs, **variables, HOUNSFIELD_LANDING="/l", HOUNSFIELD_AE="US")
    assert (settings.port, settings.processes, settings.source) == (104, 4, "pacs")
    assert settings.calling_ae_titles == ("CT1", "MR1")
    assert (settings.landing, settings.ae_title) == (Path("/l"), "US")


def test_options_come_before_the_receivers_file(configs: Path) -> None:
    spoil(configs / "receiver.yaml", calling_ae_titles=["A B", "C"], networks=["10.0.0.0/8"])
    settings = load_receiver(configs)
    assert settings.calling_ae_titles == ("A B", "C")
    other = settings.but(port=105, quiet_seconds=0.0, calling_ae_titles=(), source=None)
    assert (other.port, other.quiet_seconds) == (105, 0)
    assert other.model_dump() == settings.model_dump() | {"port": 105, "quiet_seconds": 0}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("port", 0),
        ("prot", 104),
        ("networks", ["10.0.0.0/99"]),
        ("networks", ["10.1.2.3/8"]),
        ("transfer_syntaxes", {"1.2": "middle-endian"}),
        ("disk_share", 1.5),
        ("processes", 0),
        ("commitment", {"peer": {}}),
    ],
)
def test_what_is_wrong_in_the_receivers_file_is_named(
    configs: Path, key: str, value: object
) -> None:
    spoil(configs / "receiver.yaml", **{key: value})
    with pytest.raises(ConfigError, match=rf"configs/receiver.yaml: {key}"):
        load_receiver(configs)
