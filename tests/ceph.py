"""A Ceph of the tests' own: a real S3, its RADOS Gateway, over a monitor and an OSD in memory."""

from __future__ import annotations

import shutil
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.ports import free_port

__all__ = ["PROGRAMS", "ceph"]

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin", "setpriv")

#: One copy of everything, on this machine alone, where nobody is asked who he is; without that no
#: connection is secret, hence the gateway's `crc`. The monitor waits for no other one to vote.
_CONFIG = """
[global]
fsid = {identity}
mon host = {monitor}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr1 = false
ms mon client mode = crc
auth cluster required = none
auth service required = none
auth client required = none
log file = {folder}/$name.log
admin socket =
mon data = {folder}/mon
mon allow pool size one = true
paxos propose interval = 0.05
osd data = {folder}/osd
osd objectstore = memstore
osd pool default size = 1
osd pool default pg num = 1
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = {key_id}=bm8gc2VjcmV0LCBidXQgdGhpcnR5LXR3byBieXRlcyE=
"""


@contextmanager
def ceph(folder: Path, port: int, key_id: str) -> Iterator[str]:
    """Address of the gateway while the block lasts; its user has access key and secret ``test``.

    Parameters
    ----------
    folder
        An empty one, which goes at the end.
    key_id
        Of the key that it knows to encrypt with.
    """
    identity, monitor = str(uuid.uuid4()), f"[v2:127.0.0.1:{free_port()}]"
    config, monmap = folder / "ceph.conf", str(folder / "monmap")
    config.write_text(
        _CONFIG.format(identity=identity, monitor=monitor, folder=folder, port=port, key_id=key_id)
    )
    (folder / "osd").mkdir()

    def run(program: str, *arguments: str) -> None:
        command = [program, "-c", str(config), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{program}: {done.stderr}"

    def start(program: str, name: str) -> subprocess.Popen[bytes]:
        # It goes with the tests, however they end, and not before: Ctrl-C is for them.
        command = ["setpriv", "--pdeathsig", "KILL", program, "-c", str(config), "-f", "-n", name]
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        stack.callback(process.wait, 60)
        stack.callback(process.kill)
        return process

    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        run("monmaptool", "--create", "--fsid", identity, "--addv", "a", monitor, monmap)
        run("ceph-mon", "-n", "mon.a", "--mkfs", "--monmap", monmap)
        start("ceph-mon", "mon.a")
        run("ceph", "osd", "new", identity)
        run("ceph-osd", "-n", "osd.0", "--mkfs", "--osd-uuid", identity)
        start("ceph-osd", "osd.0")
        user = ("--uid", "test", "--display-name", "test", "--access-key", "test")
        run("radosgw-admin", "user", "create", *user, "--secret", "test")
        place = ("placement", "add", "--placement-id", "default-placement")
        colder = (*place, "--storage-class", "STANDARD_IA")
        run("radosgw-admin", "zonegroup", *colder)
        run("radosgw-admin", "zone", *colder, "--data-pool", "default.rgw.buckets.data")
        gateway = start("radosgw", "client.rgw")
        url = f"http://127.0.0.1:{port}"
        _wait(url, gateway, folder / "client.rgw.log")
        yield url


def _wait(url: str, gateway: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            runs = gateway.poll() is None
            assert runs and time.monotonic() < end, log.read_text(errors="replace")[-2000:]
            time.sleep(0.1)
