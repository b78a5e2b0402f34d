"""Going back over HTTP, and taking a model along."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
from PIL import Image

from handlers.client import Client, ClientError
from handlers.settings import Settings
from handlers.updater.service import Updater
from lucir_core.config.phase_config import load_preset
from model_store.directory.directory_store import DirectoryStore
from model_store.manifest import Preprocessing
from model_store.versions import VersionStore
from tests.handlers.torchserve.conftest import COLOURS, colour_model
from tests.handlers.updater.http.conftest import serving
from tests.support.stores.published import pointed, publish_first
from tools.manifests import make_manifest


@pytest.fixture
def versions(store: DirectoryStore, tmp_path: Path) -> VersionStore:
    """Versions 1 to 3, the last one refused; the second is current."""
    return publish_first(VersionStore(store), 3, tmp_path, 2)


def test_the_pointer_moves_back(client: httpx.Client, versions: VersionStore) -> None:
    answer = client.post("/api/rollback", json={"to": 1})
    assert (answer.status_code, answer.json()) == (200, {"version": 1, "previous": 2, "forced": False})
    assert pointed(versions) == 1


NOT_POSSIBLE = [
    ({"to": 3}, 409, "the gate refused version 3: too bad"),
    ({"to": 9}, 404, "no version 9"),
    ({"to": 0}, 400, "to: "),
    ({}, 400, "to: Field required"),
    ({"to": 1, "why": "x"}, 400, "why"),
]


def test_what_cannot_be_served_changes_nothing(client: httpx.Client, versions: VersionStore) -> None:
    for body, status, words in NOT_POSSIBLE:
        answer = client.post("/api/rollback", json=body)
        assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text
        assert pointed(versions) == 2


def test_a_refused_version_is_served_when_a_person_insists(client: httpx.Client, versions: VersionStore) -> None:
    answer = client.post("/api/rollback", json={"to": 3, "force": True})
    assert answer.json() == {"version": 3, "previous": 2, "forced": True}
    assert pointed(versions) == 3


def test_a_damaged_version_is_not_served(client: httpx.Client, versions: VersionStore, root: Path) -> None:
    (root / "versions/1/model.onnx").write_bytes(b"other")
    answer = client.post("/api/rollback", json={"to": 1})
    assert (answer.status_code, "model.onnx" in answer.json()["error"]) == (409, True)
    assert pointed(versions) == 2


def test_the_python_client_goes_back_without_the_store(
    client: httpx.Client, versions: VersionStore, updater: Updater, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    updater.status.set_versions(1, 1, None)
    away = Client(updater_url=str(client.base_url), token="not needed here")
    result = away.rollback(1)
    assert (result.version, result.previous, result.forced, result.served) == (1, 2, False, 1)
    with pytest.raises(ClientError, match="the gate refused version 3: too bad"):
        away.rollback(3)
    assert pointed(versions) == 1


def test_access_says_whether_a_token_would_help(guarded: Settings, store: DirectoryStore) -> None:
    with serving(Updater(guarded, load_preset("digits"), store)) as client:
        without = client.get("/api/access").json()
        right = client.get("/api/access", headers={"authorization": "Bearer secret"}).json()
    assert (without["allowed"], without["token"], "LUCIR_UPDATER__TOKEN" in without["why"]) == (False, True, True)
    assert right == {"allowed": True, "token": True, "why": ""}


def test_the_model_runs_elsewhere(client: httpx.Client, store: DirectoryStore, tmp_path: Path) -> None:
    weights = np.array(list(COLOURS.values()), dtype=np.float32).T / 255
    onnx.save(colour_model(weights, weights, 16), tmp_path / "model.onnx")
    manifest = make_manifest(1, classes=tuple(COLOURS), preprocessing=Preprocessing(size=16, resize=20))
    VersionStore(store).publish(manifest, {"model.onnx": tmp_path / "model.onnx"})
    answer = client.get("/api/versions/1/model.zip")
    assert "lucir-version-1.zip" in answer.headers["content-disposition"]
    folder = tmp_path / "elsewhere"
    zipfile.ZipFile(io.BytesIO(answer.content)).extractall(folder)
    assert json.loads((folder / "labels.json").read_text(encoding="utf-8")) == list(COLOURS)
    Image.new("RGB", (40, 30), "lime").save(tmp_path / "image.png")
    done = subprocess.run(
        [sys.executable, "example.py", tmp_path / "image.png"],
        cwd=folder, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    told = [line.split()[1] for line in done.stdout.splitlines()]
    assert told[0] == "grün"
    assert set(told) == set(COLOURS)
    assert client.get("/api/versions/2/model.zip").status_code == 404
