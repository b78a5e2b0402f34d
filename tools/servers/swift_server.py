"""OpenStack Swift with its S3 interface, from Debian: a real server that refuses preconditions (501)."""

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from getpass import getuser
from pathlib import Path
from subprocess import Popen, run

from tools.servers.server import REGION, SECRET_KEY, Server, answers, free_port, process, wait_until

SWIFT_MISSING = "no Swift: run tools/servers/install_debian.sh swift"

_ACCESS_KEY = "lucir:tester"
_SWIFT = "[swift-hash]\nswift_hash_path_suffix = test\n[storage-policy:0]\nname = one\ndefault = true\n"
_PROXY = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
swift_dir = {folder}
user = {user}
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache s3api tempauth bulk slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:s3api]
use = egg:swift#s3api
location = {region}
[filter:tempauth]
use = egg:swift#tempauth
user_lucir_tester = {secret} .admin
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
""" + "\n".join(
    f"[filter:{name}]\nuse = egg:swift#{name}"
    for name in ("catch_errors", "gatekeeper", "healthcheck", "bulk", "slo", "dlo")
)
_STORAGE = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
fallocate_reserve = 0
user = {user}
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""


def find_swift() -> str | None:
    """The proxy's program, when the whole of Swift is there."""
    programs = [shutil.which(f"swift-{kind}-server") for kind in ("proxy", "account", "container", "object")]
    return programs[0] if all(programs) else None


@contextmanager
def swift_server(folder: Path) -> Iterator[Server]:
    """One proxy and one server of each kind on one device below ``folder``."""
    if find_swift() is None:
        raise RuntimeError(SWIFT_MISSING)
    (folder / "devices" / "d1").mkdir(parents=True)
    (folder / "swift.conf").write_text(_SWIFT, encoding="utf-8")
    log = folder / "log"
    ports = {}
    with ExitStack() as stack:
        for kind in ("account", "container", "object"):
            port = free_port()
            _ring(folder, kind, port)
            configuration = _STORAGE.format(folder=folder, kind=kind, port=port, user=getuser())
            ports[port] = stack.enter_context(_start(kind, folder, configuration, log))
        port = free_port()
        configuration = _PROXY.format(folder=folder, port=port, user=getuser(), region=REGION, secret=SECRET_KEY)
        child = stack.enter_context(_start("proxy", folder, configuration, log))
        server = Server(f"http://127.0.0.1:{port}", "swift", conditional=False, access_key=_ACCESS_KEY)
        wait_until(lambda: answers(f"{server.endpoint}/healthcheck"), child, log)
        for port, storage in ports.items():
            _wait_for(port, storage, log)
        yield server


def _wait_for(port: int, child: "Popen[bytes]", log: Path) -> None:
    wait_until(lambda: answers(f"http://127.0.0.1:{port}", statuses=range(200, 600)), child, log)


def _ring(folder: Path, kind: str, port: int) -> None:
    """One partition map with one device and one copy of everything."""
    builder = str(folder / f"{kind}.builder")
    for arguments in (["create", "4", "1", "1"], ["add", f"r1z1-127.0.0.1:{port}/d1", "1"], ["rebalance"]):
        run(["swift-ring-builder", builder, *arguments], check=True, capture_output=True)


def _start(kind: str, folder: Path, configuration: str, log: Path) -> AbstractContextManager["Popen[bytes]"]:
    path = folder / f"{kind}.conf"
    path.write_text(configuration, encoding="utf-8")
    return process([f"swift-{kind}-server", str(path), "--verbose"], log)
