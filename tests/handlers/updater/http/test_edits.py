"""Requests for changes over HTTP: who may make them, what they must look like, where they are written down."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from handlers.bucket.edit_documents import DeleteImages, Merge, Relearn, Remove, Rename
from handlers.settings import Settings
from handlers.updater.http.changes.access import check_access
from handlers.updater.service import Updater
from lucir_core.config.phase_config import load_preset
from model_store.directory.directory_store import DirectoryStore
from model_store.versions import VersionStore
from tests.handlers.updater.http.conftest import serving
from tests.support.stores.published import publish_first

SHA = "ab" * 32


@pytest.fixture
def updater(settings: Settings, store: DirectoryStore, tmp_path: Path) -> Updater:
    """Version 2 knows cat, dog and owl."""
    publish_first(VersionStore(store), 2, tmp_path, 1, 2)
    return Updater(settings, load_preset("digits"), store)


def test_each_call_writes_a_request_down(client: httpx.Client, updater: Updater) -> None:
    answers = [
        client.post("/api/classes/cat/rename", json={"to": "Katze"}),
        client.post("/api/classes/merge", json={"classes": ["cat", "owl"], "into": "cat"}),
        client.delete("/api/classes/owl", params={"originals": "delete"}),
        client.delete("/api/classes/cat"),
        client.delete(f"/api/images/{SHA.upper()}"),
        client.post("/api/relearn", json={"classes": ["lynx"]}),
        client.post("/api/relearn", json={"preset": "small", "overrides": {"epochs": 3}}),
    ]
    assert [answer.status_code for answer in answers] == [202] * 7
    assert [request.operation for request in updater.edits.pending()] == [
        Rename(name="cat", to="Katze"),
        Merge(names=("cat", "owl"), into="cat"),
        Remove(name="owl", delete_originals=True),
        Remove(name="cat"),
        DeleteImages(hashes=(SHA,)),
        Relearn(classes=("lynx",)),
        Relearn(preset="small", overrides={"epochs": 3}),
    ]
    state = client.get(answers[0].json()["state"])
    assert (state.status_code, state.json()["state"]) == (200, "waiting")
    assert answers[0].json()["operation"] == "rename 'cat' to 'Katze'"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/api/classes/cta/rename", {"to": "x"}, 409, "no class 'cta': did you mean cat"),
        ("POST", "/api/classes/cat/rename", {"to": "dog"}, 409, "lucir class merge cat --into dog"),
        ("POST", "/api/classes/cat/rename", {"to": "_x"}, 409, "underscore"),
        ("POST", "/api/relearn", {}, 400, "name either classes"),
        ("POST", "/api/relearn", {"classes": ["cat"], "preset": "small"}, 400, "name either classes"),
        ("POST", "/api/relearn", {"classes": ["_x"]}, 409, "underscore"),
        ("POST", "/api/relearn", {"preset": "smal"}, 409, "unknown preset 'smal'"),
        ("POST", "/api/relearn", {"preset": "small", "overrides": {"epoch": 3}}, 409, "epoch"),
        ("POST", "/api/classes/cat/rename", {"to": "a/b"}, 409, "'/'"),
        ("POST", "/api/classes/cat/rename", {"to": "x\ny"}, 409, "control character"),
        ("POST", "/api/classes/cat/rename", {"to": "cat"}, 409, "has this name already"),
        ("POST", "/api/classes/cat/rename", {}, 400, "to: Field required"),
        ("POST", "/api/classes/cat/rename", {"to": "x", "force": True}, 400, "force"),
        ("POST", "/api/classes/merge", {"classes": ["cat"], "into": "cat"}, 409, "at least two"),
        ("POST", "/api/classes/merge", {"classes": [], "into": "cat"}, 400, "classes"),
        ("POST", "/api/classes/merge", {"classes": ["cat", "dog", "owl"], "into": "x"}, 409, "only the class 'x'"),
        ("DELETE", "/api/classes/cow", None, 409, "no class 'cow'"),
        ("DELETE", "/api/classes/cat?originals=maybe", None, 400, "keep or delete"),
        ("DELETE", "/api/images/abc", None, 400, "hashes"),
        ("GET", "/api/requests/..", None, 404, "nothing at"),
        ("GET", "/api/requests/000001-1700000000000-0123abcd", None, 404, "no request"),
        ("GET", "/api/requests/nonsense", None, 404, "not a request's id"),
        ("GET", "/api/classes/cat", None, 405, "classes are changed below /api/classes"),
    ],
)
def test_what_cannot_be_done_is_said(
    client: httpx.Client, updater: Updater, method: str, path: str, body: Any, status: int, words: str
) -> None:
    answer = client.request(method, path, json=body) if body is not None else client.request(method, path)
    assert answer.status_code == status
    assert words in answer.json()["error"]
    assert updater.edits.pending() == []


def test_names_in_the_address_may_be_anything(client: httpx.Client) -> None:
    answer = client.delete("/api/classes/K%C3%A4tzchen%20%3Cb%3E%3F")
    assert answer.status_code == 409
    assert "'Kätzchen <b>?'" in answer.json()["error"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "application/json", "origin": "http://evil.example"}, 403),
        ({"content-type": "application/json", "origin": "null"}, 403),
        ({"content-type": "application/json", "host": "evil.example"}, 403),
        ({"content-type": "application/json", "x-forwarded-for": "127.0.0.1"}, 403),
        ({"content-type": "application/json; charset=utf-8"}, 202),
        ({"content-type": "application/json", "host": "localhost:1234"}, 202),
        ({"content-type": "application/json", "host": "localhost:1234", "origin": "http://localhost:1234"}, 202),
    ],
)
def test_pages_of_others_may_not_change_anything(
    client: httpx.Client, updater: Updater, headers: dict[str, str], status: int
) -> None:
    answer = client.post("/api/classes/cat/rename", content=b'{"to": "x"}', headers=headers)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers
    assert len(updater.edits.pending()) == (status == 202)
    if status == 403:
        assert client.delete("/api/classes/cat", headers=headers).status_code == 403


def test_a_large_body_is_refused(client: httpx.Client) -> None:
    answer = client.post(
        "/api/classes/cat/rename", content=b" " * (2 << 20), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413


FILE, JSON = "application/octet-stream", "application/json"
CALLS = [
    ("PUT", "/api/incoming/owl/x/1.png", FILE),
    ("POST", "/api/corrections?class=owl", FILE),
    ("POST", "/api/predict", FILE),
    ("POST", "/api/versions/1/nearest", FILE),
    ("POST", "/api/rollback", JSON),
    ("POST", "/api/layout", JSON),
]


@pytest.mark.parametrize(("method", "path", "kind"), CALLS)
def test_every_other_call_refuses_them_too(
    client: httpx.Client, store: DirectoryStore, method: str, path: str, kind: str
) -> None:
    before = list(store.list(""))
    only_reads = path in ("/api/predict", "/api/versions/1/nearest")
    refused = [({"content-type": kind, "origin": "http://example.org"}, 403), ({"content-type": "text/plain"}, 415)]
    if not only_reads:
        refused.append(({"content-type": kind, "x-forwarded-for": "203.0.113.5"}, 403))
    for headers, status in refused:
        answer = client.request(method, path, content=b'{"to": 1}', headers=headers)
        assert answer.status_code == status, (headers, answer.text)
    assert list(store.list("")) == before


def test_with_a_token_only_who_sends_it(guarded: Settings, updater: Updater) -> None:
    updater.settings = guarded
    with serving(updater) as client:
        assert client.get("/api/status").status_code == 200
        assert client.delete("/api/classes/cat").status_code == 401
        assert client.delete("/api/classes/cat", headers={"authorization": "Bearer wrong"}).status_code == 401
        right = {"authorization": "Bearer secret", "x-forwarded-for": "203.0.113.5", "host": "lucir.example"}
        assert client.delete("/api/classes/cat", headers=right).status_code == 202


@pytest.mark.parametrize(("address", "allowed"), [("127.0.0.1", True), ("::1", True), ("203.0.113.5", False)])
def test_without_a_token_only_this_machine(address: str, allowed: bool) -> None:
    scope = {"type": "http", "method": "DELETE", "headers": [(b"host", b"127.0.0.1:8090")], "client": (address, 1)}
    if allowed:
        check_access(Request(scope), None)
    else:
        with pytest.raises(HTTPException, match=r"updater\.token"):
            check_access(Request(scope), None)


def test_a_version_without_a_report_says_so(client: httpx.Client) -> None:
    for path in ("/versions/1/report", "/api/versions/1/report"):
        answer = client.get(path)
        assert (answer.status_code, "has no report" in answer.json()["error"]) == (404, True)
    assert "no version 9" in client.get("/versions/9/report").json()["error"]
