"""Addresses of listeners, and the URLs that lead to them. Standard library only."""

import ipaddress
import socket
from typing import Final

ANY_IPV4: Final = "0.0.0.0"  # noqa: S104 (compared with what a person chose)
ANY_IPV6: Final = "::"
"""Every address of this machine, IPv4 included."""


def host_name(host: str) -> str:
    """An address or a name to listen on, without brackets. Raises ``ValueError`` for what is neither."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not is_ipv6(bare) and (":" in bare or "/" in bare or any(character.isspace() for character in bare)):
        raise ValueError(
            f"{host!r} is not an address to listen on: write 127.0.0.1, ::1 or a name, without http:// and port"
        )
    return bare


def is_ipv6(host: str) -> bool:
    """Whether ``host`` is an IPv6 address, perhaps with the interface it belongs to (``fe80::1%eth0``)."""
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


def reachable(host: str) -> str:
    """The address a client on this machine uses for a listener on ``host``."""
    return "127.0.0.1" if host in {ANY_IPV4, ANY_IPV6, ""} else host


def web_address(host: str, port: int) -> str:
    """``http://host:port``; an IPv6 address stands in brackets, or its last colon would begin the port."""
    return f"http://[{host.replace('%', '%25')}]:{port}" if is_ipv6(host) else f"http://{host}:{port}"


def listening_socket(host: str, port: int, *, backlog: int = 128) -> socket.socket:
    """A socket that listens on ``host``; on ``::`` for IPv4 too, where the system can. Raises ``OSError``.

    backlog: connections that may wait to be accepted.
    """
    if is_ipv6(host):
        both = host == ANY_IPV6 and socket.has_dualstack_ipv6()
        listener = socket.create_server((host, port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=both)
    else:
        listener = socket.create_server((host, port), backlog=backlog)
    # Accepted connections inherit it. Without it the body of an answer waits 40 ms for the client to acknowledge its
    # head; asyncio sets it by itself only where the socket names its protocol, which this one does not.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
