"""The pages of a real server, over HTTP."""

import re
import shutil
import socket
import threading
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from handlers.sidecar.http import WebServer
from handlers.updater.http import probes
from handlers.updater.http.app import make_app
from handlers.updater.service import Updater
from handlers.updater.status import Phase
from model_store.directory.directory_store import DirectoryStore
from model_store.objects import StoreError
from tests.handlers.updater.http.conftest import serving
from tests.support.stores.acted_on import ActedOn
from tests.support.waiting import PATIENCE, wait_for


def test_the_page_only_loads_what_is_its_own(client: httpx.Client) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    names = re.findall(r'(?:href|src)="(static/[^"]+)"', answer.text)
    assert any(name.endswith(".css") for name in names)
    assert any(name.endswith(".js") for name in names)
    for name in names:
        file = client.get(f"/{name}")
        assert file.status_code == 200
        assert "immutable" in file.headers["cache-control"]
        assert client.get(f"/{name}", headers={"if-none-match": file.headers["etag"]}).status_code == 304
        content = file.text.replace("http://www.w3.org/2000/svg", "")
        assert re.search(r"https?://|innerHTML|style=", content) is None
        assert len(content.splitlines()) < 300
    for part in (answer.text, *map(str, names)):
        assert re.search(r"https?://|<style| style=|<script>|onclick", part) is None
    stale = client.get("/static/0123/main.js")
    assert (stale.status_code, "load the page again" in stale.json()["error"]) == (404, True)


def test_status_of_a_new_store(client: httpx.Client, store: DirectoryStore) -> None:
    status = client.get("/api/status").json()
    assert status["current_version"] is None
    assert status["phase"] is None
    assert status["store"] == {"url": store.url, "ok": True, "error": None}
    assert client.get("/api/versions").json() == {"current": None, "served": None, "versions": []}


def test_status_tells_of_the_running_phase_and_of_errors(client: httpx.Client, updater: Updater) -> None:
    updater.status.set_phase(Phase(update="000007", step="learn"))
    updater.status.update_phase(progress=0.5, lambda_=2.0, losses={"cross_entropy": 1.0})
    for point in range(1000):
        updater.status.add_loss(point / 1000, 1.0)
    updater.status.add_error("store", "<b>gone</b>")
    updater.status.add_error("store", "<b>gone</b>")
    status = client.get("/api/status").json()
    assert status["phase"]["expert"]["less_forget_weight"] == 2.0
    assert len(status["phase"]["expert"]["loss_history"]) <= 400
    assert [(error["message"], error["count"]) for error in status["errors"]] == [("<b>gone</b>", 2)]


def test_metrics_are_prometheus_text(client: httpx.Client) -> None:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {family.name for family in text_string_to_metric_families(answer.text)}
    for name in ("lucir_accuracy_ratio", "lucir_drop_to_served_seconds", "lucir_updates", "process_cpu_seconds"):
        assert name in families


def test_health_fails_when_a_loop_hangs(
    client: httpx.Client, updater: Updater, monkeypatch: pytest.MonkeyPatch
) -> None:
    updater.status.beat("main")
    assert client.get("/healthz").status_code == 200
    monkeypatch.setattr(probes, "SILENT_SECONDS", -1.0)
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert "main" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/readyz", "/api/versions"])
def test_a_store_that_is_gone_is_a_clear_error(client: httpx.Client, root: Path, path: str) -> None:
    shutil.rmtree(root)
    answer = client.get(path)
    assert answer.status_code == 503
    assert "is gone" in answer.json()["error"]


def test_ready_says_that_incoming_cannot_be_listed(client: httpx.Client, updater: Updater) -> None:
    assert client.get("/readyz").status_code == 200
    updater.status.store_failed(StoreError("cannot list the folder 'incoming/': permission denied"))
    answer = client.get("/readyz")
    assert (answer.status_code, "permission denied" in answer.json()["error"]) == (503, True)
    updater.status.store_ok()
    assert client.get("/readyz").status_code == 200


def test_all_who_ask_share_one_check_of_a_store_that_hangs(
    updater: Updater, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More would fill the pool of threads, and the page would hang too."""
    checks, told, answers = list[str](), list[httpx.Response](), threading.Event()

    def hanging(name: str, _: str) -> None:
        checks.append(name)
        assert answers.wait(PATIENCE)

    updater.objects = ActedOn(store, hanging)  # type: ignore[assignment]  # it answers by __getattr__
    monkeypatch.setattr(probes, "ANSWER_SECONDS", 0.05)
    with serving(updater) as client:
        try:
            for _ in range(3):
                told.append(client.get("/readyz"))
        finally:
            answers.set()
        assert {(answer.status_code, answer.text) for answer in told} == {(503, told[0].text)}
        assert "leaves a check of it waiting" in told[0].json()["error"]
        assert len(checks) == 1
        wait_for(lambda: client.get("/readyz").status_code == 200)


def test_errors_are_json(client: httpx.Client) -> None:
    missing, wrong = client.get("/api/nothing"), client.post("/api/status")
    assert (missing.status_code, wrong.status_code) == (404, 405)
    assert "/api/status" in missing.json()["error"]
    assert "GET" in wrong.json()["error"]


def test_a_port_in_use_is_an_error_at_once(updater: Updater) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        WebServer(make_app(updater), "127.0.0.1", taken.getsockname()[1])
