"""The vault: closed to who has no key, and open to nobody unseen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import create_autospec

import pytest
from sqlalchemy import Engine, select, update

from hounsfield.audit import AuditLog
from hounsfield.catalog import open_engine, upgrade
from hounsfield.errors import IntegrityError, NotFound
from hounsfield.pseudonyms import KEY_BYTES
from hounsfield.records import RunContext
from hounsfield.vault import Identity, Vault, VaultStudy

KEY = bytes(range(KEY_BYTES))
RUN = RunContext(actor="officer", run_id="r1")
ADA = Identity(
    StudyInstanceUID="1.2.826.0.1.3680043.8.498.77",
    PatientID="LOVELACE-1815",
    IssuerOfPatientID="SAINT-SWITHIN",
    StudyDate="20260301",
    source="pacs",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "databases"


@pytest.fixture
def engine(folder: Path) -> Engine:
    engine = open_engine(f"sqlite:///{folder / 'vault.db'}")
    upgrade(engine, "vault")
    return engine


@pytest.fixture
def audit(folder: Path) -> AuditLog:
    engine = open_engine(f"sqlite:///{folder / 'catalog.db'}")
    upgrade(engine, "catalog")
    return AuditLog(engine)


@pytest.fixture
def vault(engine: Engine, audit: AuditLog) -> Vault:
    """It knows one study."""
    vault = Vault(engine, KEY, audit)
    vault.put("st-a", "pt-a", ADA, run=RUN)
    return vault


def test_what_went_in_comes_out(vault: Vault) -> None:
    assert vault.open("st-a", purpose="writeback", run=RUN) == ADA
    assert vault.knows("st-a")
    assert not vault.knows("st-b")


def test_put_again_replaces(vault: Vault) -> None:
    vault.put("st-a", "pt-b", replace(ADA, PatientID="BYRON-1815"), run=RUN)
    assert vault.open("st-a", purpose="writeback", run=RUN).PatientID == "BYRON-1815"


@pytest.mark.parametrize(
    ("told", "searched"),
    [("20260301", "20260301"), ("2026.03.01", "20260301"), ("1 MARCH 2026", ""), ("", "")],
)
def test_the_column_has_dates_only(vault: Vault, engine: Engine, told: str, searched: str) -> None:
    identity = replace(ADA, StudyDate=told)
    vault.put("st-a", "pt-a", identity, run=RUN)
    with engine.connect() as connection:
        assert connection.scalar(select(VaultStudy.study_date)) == searched
    assert vault.open("st-a", purpose="writeback", run=RUN) == identity


def test_another_key_opens_nothing(vault: Vault, engine: Engine, audit: AuditLog) -> None:
    with pytest.raises(IntegrityError, match="does not open with this project key"):
        Vault(engine, bytes(KEY_BYTES), audit).open("st-a", purpose="writeback", run=RUN)


def test_a_changed_entry_does_not_open(vault: Vault, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(update(VaultStudy).values(identity="gAAAAA" + "A" * 100))
    with pytest.raises(IntegrityError):
        vault.open("st-a", purpose="writeback", run=RUN)


def test_the_files_hold_no_identity_in_the_clear(vault: Vault, folder: Path) -> None:
    """Of vault and catalog, their write-ahead logs included, in any encoding of text."""
    written = b"".join(path.read_bytes() for path in folder.iterdir())
    assert b"st-a" in written, "it was looked for in the right place"
    for value in (ADA.StudyInstanceUID, ADA.PatientID, ADA.IssuerOfPatientID):
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            assert value.encode(encoding) not in written


def test_an_identity_does_not_print_itself() -> None:
    assert "LOVELACE" not in repr(ADA) + str(ADA) + f"{[ADA]}"


def test_each_opening_is_written_down(vault: Vault, audit: AuditLog) -> None:
    vault.open("st-a", purpose="writeback", run=RUN)
    vault.keys_between("20260301", "20260301", purpose="reprocess", run=RUN)
    trail = [(entry.action, entry.object, entry.purpose) for entry in audit.entries()]
    assert trail == [
        ("vault.put", "st-a", "ingest"),
        ("vault.open", "st-a", "writeback"),
        ("vault.window", "studies", "reprocess"),
    ]
    assert {entry.actor for entry in audit.entries()} == {"officer"}


def test_an_opening_that_finds_nothing_is_written_down_too(vault: Vault, audit: AuditLog) -> None:
    with pytest.raises(NotFound, match="st-b"):
        vault.open("st-b", purpose="curiosity", run=RUN)
    assert list(audit.entries("st-b"))


@pytest.mark.parametrize("act", ["put", "open", "keys_between"])
def test_without_an_audit_nothing_is_given(engine: Engine, vault: Vault, act: str) -> None:
    """The trail comes first: where it cannot be written, the vault stays shut."""
    broken = create_autospec(AuditLog, instance=True)
    broken.append.side_effect = OSError("no space left")
    shut = Vault(engine, KEY, broken)
    calls = {
        "put": lambda: shut.put("st-b", "pt-b", ADA, run=RUN),
        "open": lambda: shut.open("st-a", purpose="writeback", run=RUN),
        "keys_between": lambda: shut.keys_between("20260301", "20260301", purpose="x", run=RUN),
    }
    with pytest.raises(OSError, match="no space"):
        calls[act]()
    assert not vault.knows("st-b")


def test_a_window_of_dates_gives_keys_alone(vault: Vault) -> None:
    vault.put("st-b", "pt-b", replace(ADA, StudyDate="20260302"), run=RUN)
    vault.put("st-c", "pt-b", replace(ADA, StudyDate="20260401"), run=RUN)
    window = {"purpose": "reprocess", "run": RUN}
    assert vault.keys_between("20260301", "20260302", **window) == ["st-a", "st-b"]
    assert vault.keys_between("20260303", "20260331", **window) == []


def test_what_went_in_before_a_rotation_comes_out_after_it(
    vault: Vault, engine: Engine, audit: AuditLog
) -> None:
    new = bytes(reversed(KEY))
    rotated = Vault(engine, new, audit, older=[KEY])
    assert rotated.open("st-a", purpose="writeback", run=RUN) == ADA
    rotated.put("st-b", "pt-b", ADA, run=RUN)
    alone = Vault(engine, new, audit)
    assert alone.open("st-b", purpose="writeback", run=RUN) == ADA
    with pytest.raises(IntegrityError):
        alone.open("st-a", purpose="writeback", run=RUN)


def test_what_is_forgotten_does_not_come_out(vault: Vault, audit: AuditLog) -> None:
    vault.put("st-b", "pt-b", ADA, run=RUN)
    for _ in range(2):
        vault.forget("st-a", purpose="erasure", run=RUN)
    assert vault.studies_of(["pt-a", "pt-b"]) == ["st-b"]
    with pytest.raises(NotFound):
        vault.open("st-a", purpose="writeback", run=RUN)
    trail = [entry.action for entry in audit.entries("st-a")]
    assert trail.count("vault.forget") == 1
