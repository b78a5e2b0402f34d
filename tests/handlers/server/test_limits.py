"""What a client may cost the uvicorn engine: headers, connections, time, bytes; on the wire, past any HTTP library."""

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from handlers.server import connections
from handlers.server.gateway import LONGEST_TARGET, MOST_HEADERS
from handlers.server.request_body import WHOLE_BODY
from tests.handlers.torchserve.conftest import MakeImage, MakeVersion
from tests.support.servers.asgi_server import serving
from tests.support.servers.inference_server import LARGEST_BODY, answering
from tests.support.waiting import PATIENCE, wait_for

PATH = "/predictions/lucir"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, make_version: MakeVersion) -> Iterator[httpx.Client]:
    with answering(tmp_path_factory.mktemp("limits"), make_version) as client:
        yield client


@contextmanager
def connected(client: httpx.Client) -> Iterator[socket.socket]:
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=PATIENCE) as connection:
        yield connection


def answer_to(connection: socket.socket, *parts: bytes) -> tuple[int, dict[str, str], Any]:
    """Status, headers and document of the one answer, read until the server closes."""
    for part in parts:
        connection.sendall(part)
    received = b""
    while data := connection.recv(65536):
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("ascii").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(status.split()[1]), headers, json.loads(body)


def head(*lines: str, method: str = "POST") -> bytes:
    return "\r\n".join([f"{method} {PATH} HTTP/1.1", "Host: x", *lines, "", ""]).encode("ascii")


def test_many_long_and_endless_headers(client: httpx.Client) -> None:
    answer = client.get("/ping", headers={f"x-{number}": "1" for number in range(MOST_HEADERS)})
    assert answer.status_code == 431
    assert str(MOST_HEADERS) in answer.json()["error"]
    assert answer.headers["x-request-id"]
    assert client.get("/ping", headers={f"x-{number}": "1" for number in range(MOST_HEADERS - 10)}).is_success
    answer = client.get("/ping?" + "a" * LONGEST_TARGET)
    assert (answer.status_code, str(LONGEST_TARGET) in answer.json()["error"]) == (414, True)
    with connected(client) as connection:
        status, headers, document = answer_to(
            connection, b"GET /ping HTTP/1.1\r\nx: " + b"a" * connections.HEADER_BYTES + b"\r\n"
        )
    assert (status, headers["content-type"], headers["connection"]) == (431, "application/json", "close")
    assert str(connections.HEADER_BYTES) in document["error"]
    name = b"x" * 700 + b": 1\r\n"
    with connected(client) as connection:  # in many pieces, each a header that is complete
        status, _, document = answer_to(
            connection, b"GET /ping HTTP/1.1\r\nHost: x\r\n", *[name] * (connections.HEADER_BYTES // len(name) + 1)
        )
    assert (status, str(connections.HEADER_BYTES) in document["error"]) == (431, True)
    whole = b"GET /ping HTTP/1.1\r\nHost: x\r\n" + name * (connections.HEADER_BYTES // len(name) + 1) + b"\r\n"
    with connected(client) as connection:
        assert answer_to(connection, whole)[0] == 431


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"no request at all\r\n\r\n", 400),
        (b"BREW /ping HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GETT /ping HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"BREW /ping HTTP/3.7\r\nHost: x\r\n\r\n", 400),
        (head("Content-Length: x"), 400),
        (head("Content-Length: 5", "Content-Length: 6"), 400),
        (head("Transfer-Encoding: chunked") + b"zz\r\n", 400),
        (head("Transfer-Encoding: gzip"), 400),
        (head("a b: c"), 400),
        (b"GET /ping HTTP/1.1\r\n\r\n", 400),
        (b"GET /ping HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET /p\xe4ng HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /ping HTTP/3.7\r\nHost: x\r\n\r\n", 400),
        (head("x: a\x00b"), 400),
    ],
)
def test_what_is_not_http_is_refused_in_json(client: httpx.Client, sent: bytes, status: int) -> None:
    with connected(client) as connection:
        found, headers, document = answer_to(connection, sent)
    assert (found, headers["content-type"], headers["connection"]) == (status, "application/json", "close")
    assert list(document) == ["error"]
    assert ("POST" in headers.get("allow", "")) is (status == 405)


def test_slow_headers_end_their_connection(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.2)
    for begun in (b"", b"POST /pred"):
        with connected(client) as connection:
            connection.sendall(begun)
            with suppress(ConnectionResetError):
                assert connection.recv(100) == b""
    with connected(client) as connection:  # a header now and then is not enough
        connection.sendall(b"GET /ping HTTP/1.1\r\n")
        wait_for(lambda: refused(connection, b"x: 1\r\n"))


def refused(connection: socket.socket, more: bytes) -> bool:
    try:
        connection.sendall(more)
    except ConnectionError:
        return True
    return False


def test_a_slow_body_is_408(tmp_path: Path, make_version: MakeVersion) -> None:
    with answering(tmp_path, make_version, body_seconds=0.3) as client:
        for begun in (head("Content-Length: 100") + b"abc", head("Transfer-Encoding: chunked") + b"3\r\nabc\r\n"):
            with connected(client) as connection:
                status, headers, document = answer_to(connection, begun)
            assert (status, headers["connection"]) == (408, "close")
            assert "within 0.3 s" in document["error"]


def test_only_a_body_that_is_all_here_needs_no_watch() -> None:
    whole = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        whole.append(WHOLE_BODY in scope["state"])
        await Response(b"{}", headers={"connection": "close"})(scope, receive, send)

    with serving(app, lambda: None) as client:
        for begun in (head("Content-Length: 3") + b"abc", head("Content-Length: 3"), head("Content-Length: 3") + b"a"):
            with connected(client) as connection:
                assert answer_to(connection, begun)[0] == 200
    assert whole == [True, False, False]


def test_a_client_that_leaves_is_not_an_error(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with connected(client) as connection:
        connection.sendall(head("Content-Length: 100") + b"abc")
        connection.shutdown(socket.SHUT_WR)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset at the end
    assert client.get("/ping").is_success
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_chunked_body_ends_at_the_limit(client: httpx.Client, make_image: MakeImage) -> None:
    image = make_image("青")
    chunk = b"2000\r\n" + bytes(0x2000) + b"\r\n"
    with connected(client) as connection:
        connection.sendall(head("Transfer-Encoding: chunked") + chunk * (LARGEST_BODY // 0x2000 + 1))
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (image[:7], image[7:])) + b"0\r\n\r\n"
    with connected(client) as connection:
        status, _, document = answer_to(connection, head("Transfer-Encoding: chunked", "Connection: close"), chunked)
    assert (status, document["predictions"][0]["class"]) == (200, "青")


def test_pipelined_requests_are_answered_in_their_order(client: httpx.Client, make_image: MakeImage) -> None:
    first, second = make_image("青"), make_image("rot")
    whole = [
        head(f"Content-Length: {len(image)}", f"x-request-id: {name}") + image
        for name, image in ((1, first), (2, second))
    ]
    with connected(client) as connection:
        connection.sendall(b"".join(whole) + b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = b""
        while data := connection.recv(65536):
            received += data
    text = received.decode()
    assert "connection: close" in text.rpartition("HTTP/1.1 ")[2]
    places = [text.index(word) for word in ("x-request-id: 1", "青", "x-request-id: 2", "rot", "Healthy")]
    assert text.count("HTTP/1.1 200 ") == 3
    assert places[:3] == sorted(places[:3])
    assert places[-1] == max(places)


def test_an_idle_connection_is_closed(tmp_path: Path, make_version: MakeVersion) -> None:
    with answering(tmp_path, make_version, idle=0.2) as client, connected(client) as connection:
        connection.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        while data := connection.recv(1000):  # until the server closes
            received += data
    assert received.endswith(b'{"status": "Healthy"}')


def test_connections_beyond_the_limit_are_told_so(tmp_path: Path, make_version: MakeVersion) -> None:
    with answering(tmp_path, make_version, connections=2) as client, ExitStack() as kept:
        for _ in range(2):
            connection = kept.enter_context(connected(client))
            connection.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        answer = client.get("/ping")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.headers["connection"] == "close"
        assert "connections" in answer.json()["error"]
