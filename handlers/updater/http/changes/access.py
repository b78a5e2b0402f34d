"""Who may change something over HTTP.

With ``updater.token`` set: requests that carry it. Without: programs on this machine only. Never a web page of somebody
else's in a browser on this machine: such a page can neither send the JSON content type, nor DELETE, nor the header
``Authorization`` without being asked first whether it may (it is never allowed to), its ``Origin`` is another, and a
name that was pointed to this machine to get around that is not one of the names that are believed.
"""

import hmac
import ipaddress
from urllib.parse import urlsplit

from pydantic import SecretStr
from starlette.exceptions import HTTPException
from starlette.requests import Request

FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""Headers of proxies: behind one, everybody seems to be on this machine."""


JSON, FILE = "application/json", "application/octet-stream"
"""Content types that a browser does not send to another site without asking it first."""


def check_access(request: Request, token: SecretStr | None, content_type: str = JSON) -> None:
    """Raise ``HTTPException`` (401, 403, 415) for a request that may not change anything.

    content_type: of the body, ``JSON`` or ``FILE``.
    """
    check_own_page(request, content_type)
    check_sender(request, token)


def check_own_page(request: Request, content_type: str = JSON) -> None:
    """Raise ``HTTPException`` (403, 415) for what a web page of somebody else may have sent."""
    if request.method != "DELETE" and request.headers.get("content-type", "").split(";")[0] != content_type:
        raise HTTPException(415, f"send the body with the header content-type: {content_type}")
    _check_origin(request)


def check_sender(request: Request, token: SecretStr | None) -> None:
    """Raise ``HTTPException`` (401, 403) if the sender may not change anything, whatever the request is."""
    _check_origin(request)
    if token is not None:
        sent = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(sent.encode(), token.get_secret_value().encode()):
            raise HTTPException(401, "send the token (LUCIR_UPDATER__TOKEN) as the header authorization: Bearer ...")
        return
    local = request.client is not None and _is_loopback(request.client.host)
    if not local or any(name in request.headers for name in FORWARDED):
        raise HTTPException(
            403, "changes are only taken from this machine: set updater.token (LUCIR_UPDATER__TOKEN) and send it"
        )
    name = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    if name != "localhost" and not _is_address(name):
        raise HTTPException(403, f"changes are not taken under the name {name!r}: use 127.0.0.1, or set updater.token")


def _check_origin(request: Request) -> None:
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(403, f"web pages of {origin} may not change anything here")


def _is_loopback(host: str) -> bool:
    if not _is_address(host):
        return False
    address = ipaddress.ip_address(host)
    # A listener on :: sees clients by IPv4 as ::ffff:127.0.0.1.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
