"""The contract of a zone, on a local folder and on an object store."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from hounsfield.errors import IntegrityError, NotFound, StoreUnavailable
from hounsfield.store import Zone, read_product, seal
from hounsfield.store.product import MANIFEST, verify
from hounsfield.store.zone import Assembly
from tests.s3 import SERVERS

CONTENTS = {"a.bin": b"one", "deep/er/b.bin": b"two"}
PLACE = "st-a/0123"


@pytest.fixture(params=["local", "memory", *SERVERS])
def s3_server(request: pytest.FixtureRequest) -> str:
    """What a zone lies on: both S3, and what needs no server."""
    return str(request.param)


@pytest.fixture
def zone(s3_server: str, request: pytest.FixtureRequest, tmp_path: Path) -> Zone:
    if s3_server in SERVERS:
        bucket = request.getfixturevalue("make_bucket")()
        return Zone("raw", f"s3://{bucket}/zone", request.getfixturevalue("s3_store"))
    local, memory = str(tmp_path / "zone"), f"memory://{uuid.uuid4().hex}/zone"
    return Zone("raw", local if s3_server == "local" else memory)


def fill(draft: Path, contents: dict[str, bytes] = CONTENTS, product_id: str = "p") -> None:
    for name, content in contents.items():
        path = draft / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    seal(draft, product_id=product_id, kind="raw", study_key="st-a", detail={})


def publish(zone: Zone, relative: str = PLACE, contents: dict[str, bytes] = CONTENTS) -> None:
    with zone.draft() as draft:
        fill(draft, contents)
        zone.commit(draft, relative)


def files_of(zone: Zone) -> list[str]:
    """Every file that lies in the zone, drafts too."""
    base = zone._base
    found = zone._fs.find(base) if zone._fs.exists(base) else []
    return sorted(path.removeprefix(base).lstrip("/") for path in found)


def read(zone: Zone, relative: str = PLACE) -> dict[str, bytes]:
    with zone.open(relative) as folder:
        verify(folder)
        names = [path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in names}


def test_a_product_comes_back_as_it_went_in(zone: Zone) -> None:
    assert not zone.has(PLACE)
    publish(zone)
    assert zone.has(PLACE)
    assert read(zone) == CONTENTS
    assert zone.product(PLACE).size == 6


def test_a_draft_leaves_nothing(zone: Zone) -> None:
    publish(zone)
    names = {f"{PLACE}/{name}" for name in (*CONTENTS, MANIFEST)}
    assert set(files_of(zone)) == names


def test_a_stage_that_fails_leaves_no_product(zone: Zone) -> None:
    with pytest.raises(RuntimeError, match="boom"), zone.draft() as draft:
        fill(draft)
        raise RuntimeError("boom")
    assert not zone.has(PLACE)
    assert files_of(zone) == []


@pytest.mark.parametrize("passing", [0, 1, 2])
def test_killed_while_it_goes_up_there_is_no_product(
    passing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object store has no rename: the manifest goes last, so that it vouches for the rest."""
    zone = Zone("raw", f"memory://{uuid.uuid4().hex}")
    put, calls = zone._fs.put_file, []

    def dying(source: str, target: str) -> None:
        if len(calls) == passing:
            raise KeyboardInterrupt
        calls.append(target)
        put(source, target)

    monkeypatch.setattr(zone._fs, "put_file", dying)
    with pytest.raises(KeyboardInterrupt):
        publish(zone)
    assert not zone.has(PLACE)
    with pytest.raises(NotFound), zone.open(PLACE):
        pass
    monkeypatch.undo()
    publish(zone)
    assert read(zone) == CONTENTS


def test_the_rubbish_of_a_crash_is_replaced(tmp_path: Path) -> None:
    zone = Zone("raw", str(tmp_path))
    half = tmp_path / PLACE
    half.mkdir(parents=True)
    (half / "half.bin").write_bytes(b"ha")
    assert not zone.has(PLACE)
    publish(zone)
    assert read(zone) == CONTENTS


def test_the_first_product_stands(zone: Zone) -> None:
    publish(zone)
    publish(zone, contents={"a.bin": b"other"})
    assert read(zone) == CONTENTS


def test_two_runs_side_by_side_leave_one_product(zone: Zone) -> None:
    with zone.draft() as first, zone.draft() as second:
        fill(first)
        fill(second)
        zone.commit(second, PLACE)
        zone.commit(first, PLACE)
    assert read(zone) == CONTENTS


def test_a_product_published_in_the_last_moment_is_not_swept_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run publishes after this one looked, and before it renames."""
    zone, other = Zone("raw", str(tmp_path)), Zone("raw", str(tmp_path))
    inodes: list[int] = []
    real = zone.has

    def publish_meanwhile(relative: str) -> bool:
        monkeypatch.undo()
        was_there = real(relative)
        publish(other, relative)
        inodes.append((tmp_path / relative / "a.bin").stat().st_ino)
        return was_there

    monkeypatch.setattr(zone, "has", publish_meanwhile)
    publish(zone)
    assert read(zone) == CONTENTS
    assert (tmp_path / PLACE / "a.bin").stat().st_ino == inodes[0], "its files may be open"


def test_an_unsealed_draft_is_not_published(zone: Zone) -> None:
    with zone.draft() as draft, pytest.raises(ValueError, match="sealed"):
        zone.commit(draft, PLACE)


@pytest.mark.parametrize("place", ["../out", "a/../../out", "/etc", "a/../b"])
def test_no_path_leaves_the_zone(zone: Zone, place: str) -> None:
    for call in (zone.has, zone.product, zone.delete):
        with pytest.raises(ValueError, match="leave its zone"):
            call(place)


@pytest.mark.parametrize("place", ["", ".", "./"])
def test_the_zone_itself_is_no_product(zone: Zone, place: str) -> None:
    publish(zone)
    with pytest.raises(ValueError, match="leave its zone"):
        zone.delete(place)
    assert read(zone) == CONTENTS


def test_delete_removes_one_product(zone: Zone) -> None:
    publish(zone)
    publish(zone, "st-a/4567")
    zone.delete(PLACE)
    assert not zone.has(PLACE)
    assert read(zone, "st-a/4567") == CONTENTS
    zone.delete(PLACE)  # again: nothing to do


def test_delete_takes_the_manifest_first(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(zone)

    def dying(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(zone._fs, "rm", dying)
    with pytest.raises(KeyboardInterrupt):
        zone.delete(PLACE)
    assert not zone.has(PLACE), "half of a product is none"
    monkeypatch.undo()
    zone.delete(PLACE)
    assert files_of(zone) == []


def test_what_is_deleted_while_it_is_read_was_not_read(tmp_path: Path) -> None:
    """Whatever its reader makes of what is missing."""
    zone = Zone("volumes", str(tmp_path / "zone"))
    for error in (None, FileNotFoundError("a.bin"), NotFound("there is no volume")):
        publish(zone)
        with pytest.raises(StoreUnavailable, match="while it was read"), zone.open(PLACE):
            zone.delete(PLACE)
            if error is not None:
                raise error
    publish(zone)
    with pytest.raises(NotFound, match="no volume"), zone.open(PLACE):
        raise NotFound("there is no volume")


def test_what_is_not_there_is_not_found(zone: Zone) -> None:
    with pytest.raises(NotFound):
        zone.product(PLACE)
    with pytest.raises(NotFound), zone.open(PLACE):
        pass


def test_an_address_leads_back(zone: Zone) -> None:
    assert zone.relative(zone.uri(PLACE)) == PLACE
    with pytest.raises(NotFound, match="zone raw"):
        zone.relative("s3://elsewhere/st-a")
    with pytest.raises(NotFound):
        zone.relative(f"{zone.root}-other/{PLACE}")


def test_one_place_has_many_names(zone: Zone, tmp_path: Path) -> None:
    assert zone.is_at(Zone("other", f"{zone.root}/", zone._store))
    assert not zone.is_at(Zone("raw", f"{zone.root}/deeper", zone._store))
    assert Zone("raw", str(tmp_path)).is_at(Zone("raw", tmp_path.as_uri()))
    assert not Zone("raw", "/zone").is_at(Zone("raw", "memory:///zone"))


def test_a_file_is_put_once(zone: Zone, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"one")
    zone.put_file("st-a/x.dcm", source)
    source.write_bytes(b"two")
    zone.put_file("st-a/x.dcm", source)
    assert zone._fs.cat_file(zone._path("st-a/x.dcm")) == b"one"
    assert files_of(zone) == ["st-a/x.dcm"]


def stage(zone: Zone, name: str, content: bytes | None) -> list[str]:
    """Puts a file into the staging area of a study, and gives what lay there."""
    with zone.staging("st-a") as folder:
        names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        if content is not None:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
    return names


def test_what_is_staged_is_there_the_next_time(zone: Zone) -> None:
    assert stage(zone, "instances/a", b"one") == []
    assert stage(zone, "notes", b"1") == ["instances/a"]
    assert stage(zone, "notes", b"22") == ["instances/a", "notes"]
    with zone.staging("st-a") as folder:
        assert (folder / "notes").read_bytes() == b"22"
    assert files_of(zone) == [".staging/st-a/instances/a", ".staging/st-a/notes"]
    assert not zone.has(".staging/st-a")


def test_what_is_staged_outlasts_a_failure(zone: Zone) -> None:
    with pytest.raises(RuntimeError, match="boom"), zone.staging("st-a") as folder:
        (folder / "a").write_bytes(b"one")
        raise RuntimeError("boom")
    assert stage(zone, "", None) == ["a"]


def test_what_is_unstaged_leaves_nothing(zone: Zone) -> None:
    stage(zone, "instances/a", b"one")
    with zone.staging("st-a") as folder:
        zone.unstage(folder)
    assert files_of(zone) == []
    with zone.staging("st-b"):
        pass
    assert not Path(zone.root, ".staging", "st-b").exists()


def test_staging_that_nobody_touches_goes_after_a_month(tmp_path: Path) -> None:
    zone = Zone("raw", str(tmp_path))
    for name in ("st-old", "st-new"):
        with zone.staging(name) as folder:
            (folder / "a").write_bytes(b"one")
    for name, days in (("st-old", 31), ("st-new", 29)):
        past = time.time() - days * 24 * 3600
        os.utime(tmp_path / ".staging" / name, (past, past))
    stage(zone, "a", b"two")
    assert sorted(path.name for path in (tmp_path / ".staging").iterdir()) == ["st-a", "st-new"]


def test_one_file_of_a_product_is_read_alone(zone: Zone) -> None:
    publish(zone)
    assert zone.read_file(PLACE, "a.bin") == b"one"
    with pytest.raises(NotFound):
        zone.read_file(PLACE, "c.bin")


def assemble(zone: Zone, tmp_path: Path, contents: dict[str, bytes]) -> None:
    """Puts a product together file by file, as a move does."""
    source = tmp_path / "source"
    source.mkdir(exist_ok=True)
    fill(source, contents)
    product = read_product(source)
    with zone.assembly(PLACE) as assembly:
        for name, (_, sha256) in product.files.items():
            assembly.put(source / name, name, sha256)
        assembly.seal((source / MANIFEST).read_bytes())


def test_what_was_put_together_is_a_product(zone: Zone, tmp_path: Path) -> None:
    assemble(zone, tmp_path, CONTENTS)
    assert read(zone) == CONTENTS
    assert zone.verify(PLACE).size == 6
    assert set(files_of(zone)) == {f"{PLACE}/{name}" for name in (*CONTENTS, MANIFEST)}


def test_killed_while_it_is_put_together_it_goes_on_where_it_was(
    zone: Zone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    write = Assembly._write

    def dying(assembly: Assembly, source: Path, name: str) -> None:
        if len(written) == 1:
            raise KeyboardInterrupt
        written.append(name)
        write(assembly, source, name)

    with monkeypatch.context() as patch:
        patch.setattr(Assembly, "_write", dying)
        with pytest.raises(KeyboardInterrupt):
            assemble(zone, tmp_path, CONTENTS)
    assert not zone.has(PLACE)

    def watched(assembly: Assembly, source: Path, name: str) -> None:
        written.append(name)
        write(assembly, source, name)

    monkeypatch.setattr(Assembly, "_write", watched)
    assemble(zone, tmp_path, CONTENTS)
    assert sorted(written) == sorted([*CONTENTS, MANIFEST]), "each once"
    assert read(zone) == CONTENTS


def test_half_a_file_is_written_anew(zone: Zone, tmp_path: Path) -> None:
    """What a kill in mid-write leaves in a local zone."""
    with pytest.raises(KeyboardInterrupt), zone.assembly(PLACE) as assembly:
        half = tmp_path / "half"
        half.write_bytes(b"on")
        assembly._write(half, "a.bin")
        raise KeyboardInterrupt
    assemble(zone, tmp_path, CONTENTS)
    assert read(zone) == CONTENTS


def test_what_does_not_arrive_as_it_was_leaves_nothing(
    zone: Zone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk or a network that changes a bit on the way."""
    write = Assembly._write

    def spoiling(assembly: Assembly, source: Path, name: str) -> None:
        other = tmp_path / "other"
        other.write_bytes(b"tw0" if name != "a.bin" else b"one")
        write(assembly, other, name)

    monkeypatch.setattr(Assembly, "_write", spoiling)
    with pytest.raises(IntegrityError, match="copy"):
        assemble(zone, tmp_path, CONTENTS)
    assert files_of(zone) == []


def test_a_flipped_bit_is_found_where_it_lies(zone: Zone) -> None:
    publish(zone)
    zone._fs.pipe_file(zone._path(PLACE, "deep/er/b.bin"), b"twp")
    with pytest.raises(IntegrityError):
        zone.verify(PLACE)


def test_a_file_that_went_is_found_missing(zone: Zone) -> None:
    publish(zone)
    zone._fs.rm_file(zone._path(PLACE, "a.bin"))
    with pytest.raises(IntegrityError):
        zone.verify(PLACE)
    with pytest.raises(NotFound), zone.file(PLACE, "a.bin"):
        pass


def test_a_full_disk_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    """A real one, of one megabyte: in the middle of a draft, and of an assembly."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        zone = Zone("warm", str(disk / "zone"))
        with pytest.raises(StoreUnavailable, match="no space left"), zone.draft() as draft:
            (draft / "big").write_bytes(bytes(2 << 20))
        with pytest.raises(StoreUnavailable, match="no space left"):
            assemble(zone, tmp_path, {"a": bytes(1 << 19), "b": bytes(1 << 20)})
        big = tmp_path / "big"
        big.write_bytes(bytes(2 << 20))
        with pytest.raises(StoreUnavailable, match="no space left"):
            zone.put_file("st-a/x.dcm", big)
        assert files_of(zone) == []
        assert shutil.disk_usage(disk).used < 1 << 16
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_the_files_below_a_folder_are_listed_with_their_sizes(zone: Zone) -> None:
    publish(zone, "st-a/one")
    publish(zone, "st-b/two")
    assert {name.split("/")[0] for name in zone.files()} >= {"st-a", "st-b"}
    below = zone.files("st-a")
    assert below and all(name.startswith("st-a/one/") for name in below)
    assert all(size > 0 for size in below.values())
    assert zone.files("st-none") == {}
