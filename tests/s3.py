"""The S3 of the tests: moto's server, which they start, or the one that HOUNSFIELD_TEST_S3 names.

The other one has a user of access key and secret ``test``. Against Ceph's RADOS Gateway 16.2, as
Debian 12 has it, with one monitor and one OSD in memory, tests/store and tests/stages/test_erase.py
show keys, classes, object lock, versions, parts and erasures on a real implementation. It keeps no
SHA-256 beside an object and has no archive: that an object in one is proven unread, and recalled,
moto alone shows.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hounsfield.settings import StoreSettings
from tests.ports import free_port

MakeBucket = Callable[..., str]

#: Variable of the environment: address of a server to use in the place of moto's.
OTHER = "HOUNSFIELD_TEST_S3"


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """Address of the server."""
    if other := os.environ.get(OTHER):
        yield other
        return
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(url)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_for(url: str) -> None:
    until = time.monotonic() + 180
    while True:
        try:
            urllib.request.urlopen(f"{url}/moto-api/", timeout=5).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


@pytest.fixture
def s3_options(s3_url: str) -> dict[str, Any]:
    """fsspec's options for it."""
    client = {"endpoint_url": s3_url, "region_name": "us-east-1"}
    return {"key": "test", "secret": "test", "client_kwargs": client}


@pytest.fixture
def s3_store(s3_options: dict[str, Any]) -> StoreSettings:
    return StoreSettings(options=s3_options)


@pytest.fixture
def s3_client(s3_url: str) -> Any:
    """What looks at the server past what is tested."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=s3_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@pytest.fixture
def make_bucket(s3_client: Any) -> MakeBucket:
    """Makes a bucket, with object lock where that is asked for; gives its name."""

    def make(**asked: Any) -> str:
        name = f"hounsfield-{uuid.uuid4().hex}"
        s3_client.create_bucket(Bucket=name, **asked)
        return name

    return make
