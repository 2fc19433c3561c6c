"""What S3 has beyond files, against a server: keys, classes, locks, versions, recalls, moves."""

from __future__ import annotations

import json
import pickle
import time
import tracemalloc
import urllib.request
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from s3fs.errors import translate_boto_error

from hounsfield.errors import (
    ConfigError,
    IntegrityError,
    NotFound,
    NotYet,
    ObjectLocked,
    StoreUnavailable,
)
from hounsfield.settings import StoreSettings
from hounsfield.store import Zone, s3, seal, transfer
from hounsfield.store.product import MANIFEST
from hounsfield.store.s3_files import S3Files
from tests.ports import free_port
from tests.s3 import KEY, MakeBucket, on_every_s3

PLACE = "st-a/0123"
CONTENTS = {"a.bin": b"one", "deep/er/b.bin": b"two", "manifest.json": b"{}"}


@pytest.fixture
def hot(tmp_path: Path) -> Zone:
    """A local zone with a product."""
    zone = Zone("hot", str(tmp_path / "hot"))
    publish(zone, CONTENTS)
    return zone


def publish(zone: Zone, contents: dict[str, bytes], place: str = PLACE) -> None:
    with zone.draft() as draft:
        for name, content in contents.items():
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            (draft / name).write_bytes(content)
        seal(draft, product_id="p", kind="raw", study_key="st-a", detail={})
        zone.commit(draft, place)


def on_s3(bucket: str, options: dict[str, Any], **settings: Any) -> Zone:
    return Zone("cold", f"s3://{bucket}/raw", StoreSettings(options=options, **settings))


@on_every_s3
def test_what_is_written_has_the_class_and_the_key_that_were_asked_for(
    hot: Zone, s3_options: dict[str, Any], s3_client: Any, make_bucket: MakeBucket
) -> None:
    bucket = make_bucket()
    cold = on_s3(bucket, s3_options, storage_class="STANDARD_IA", kms_key_id=KEY)
    transfer(hot, cold, PLACE)
    publish(cold, CONTENTS, "st-b/0123")
    heads = {
        item["Key"]: s3_client.head_object(Bucket=bucket, Key=item["Key"])
        for item in s3_client.list_objects_v2(Bucket=bucket)["Contents"]
    }
    assert len(heads) == 2 * (len(CONTENTS) + 1)
    assert {head["SSEKMSKeyId"] for head in heads.values()} == {KEY}
    assert {head["ServerSideEncryption"] for head in heads.values()} == {"aws:kms"}
    colder = {key for key, head in heads.items() if head.get("StorageClass") == "STANDARD_IA"}
    assert {Path(key).name for key in colder} == {"a.bin", "b.bin"}, "manifests stay at hand"


@on_every_s3
def test_what_is_locked_nobody_deletes(
    hot: Zone, s3_options: dict[str, Any], s3_client: Any, make_bucket: MakeBucket
) -> None:
    """A deletion hides an object; its version stays, for as many days as were set."""
    bucket = make_bucket(ObjectLockEnabledForBucket=True)
    cold = on_s3(bucket, s3_options, lock_mode="COMPLIANCE", lock_days=10)
    transfer(hot, cold, PLACE)
    key = f"raw/{PLACE}/a.bin"
    head = s3_client.head_object(Bucket=bucket, Key=key)
    assert head["ObjectLockMode"] == "COMPLIANCE"
    days = (head["ObjectLockRetainUntilDate"].timestamp() - time.time()) / 86400
    assert days == pytest.approx(10, abs=0.1)
    with pytest.raises(ClientError, match="AccessDenied"):
        s3_client.delete_object(Bucket=bucket, Key=key, VersionId=head["VersionId"])
    with pytest.raises(ObjectLocked, match="an object lock keeps 4 versions") as kept:
        cold.purge(PLACE)
    assert cold.locked_until(PLACE) == kept.value.until
    assert cold.locked_until("st-a/another") == hot.locked_until(PLACE) == ""
    until = datetime.fromisoformat(kept.value.until)
    assert (until.timestamp() - time.time()) / 86400 == pytest.approx(10, abs=0.1)
    assert kept.value.until in str(kept.value)
    assert pickle.loads(pickle.dumps(kept.value)).until == kept.value.until
    assert not cold.has(PLACE) and not cold.files(PLACE), "what is locked stays hidden"
    kept = s3_client.get_object(Bucket=bucket, Key=key, VersionId=head["VersionId"])
    assert kept["Body"].read() == b"one"


@on_every_s3
def test_a_purge_leaves_no_version(
    s3_options: dict[str, Any],
    s3_client: Any,
    make_bucket: MakeBucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket = make_bucket()
    on = {"Status": "Enabled"}
    s3_client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=on)
    cold = on_s3(bucket, s3_options)
    for _ in range(3):
        publish(cold, CONTENTS)
        publish(cold, CONTENTS, f"{PLACE}4")
        cold.delete(PLACE)
    kept = s3.versions(cold._fs, cold._path(PLACE))
    assert sum(not one.is_mark for one in kept) == 3 * (len(CONTENTS) + 1)
    assert cold.versions(PLACE) >= 2 * 3 * (len(CONTENTS) + 1), "and marks, some of folders, too"
    listed = s3_client.list_object_versions
    monkeypatch.setattr(type(cold._fs), "call_s3", paged(type(cold._fs).call_s3), raising=True)
    cold.purge(PLACE)
    assert cold.versions(PLACE) == 0
    left = listed(Bucket=bucket)
    assert {
        one["Key"].removeprefix("raw/").startswith(f"{PLACE}4/") for one in left["Versions"]
    } == {True}
    assert not left.get("DeleteMarkers")
    assert cold.verify(f"{PLACE}4")
    name = f"{PLACE}4/{next(iter(CONTENTS))}"  # One file alone.
    cold.purge(name)
    assert cold.versions(name) == 0
    left = [one["Key"].removeprefix("raw/") for one in listed(Bucket=bucket)["Versions"]]
    assert name not in left and f"{PLACE}4/product.json" in left


def paged(call: Any) -> Any:
    """Lists two at a time, as S3 does a thousand."""

    def asked(self: Any, method: str, *args: Any, **wanted: Any) -> Any:
        few = {"MaxKeys": 2} if method == "list_object_versions" else {}
        return call(self, method, *args, **few, **wanted)

    return asked


@on_every_s3
def test_a_purge_leaves_no_part_of_an_upload_that_was_killed(
    hot: Zone, s3_options: dict[str, Any], s3_client: Any, make_bucket: MakeBucket
) -> None:
    bucket = make_bucket()
    cold = on_s3(bucket, s3_options)
    for key in (f"raw/{PLACE}/a.zip", f"raw/{PLACE}4/a.zip"):
        upload = s3_client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        s3_client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"half")
    assert not cold.files() and cold.versions(PLACE) == 1
    cold.purge(PLACE)
    assert cold.versions(PLACE) == 0
    (left,) = s3_client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert left["Key"] == f"raw/{PLACE}4/a.zip", "it is another product's"


@on_every_s3
def test_a_bucket_without_what_is_asked_of_it_is_refused(
    hot: Zone, s3_options: dict[str, Any], make_bucket: MakeBucket
) -> None:
    cold = on_s3(make_bucket(), s3_options, lock_mode="GOVERNANCE", lock_days=1)
    with pytest.raises(StoreUnavailable, match="cold"):
        transfer(hot, cold, PLACE)
    assert not cold.has(PLACE)
    assert hot.verify(PLACE)


@pytest.mark.parametrize("s3_server", ["ceph"])
@pytest.mark.parametrize("wanted", [{"kms_key_id": "another"}, {"storage_class": "GLACIER"}])
def test_a_key_or_a_class_that_the_server_has_not_is_refused(
    hot: Zone, s3_options: dict[str, Any], make_bucket: MakeBucket, wanted: dict[str, str]
) -> None:
    """By a real one: moto takes any key, and has every class of Amazon's."""
    cold = on_s3(make_bucket(), s3_options, **wanted)
    with pytest.raises(StoreUnavailable, match="cold"):
        transfer(hot, cold, PLACE)
    assert not cold.has(PLACE) and not cold.files()
    assert hot.verify(PLACE)


@on_every_s3
def test_a_large_file_goes_in_parts_and_a_product_through_little_memory(
    tmp_path: Path,
    s3_options: dict[str, Any],
    s3_client: Any,
    make_bucket: MakeBucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(s3, "_PART", 5 << 20)
    hot = Zone("hot", str(tmp_path / "hot"))
    publish(hot, {f"{n}.bin": bytes([n]) * (11 << 20) for n in range(6)})
    bucket = make_bucket()
    cold = on_s3(bucket, s3_options)
    cold.files()  # Else the client that it makes is measured, too: 14 MiB, once.
    tracemalloc.start()
    try:
        transfer(hot, cold, PLACE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    print(f"peak {peak >> 20} MiB for 66 MiB")
    assert peak < 33 << 20
    back = Zone("back", str(tmp_path / "back"))
    transfer(cold, back, PLACE)
    assert back.verify(PLACE).digest == hot.product(PLACE).digest
    parts = s3_client.head_object(Bucket=bucket, Key=f"raw/{PLACE}/0.bin")["ETag"]
    assert parts.strip('"').endswith("-3"), "of 5 MiB, but for the last"


def test_a_file_that_went_in_parts_is_known_unread(
    tmp_path: Path,
    s3_options: dict[str, Any],
    s3_client: Any,
    make_bucket: MakeBucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(s3, "_PART", 5 << 20)
    bucket = make_bucket()
    cold = on_s3(bucket, s3_options)
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(bytes(6 << 20))
    other.write_bytes(bytes((6 << 20) - 1) + b"1")
    cold.put_file("one", one)
    assert s3.is_same(cold._fs, one, cold._path("one"))
    assert not s3.is_same(cold._fs, other, cold._path("one"))
    parts = s3_client.head_object(Bucket=bucket, Key="raw/one", PartNumber=1)
    assert parts["ContentLength"] == 5 << 20


@pytest.mark.parametrize("s3_server", ["ceph"])
def test_an_archive_that_keeps_no_checksums_is_refused(
    hot: Zone, s3_options: dict[str, Any], make_bucket: MakeBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real one keeps none; that it has a class by that name, too, is made up."""
    bucket = make_bucket()
    monkeypatch.setattr(s3, "ARCHIVED", {"STANDARD_IA"})
    cold = on_s3(bucket, s3_options, storage_class="STANDARD_IA")
    with pytest.raises(ConfigError, match="keeps no SHA-256 checksum") as refusal:
        transfer(hot, cold, PLACE)
    assert refusal.value.where == "cold" and "storage_class" in refusal.value.remedy
    assert not cold.files(), "nothing is left behind"
    assert hot.verify(PLACE)


def test_from_the_archive_it_is_recalled_and_then_read(
    hot: Zone, s3_options: dict[str, Any], s3_client: Any, make_bucket: MakeBucket
) -> None:
    """It is proven on its way there without being read, and its manifests stay readable."""
    bucket = make_bucket()
    cold = on_s3(bucket, s3_options, storage_class="GLACIER", recall_poll_seconds=7)
    transfer(hot, cold, PLACE)
    assert cold.product(PLACE) == hot.product(PLACE)
    assert cold.read_file(PLACE, "manifest.json") == b"{}"
    key = f"raw/{PLACE}/a.bin"
    assert "Restore" not in s3_client.head_object(Bucket=bucket, Key=key)
    with pytest.raises(NotYet, match="2 of 3 objects") as wait, cold.open(PLACE):
        pass
    assert (wait.value.where, wait.value.seconds) == ("st-a", 7)
    assert "Restore" in s3_client.head_object(Bucket=bucket, Key=key)
    with cold.open(PLACE) as folder:
        assert (folder / "a.bin").read_bytes() == b"one"
    assert cold.verify(PLACE)


def test_what_the_buckets_own_rules_put_into_an_archive_is_recalled_too(
    hot: Zone, s3_options: dict[str, Any], s3_client: Any, make_bucket: MakeBucket
) -> None:
    bucket = make_bucket()
    warm = on_s3(bucket, s3_options)
    transfer(hot, warm, PLACE)
    key = f"raw/{PLACE}/a.bin"
    source = {"Bucket": bucket, "Key": key}
    s3_client.copy_object(Bucket=bucket, Key=key, CopySource=source, StorageClass="GLACIER")
    with pytest.raises(NotYet):
        warm.verify(PLACE)
    assert "Restore" not in s3_client.head_object(**source), "nobody wants to read it"
    with pytest.raises(NotYet), warm.open(PLACE):
        pass
    with warm.open(PLACE) as folder:
        assert (folder / "a.bin").read_bytes() == b"one"


def test_a_manifest_that_is_in_an_archive_is_recalled_too(
    hot: Zone, s3_options: dict[str, Any], s3_client: Any, make_bucket: MakeBucket
) -> None:
    bucket = make_bucket()
    warm = on_s3(bucket, s3_options)
    transfer(hot, warm, PLACE)
    source = {"Bucket": bucket, "Key": f"raw/{PLACE}/{MANIFEST}"}
    s3_client.copy_object(CopySource=source, StorageClass="GLACIER", **source)
    with pytest.raises(NotYet):
        warm.verify(PLACE)
    assert "Restore" not in s3_client.head_object(**source)
    with pytest.raises(NotYet), warm.open(PLACE):
        pass
    with warm.open(PLACE) as folder:
        assert (folder / "a.bin").read_bytes() == b"one"


def test_a_recall_under_way_is_waited_for_and_not_asked_for_again(
    hot: Zone,
    s3_url: str,
    s3_options: dict[str, Any],
    s3_client: Any,
    make_bucket: MakeBucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket = make_bucket()
    cold = on_s3(bucket, s3_options, storage_class="GLACIER")
    call, asked = S3Files.call_s3, Counter[str]()

    def counted(fs: S3Files, method: str, **kwargs: Any) -> Any:
        asked[method] += 1
        return call(fs, method, **kwargs)

    monkeypatch.setattr(S3Files, "call_s3", counted)
    slow = {"progression": "manual", "times": 6}  # looks at an object, till its recall goes on
    ask_moto(s3_url, "set-transition", transition=slow)
    try:
        transfer(hot, cold, PLACE)
        for name in ("a.bin", "deep/er/b.bin"):
            for _ in range(6):
                s3_client.head_object(Bucket=bucket, Key=f"raw/{PLACE}/{name}")
        waits = 0
        while True:
            try:
                with cold.open(PLACE) as folder:
                    assert (folder / "a.bin").read_bytes() == b"one"
                    break
            except NotYet:
                waits += 1
                assert waits < 20
    finally:
        ask_moto(s3_url, "unset-transition")
    assert waits > 1 and asked["restore_object"] == 2, "once an object"


def ask_moto(url: str, what: str, **more: Any) -> None:
    """Its own interface: how long a recall takes there."""
    body = json.dumps({"model_name": "s3::keyrestore", **more}).encode()
    urllib.request.urlopen(f"{url}/moto-api/state-manager/{what}", data=body, timeout=30).close()


def test_a_recall_that_another_asked_for_just_now_is_waited_for(
    hot: Zone,
    s3_options: dict[str, Any],
    make_bucket: MakeBucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cold = on_s3(make_bucket(), s3_options, storage_class="GLACIER")
    transfer(hot, cold, PLACE)
    call = S3Files.call_s3

    def late(fs: S3Files, method: str, **kwargs: Any) -> Any:
        if method != "restore_object":
            return call(fs, method, **kwargs)
        told = {"Error": {"Code": "RestoreAlreadyInProgress", "Message": "it is"}}
        raise translate_boto_error(ClientError(told, "RestoreObject"))

    monkeypatch.setattr(S3Files, "call_s3", late)
    with pytest.raises(NotYet), cold.open(PLACE):
        pass


@pytest.mark.parametrize("code", ["AccessDenied", "GlacierExpeditedRetrievalNotAvailable"])
def test_a_recall_that_the_store_refuses_is_one_to_try_again(
    hot: Zone,
    s3_options: dict[str, Any],
    make_bucket: MakeBucket,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
) -> None:
    cold = on_s3(make_bucket(), s3_options, storage_class="GLACIER")
    transfer(hot, cold, PLACE)
    call = S3Files.call_s3

    def refused(fs: S3Files, method: str, **kwargs: Any) -> Any:
        if method != "restore_object":
            return call(fs, method, **kwargs)
        told = {"Error": {"Code": code, "Message": f"of raw/{PLACE}/a.bin"}}
        raise translate_boto_error(ClientError(told, "RestoreObject"))

    monkeypatch.setattr(S3Files, "call_s3", refused)
    with pytest.raises(StoreUnavailable, match=code) as refusal, cold.open(PLACE):
        pass
    assert PLACE not in str(refusal.value)


def test_what_is_missing_in_an_archive_is_told(
    hot: Zone, s3_options: dict[str, Any], s3_client: Any, make_bucket: MakeBucket
) -> None:
    bucket = make_bucket()
    cold = on_s3(bucket, s3_options, storage_class="GLACIER")
    transfer(hot, cold, PLACE)
    s3_client.delete_object(Bucket=bucket, Key=f"raw/{PLACE}/a.bin")
    with pytest.raises(NotFound, match="cold"), cold.open(PLACE):
        pass


@pytest.mark.parametrize(
    ("s3_server", "storage_class"), [("moto", ""), ("ceph", ""), ("moto", "GLACIER")]
)
def test_another_object_in_a_sealed_product_stops_a_move(
    hot: Zone,
    s3_options: dict[str, Any],
    s3_client: Any,
    make_bucket: MakeBucket,
    storage_class: str,
) -> None:
    bucket = make_bucket()
    cold = on_s3(bucket, s3_options, storage_class=storage_class)
    transfer(hot, cold, PLACE)
    s3_client.put_object(Bucket=bucket, Key=f"raw/{PLACE}/a.bin", Body=b"onf")
    with pytest.raises(IntegrityError, match="copy"):
        transfer(hot, cold, PLACE)
    assert cold.read_file(PLACE, MANIFEST), "it may be the only one: nothing is taken away"


@pytest.mark.parametrize(
    "ask",
    [
        lambda zone: zone.has(PLACE),
        lambda zone: zone.product(PLACE),
        lambda zone: zone.read_file(PLACE, "a.bin"),
        lambda zone: zone.digest(PLACE, "a.bin"),
        lambda zone: zone.files(PLACE),
        lambda zone: zone.purge(PLACE),
        lambda zone: publish(zone, CONTENTS),
    ],
    ids=["has", "product", "read_file", "digest", "files", "purge", "commit"],
)
def test_a_store_that_does_not_answer_is_one_to_try_again(
    s3_options: dict[str, Any], ask: Callable[[Zone], object]
) -> None:
    client = {**s3_options["client_kwargs"], "endpoint_url": f"http://127.0.0.1:{free_port()}"}
    config = {"retries": {"max_attempts": 0}}
    nowhere = {**s3_options, "client_kwargs": client, "config_kwargs": config}
    with pytest.raises(StoreUnavailable, match="does not answer"):
        ask(on_s3("bucket", nowhere))
