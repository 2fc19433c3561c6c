"""A power cut, on a real file system: what a disk holds at that moment, and no more.

The landing folder lies on a file system in a file. A copy of that file is what the disk would be
found with; mounted, its journal is replayed as after any crash.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from blake3 import blake3
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian

from hounsfield.pacs import inbox as inbox_module
from hounsfield.pacs import landing as landing_module
from hounsfield.pacs.inbox import Inbox, Intake

_MEBIBYTES = {"ext4": 64, "xfs": 320}
#: How each is made.
_MAKE = {"ext4": ["ext4"], "ext4 without a journal": ["ext4", "-O", "^has_journal"], "xfs": ["xfs"]}
_JOURNALED = ("ext4", "xfs")
#: Nothing goes to the disk but what is asked for: no journal is committed because time passed.
_OPTIONS = {"ext4": ",commit=3600"}


@contextmanager
def mounted(image: Path, name: str, folder: Path) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    kind = _MAKE[name][0]
    command = ["mount", "-t", kind, "-o", f"loop{_OPTIONS.get(name, '')}", str(image), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode:
        pytest.skip(f"{kind} in a file cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=60)


@pytest.fixture(params=_MAKE)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    """A file with an empty file system, and its kind."""
    name = str(request.param)
    kind, *options = _MAKE[name]
    make = shutil.which(f"mkfs.{kind}", path="/usr/sbin:/sbin:/usr/bin")
    if make is None or os.geteuid():
        pytest.skip(f"mkfs.{kind}, as root, is not to be had")
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(_MEBIBYTES[kind] << 20)
    subprocess.run([make, "-q", *options, str(image)], check=True, timeout=60)
    return image, name


def land(intake: Intake, number: int) -> str:
    """One instance of one of three studies, acknowledged; its digest."""
    part = intake.part(
        sop_class_uid=CTImageStorage,
        sop_instance_uid=f"1.2.{number}",
        transfer_syntax_uid=ImplicitVRLittleEndian,
    )
    part.write(number.to_bytes(4, "big") * 20_000)
    intake.land(f"st-{number % 3}", part)
    return part.digest


def left(disk: Path, kind: str, folder: Path) -> set[str]:
    """Digests of the whole instances that a receiver has who starts on this disk."""
    if kind not in _JOURNALED:  # As at the next start of the machine.
        subprocess.run(["fsck.ext4", "-fy", str(disk)], capture_output=True, timeout=60)
    with mounted(disk, kind, folder), Inbox(folder / "landing") as inbox:
        paths = [path for key in inbox.studies() for path in inbox.landed(key)]
        found = {blake3(path.read_bytes()).hexdigest() for path in paths}
        assert found == {path.stem for path in paths}, "a half was taken for whole"
        assert not list((inbox.root / ".incoming").iterdir())
    return found


def cut(disk: tuple[Path, str], tmp_path: Path, count: int) -> tuple[list[str], list[set[str]]]:
    """What is acknowledged in turn, and what would be found had the power gone after each."""
    image, kind = disk
    acknowledged, copies = [], []
    with mounted(image, kind, tmp_path / "now"):
        intake = Intake(tmp_path / "now" / "landing")
        for number in range(count):
            acknowledged.append(land(intake, number))
            copies.append(tmp_path / f"cut{number}")
            shutil.copyfile(image, copies[-1])
    found = []
    for copy in copies:
        found.append(left(copy, kind, tmp_path / "then"))
        copy.unlink()
    return acknowledged, found


def test_what_was_acknowledged_survives_a_power_cut(disk: tuple[Path, str], tmp_path: Path) -> None:
    acknowledged, found = cut(disk, tmp_path, 8)
    for number, there in enumerate(found, start=1):
        assert there == set(acknowledged[:number])


def test_the_order_is_known_of_a_journal(disk: tuple[Path, str], tmp_path: Path) -> None:
    image, name = disk
    with mounted(image, name, tmp_path / "now") as folder:
        assert inbox_module._keeps_order(folder) == (name in _JOURNALED)


def test_the_same_holds_where_the_order_is_not_known(
    disk: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "_keeps_order", lambda _: False)
    acknowledged, found = cut(disk, tmp_path, 4)
    for number, there in enumerate(found, start=1):
        assert there == set(acknowledged[:number])


def test_without_fsync_a_power_cut_is_seen(
    disk: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the tests above would prove nothing."""
    monkeypatch.setattr(landing_module.os, "fsync", lambda _: None)
    image, kind = disk
    with mounted(image, kind, tmp_path / "now"):
        (tmp_path / "now" / "landing").mkdir()
        os.sync()
        land(Intake(tmp_path / "now" / "landing"), 1)
        shutil.copyfile(image, tmp_path / "cut")
    assert left(tmp_path / "cut", kind, tmp_path / "then") == set()
