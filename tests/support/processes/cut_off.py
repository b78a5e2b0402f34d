"""``python -m tests.support.processes.cut_off DATA IMAGES``: a stack's whole work in a network that leads nowhere.

Started by ``unshare --net``. Prints what left for elsewhere (the kernel counts every packet that has no way to go, and
every datagram, as a looked-up name is one) and what was answered, to show that nothing was missing.
"""

import fcntl
import json
import socket
import struct
import sys
from pathlib import Path

import httpx

from handlers.web_address import web_address
from tests.support.processes.stack import digit_image, folders, running

_SET_FLAGS, _UP_AND_RUNNING = 0x8914, 0x41


def main(data: Path, images: Path) -> None:
    """Start, drop, predict, stop; on every address of both families."""
    _raise_loopback()
    with running(data, "--host", "::", "--set", "serving.open_access=true") as stack:
        port = httpx.URL(stack.record.inference_url).port or 0
        answers = []
        outcome = stack.drop(folders(images, "01"))
        for host in ("127.0.0.1", "::1"):
            address = f"{web_address(host, port)}/predictions/lucir"
            answers.append(httpx.post(address, content=digit_image("0"), timeout=60, trust_env=False).json())
        predicted = json.loads(stack.run("predict", images / "0" / "0.png", "--json").stdout)
    document = {
        "sent": sent_elsewhere(),
        "version": outcome["version"],
        "answered_by": [answer["model_version"] for answer in [*answers, *predicted]],
    }
    sys.stdout.write(json.dumps(document) + "\n")


def sent_elsewhere() -> dict[str, int]:
    """Packets of this network namespace that had no route, and datagrams, of both families."""
    counted: dict[str, int] = {}
    lines = Path("/proc/net/snmp").read_text(encoding="ascii").splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        protocol = names.partition(":")[0]
        counted |= {
            f"{protocol}{name}": int(value) for name, value in zip(names.split()[1:], values.split()[1:], strict=True)
        }
    for line in Path("/proc/net/snmp6").read_text(encoding="ascii").splitlines():
        name, value = line.split()
        counted[name] = int(value)
    return {name: counted[name] for name in ("IpOutNoRoutes", "UdpOutDatagrams", "Ip6OutNoRoutes", "Udp6OutDatagrams")}


def _raise_loopback() -> None:
    """A new namespace's only device is down."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP_AND_RUNNING))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
