"""What S3 has beyond files: storage classes, keys, locks, checksums, and recalls.

Only zones whose root is on S3 come here; `fs` is always what `connect` gives.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from hounsfield.errors import NotYet, ObjectLocked
from hounsfield.settings import StoreSettings

__all__ = [
    "ARCHIVED",
    "Upload",
    "Version",
    "asked",
    "checksum",
    "code_of",
    "connect",
    "is_away",
    "is_same",
    "locked_until",
    "purge",
    "put",
    "recall",
    "uploads",
    "versions",
]

#: Classes that nothing is read from before it was restored.
ARCHIVED = frozenset(("GLACIER", "DEEP_ARCHIVE"))
#: Bytes of a part: two are held at a time, and 10,000 of them are 640 GB (an object's 5 TB need
#: larger ones, which no series does).
_PART = 64 << 20


def connect(root: str, store: StoreSettings) -> tuple[Any, str]:
    """The file system that a root is on, and the root's path in it."""
    from hounsfield.store.s3_files import S3Files

    # Other processes write too, so no listing is kept.
    options = {"use_listings_cache": False, "max_concurrency": 2, **store.options}
    return S3Files(**options), S3Files._strip_protocol(root)


def asked(store: StoreSettings, *, is_data: bool) -> dict[str, Any]:
    """What is asked for an object that is written now.

    Parameters
    ----------
    is_data
        False for a manifest, which has to be readable whatever the class of its data.
    """
    found: dict[str, Any] = {}
    if store.storage_class and is_data:
        found["StorageClass"] = store.storage_class
    if store.kms_key_id:
        found |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": store.kms_key_id}
    if store.lock_mode:
        until = datetime.now(UTC) + timedelta(days=store.lock_days)
        found |= {"ObjectLockMode": store.lock_mode, "ObjectLockRetainUntilDate": until}
    return found


def put(fs: Any, source: Path, target: str, wanted: dict[str, Any]) -> None:
    """Uploads one file, of which S3 keeps SHA-256 checksums: it refuses what differs on arrival.

    An object is there whole or not at all.
    """
    bucket, key, _ = fs.split_path(target)
    where = {"Bucket": bucket, "Key": key}
    if source.stat().st_size <= _PART:
        body = source.read_bytes()
        checksum = {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": _sha256(body)}
        fs.call_s3("put_object", Body=body, **checksum, **where, **wanted)
        return
    upload = fs.call_s3("create_multipart_upload", ChecksumAlgorithm="SHA256", **where, **wanted)
    where["UploadId"] = upload["UploadId"]
    try:
        parts = []
        for number, body in enumerate(_parts(source), start=1):
            part = {"PartNumber": number, "ChecksumSHA256": _sha256(body)}
            answer = fs.call_s3("upload_part", Body=body, **part, **where)
            parts.append({**part, "ETag": answer["ETag"]})
        fs.call_s3("complete_multipart_upload", MultipartUpload={"Parts": parts}, **where)
    except BaseException:
        fs.call_s3("abort_multipart_upload", **where)
        raise


def is_same(fs: Any, source: Path, target: str) -> bool:
    """Whether an object is a file, by the checksum that S3 keeps: also where it is not readable."""
    kept = checksum(fs, target)
    return kept != "" and kept == _checksum(source)


def checksum(fs: Any, target: str) -> str:
    """The SHA-256 that S3 keeps of an object; empty where it keeps none, or there is no object."""
    bucket, key, _ = fs.split_path(target)
    try:
        head = fs.call_s3("head_object", Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    except FileNotFoundError:
        return ""
    kept, _, _ = head.get("ChecksumSHA256", "").partition("-")  # then comes how many parts
    return str(kept)


def recall(fs: Any, targets: Collection[str], store: StoreSettings, *, where: str) -> None:
    """Asks for those objects that lie in an archive.

    Raises
    ------
    NotYet
        While one is not back. What was asked for already is not asked for again.
    """
    waiting = sum(_is_away(fs, target, store) for target in targets)
    if waiting:
        raise NotYet(
            f"{waiting} of {len(targets)} objects are being recalled from the archive",
            where=where,
            remedy="they come by themselves: ask again later",
            seconds=store.recall_poll_seconds,
        )


def code_of(error: OSError) -> str:
    """What S3 said; empty where it said nothing."""
    answer = getattr(error.__cause__, "response", {})
    return str(answer.get("Error", {}).get("Code", ""))


def is_away(error: OSError) -> bool:
    """Whether something was not read for lying in an archive."""
    return code_of(error) == "InvalidObjectState"


class Version(NamedTuple):
    """What a bucket keeps beside an object: an earlier content, or the mark of a deletion."""

    key: str
    identity: str
    is_mark: bool


class Upload(NamedTuple):
    """Parts of an object whose upload was killed: nobody reads them, and they stay."""

    key: str
    identity: str


def versions(fs: Any, target: str) -> list[Version]:
    """What a bucket that keeps versions has of a file, or below a folder, beside what is there."""
    found: list[Version] = []
    for page in _pages(fs, "list_object_versions", target):
        earlier = [one for one in page.get("Versions", ()) if not one["IsLatest"]]
        found += [Version(one["Key"], one["VersionId"], False) for one in earlier]
        marks = page.get("DeleteMarkers", ())
        found += [Version(one["Key"], one["VersionId"], True) for one in marks]
    return [one for one in found if _is_of(fs, target, one.key)]


def uploads(fs: Any, target: str) -> list[Upload]:
    """What was not finished of a file, or below a folder."""
    pages = _pages(fs, "list_multipart_uploads", target)
    found = [
        Upload(one["Key"], one["UploadId"]) for page in pages for one in page.get("Uploads", ())
    ]
    return [one for one in found if _is_of(fs, target, one.key)]


def purge(fs: Any, target: str, *, where: str) -> None:
    """Removes all that `versions` and `uploads` tell.

    Marks go last, and none of an object that has a version left: it would be there again.

    Raises
    ------
    ObjectLocked
        A lock keeps some, or nobody has the right to delete them. All others are gone.
    """
    bucket, _, _ = fs.split_path(target)
    for upload in uploads(fs, target):
        fs.call_s3(
            "abort_multipart_upload", Bucket=bucket, Key=upload.key, UploadId=upload.identity
        )
    kept: Counter[str] = Counter()
    until = ""
    for version in sorted(versions(fs, target), key=lambda one: one.is_mark):
        if version.is_mark and kept[version.key]:
            continue
        one = {"Bucket": bucket, "Key": version.key, "VersionId": version.identity}
        try:
            fs.call_s3("delete_object", **one)
        except PermissionError:
            kept[version.key] += 1
            until = max(until, _until(fs, one))
    if kept:
        how_long = f"until {until}" if until else "or a right to delete versions is missing"
        raise ObjectLocked(
            f"an object lock keeps {kept.total()} versions of what was deleted, {how_long}",
            where=where,
            remedy="wait until the lock ends, or give s3:DeleteObjectVersion; then run this again",
            until=until,
        )


def locked_until(fs: Any, target: str) -> str:
    """When the last lock ends of what `versions` tells; empty where none stands, or is told."""
    bucket, _, _ = fs.split_path(target)
    held = [one for one in versions(fs, target) if not one.is_mark]
    named = [{"Bucket": bucket, "Key": one.key, "VersionId": one.identity} for one in held]
    return max((_until(fs, one) for one in named), default="")


def _until(fs: Any, version: dict[str, str]) -> str:
    """When the lock of a version ends; empty where none stands, as of a mark, or none is told."""
    try:
        until = fs.call_s3("head_object", **version).get("ObjectLockRetainUntilDate")
    except OSError:
        return ""
    return until.isoformat(timespec="seconds") if until and until > datetime.now(UTC) else ""


def _pages(fs: Any, method: str, target: str) -> Iterator[dict[str, Any]]:
    bucket, key, _ = fs.split_path(target)
    page: dict[str, Any] = {"IsTruncated": True}
    where = {"Bucket": bucket, "Prefix": key}
    while page["IsTruncated"]:
        page = fs.call_s3(method, **where)
        yield page
        where |= {
            f"{name}Marker": page[f"Next{name}Marker"]
            for name in ("Key", "VersionId", "UploadId")
            if f"Next{name}Marker" in page
        }


def _is_of(fs: Any, target: str, key: str) -> bool:
    """Whether a key is that of a file, or below that of a folder."""
    _, place, _ = fs.split_path(target)
    return key == place or key.startswith(f"{place}/")


def _is_away(fs: Any, target: str, store: StoreSettings) -> bool:
    bucket, key, _ = fs.split_path(target)
    head = fs.call_s3("head_object", Bucket=bucket, Key=key)
    if head.get("StorageClass") not in ARCHIVED:
        return False
    if "Restore" in head:
        return 'ongoing-request="false"' not in head["Restore"]
    request = {"Days": store.recall_days, "GlacierJobParameters": {"Tier": store.recall_speed}}
    try:
        fs.call_s3("restore_object", Bucket=bucket, Key=key, RestoreRequest=request)
    except OSError as error:  # Somebody else has just asked.
        if code_of(error) != "RestoreAlreadyInProgress":
            raise
    return True


def _checksum(source: Path) -> str:
    """As S3 has it: of an object of several parts the hash over their hashes."""
    if source.stat().st_size <= _PART:
        return _sha256(source.read_bytes())
    digests = [hashlib.sha256(body).digest() for body in _parts(source)]
    return _sha256(b"".join(digests))


def _parts(source: Path) -> Iterator[bytes]:
    with source.open("rb") as file:
        while body := file.read(_PART):
            yield body


def _sha256(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()
