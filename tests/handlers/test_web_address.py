"""Addresses of every family, glued into URLs in one place."""

import os
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from handlers.setting_values import load_settings
from handlers.settings import Settings, SettingsError
from handlers.sidecar.http import WebServer
from handlers.stack.errors import StackError
from handlers.stack.ports import Listener, check_ports
from handlers.stack.run_stack import describe
from handlers.torchserve.launch import LaunchError, prepare_launch, render_config
from handlers.updater.http.changes.access import check_access
from handlers.web_address import web_address

IPV6 = pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this machine has no IPv6")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("::1", "http://[::1]:80"),
        ("2001:db8::7", "http://[2001:db8::7]:80"),
        ("fe80::1%eth0", "http://[fe80::1%25eth0]:80"),
        ("::ffff:127.0.0.1", "http://[::ffff:127.0.0.1]:80"),
        ("localhost", "http://localhost:80"),
    ],
)
def test_url(host: str, url: str) -> None:
    assert web_address(host, 80) == url
    assert urlsplit(url).port == 80


@pytest.mark.parametrize(
    ("host", "reached"),
    [("::1", "[::1]"), ("[::1]", "[::1]"), ("::", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("", "127.0.0.1")],
)
def test_every_url_of_the_settings(host: str, reached: str, tmp_path: Path) -> None:
    section = {"host": host}
    tree = Settings(data=tmp_path, serving=section, updater=section, follower=section)
    urls = [tree.inference_url, tree.updater_url, tree.follower_url]
    assert urls == [f"http://{reached}:{port}" for port in (8080, 8090, 8091)]
    record = describe(tree, tree.updater_url, ready=True)
    assert record.metrics_url == f"http://{reached}:8082"
    for url in [*urls, record.metrics_url]:
        httpx.Client(base_url=url).close()


@pytest.mark.parametrize("host", ["http://127.0.0.1", "127.0.0.1:8080", "::1:8080:x", "two words", "[::1]:80"])
def test_what_is_not_a_host_is_said(host: str) -> None:
    with pytest.raises(SettingsError, match=r"serving\.host.*not an address"):
        load_settings(overrides={"serving": {"host": host}})


@IPV6
@pytest.mark.parametrize(
    ("host", "asked"), [("::1", ["::1"]), ("::", ["::1", "127.0.0.1"]), ("127.0.0.1", ["127.0.0.1"])]
)
def test_pages_are_answered_and_changes_taken(host: str, asked: list[str]) -> None:
    def change(request: Request) -> PlainTextResponse:
        check_access(request, None)
        return PlainTextResponse("changed")

    server = WebServer(Starlette(routes=[Route("/", change, methods=["POST"])]), host, 0)
    server.start()
    try:
        for each in asked:
            answer = httpx.post(web_address(each, server.port), json={}, trust_env=False, timeout=30)
            assert answer.text == "changed", (each, answer.text)
    finally:
        server.stop()


@IPV6
@pytest.mark.parametrize("host", ["::1", "::"])
def test_a_port_in_use_is_noticed(host: str) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=f"port {port}"):
            check_ports([Listener("pages", host, port, "--port")])


def test_torchserve_says_once_what_it_cannot(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"TorchServe cannot listen on the IPv6 address ::1: .*--host"):
        prepare_launch(Settings(data=tmp_path, serving={"host": "::1"}))
    config = render_config(Settings(data=tmp_path, serving={"host": "::"}))
    assert "inference_address=http://0.0.0.0:8080\n" in config


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_data_folder_that_java_cannot_name(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    with pytest.raises(LaunchError, match="not UTF-8"):
        prepare_launch(Settings(data=folder))
