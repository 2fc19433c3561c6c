"""The S3 of the tests: moto's server, and a real one, Ceph's; they start both.

What says something about S3 itself runs against both: keys, classes, object lock, versions, parts,
erasures, and all that a zone has to bear. Ceph's gateway, 16.2 in Debian 12, keeps no SHA-256
beside an object and recalls nothing: that an object in an archive is proven unread, and comes back,
moto alone shows.
"""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hounsfield.settings import StoreSettings
from tests.ceph import PROGRAMS, ceph
from tests.ports import free_port

MakeBucket = Callable[..., str]

#: The key that both know.
KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd"
SERVERS = ("moto", "ceph")
#: Above a test that says something about S3 itself.
on_every_s3 = pytest.mark.parametrize("s3_server", SERVERS)


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """Address of moto's server."""
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


@pytest.fixture(scope="session")
def ceph_url(
    need_program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Address of Ceph's gateway."""
    for program in PROGRAMS:
        need_program(program)
    with ceph(tmp_path_factory.mktemp("ceph"), free_port(), KEY) as url:
        yield url


@pytest.fixture
def s3_server() -> str:
    """Which one a test runs against that does not ask for both."""
    return "moto"


@pytest.fixture
def s3_url(s3_server: str, request: pytest.FixtureRequest) -> str:
    """Its address."""
    return str(request.getfixturevalue(f"{s3_server}_url"))


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
