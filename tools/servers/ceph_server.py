"""Ceph's gateway, from Debian: a second real implementation, which honours preconditions in a form of its own."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import run

from tools.servers.server import ACCESS_KEY, SECRET_KEY, START_SECONDS, Server, answers, free_port, process, wait_until

CEPH_MISSING = "no Ceph: run tools/servers/install_debian.sh ceph"

_CONFIGURATION = """\
[global]
fsid = {fsid}
run dir = {folder}
mon host = v2:127.0.0.1:{mon}
public addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
auth allow insecure global id reclaim = true
ms mon client mode = crc
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 2147483648
mon allow pool size one = true
mon data avail crit = 1
mon data avail warn = 1
log file = {folder}/$name.log
admin socket = {folder}/$name.asok
pid file =
keyring = {folder}/keyring
[mon.a]
mon data = {folder}/mon
[osd.0]
osd data = {folder}/osd
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw thread pool size = 32
rgw enable usage log = false
"""


def find_ceph() -> str | None:
    """The gateway's program, when the whole of Ceph is there."""
    programs = [shutil.which(name) for name in ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "monmaptool")]
    return programs[0] if all(programs) else None


@contextmanager
def ceph_server(folder: Path) -> Iterator[Server]:
    """One monitor, one store in memory, one gateway."""
    if find_ceph() is None:
        raise RuntimeError(CEPH_MISSING)
    for name in ("mon", "osd"):
        (folder / name).mkdir(parents=True)
    (folder / "keyring").touch()
    fsid, mon, port, log = str(uuid.uuid4()), free_port(), free_port(), folder / "log"
    configuration = folder / "ceph.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder, fsid=fsid, mon=mon, port=port), encoding="utf-8")
    conf = ["-c", str(configuration)]
    monmap = str(folder / "monmap")
    _run("monmaptool", "--create", "--clobber", "--addv", "a", f"[v2:127.0.0.1:{mon}]", "--fsid", fsid, monmap)
    _run("ceph-mon", *conf, "--mkfs", "-i", "a", "--monmap", monmap)
    with ExitStack() as stack:
        stack.enter_context(process(["ceph-mon", *conf, "-i", "a", "-f"], log))
        osd = str(uuid.uuid4())
        _run("ceph", *conf, "--connect-timeout", "60", "osd", "new", osd)
        _run("ceph-osd", *conf, "-i", "0", "--mkfs", "--osd-uuid", osd)
        stack.enter_context(process(["ceph-osd", *conf, "-i", "0", "-f"], log))
        child = stack.enter_context(process(["radosgw", *conf, "-n", "client.rgw", "-f"], log))
        server = Server(f"http://127.0.0.1:{port}", "ceph", conditional_deletions=None)
        wait_until(lambda: answers(server.endpoint), child, log)
        user = ["--uid", "test", "--display-name", "test", "--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY]
        _run("radosgw-admin", *conf, "-n", "client.rgw", "user", "create", *user)
        yield server


def _run(*command: str) -> None:
    done = run(command, capture_output=True, text=True, timeout=START_SECONDS, encoding="utf-8")
    if done.returncode:
        raise RuntimeError(f"{command!r} failed: {done.stderr[-2000:]}")
