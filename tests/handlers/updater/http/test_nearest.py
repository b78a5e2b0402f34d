"""The exemplars most like an image: by features that learning kept, else by what the network makes of them."""

from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from lucir_core.errors import StateError
from lucir_core.memory.feature_memory import FeatureMemory, read_rows
from lucir_core.memory.image_blobs import ImageBlobs, image_digest
from model_store.directory.directory_store import DirectoryStore
from model_store.manifest import Preprocessing
from model_store.versions import VersionStore
from tests.handlers.torchserve.conftest import COLOURS, colour_model
from tests.support.images import encoded
from tools.manifests import make_manifest

FILE = {"content-type": "application/octet-stream"}
SIDE, RESIZE = 16, 20
SHADES = (255, 160, 90)
"""Exemplars of each class: its colour with so much of white's other channels taken away."""


def exemplar(colour: tuple[int, int, int], shade: int) -> np.ndarray:
    pixels = [part if part else 255 - shade for part in colour]
    return np.full((RESIZE, RESIZE, 3), pixels, np.uint8)


def png(pixels: np.ndarray) -> bytes:
    return encoded(Image.fromarray(pixels), "PNG")


def publish(store: DirectoryStore, folder: Path, *, features: FeatureMemory | None, told: bool = True) -> None:
    """Version 1 knows the colours; its feature is the mean colour."""
    weights = np.array(list(COLOURS.values()), dtype=np.float32).T / 255
    model = colour_model(weights, weights, SIDE)
    if told:
        model.graph.node.append(helper.make_node("Identity", ["mean"], ["features"]))
        model.graph.output.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 3]))
    onnx.save(model, folder / "model.onnx")
    images = np.stack([exemplar(colour, shade) for colour in COLOURS.values() for shade in SHADES])
    labels = np.repeat(np.arange(len(COLOURS)), len(SHADES))
    ImageBlobs.from_arrays(images, labels, tuple(COLOURS)).save(folder / "exemplars.safetensors")
    files = {name: folder / name for name in ("model.onnx", "exemplars.safetensors")}
    if features is not None:
        features.save(folder / "features.safetensors")
        files["features.safetensors"] = folder / "features.safetensors"
    shape = Preprocessing(size=SIDE, resize=RESIZE)
    VersionStore(store).publish(make_manifest(1, classes=tuple(COLOURS), preprocessing=shape), files)


def ask(client: httpx.Client, data: bytes, query: str = "") -> httpx.Response:
    return client.post(f"/api/versions/1/nearest{query}", content=data, headers=FILE)


def test_the_network_looks_at_the_exemplars(client: httpx.Client, store: DirectoryStore, tmp_path: Path) -> None:
    publish(store, tmp_path, features=None)
    answer = ask(client, png(exemplar(COLOURS["grün"], 160)), "?count=4").json()
    assert answer["version"] == 1
    assert [(one["class"], one["rank"]) for one in answer["nearest"][:1]] == [("grün", 1)]
    assert answer["nearest"][0]["cosine"] == pytest.approx(1.0, abs=1e-4)
    cosines = [one["cosine"] for one in answer["nearest"]]
    assert cosines == sorted(cosines, reverse=True)
    assert len(cosines) == 4
    for one in answer["nearest"]:
        thumbnail = client.get("/api/versions/1/exemplar", params={"class": one["class"], "rank": one["rank"]})
        assert thumbnail.headers["content-type"] == "image/webp"


def test_features_that_learning_kept_are_believed(client: httpx.Client, store: DirectoryStore, tmp_path: Path) -> None:
    """The kept ones say of the darkest exemplar that it is the one alike; another one has been deleted since."""
    kept = [exemplar(COLOURS["grün"], SHADES[0]), exemplar(COLOURS["grün"], SHADES[2])]
    features = FeatureMemory.empty(3).extended(
        np.array([[1, 0, 0], [0, 200, 0]], np.float32), np.array([1, 1]), 0, [image_digest(image) for image in kept]
    )
    publish(store, tmp_path, features=features)
    answer = ask(client, png(exemplar(COLOURS["grün"], 255))).json()
    assert [(one["class"], one["rank"]) for one in answer["nearest"]] == [("grün", 2), ("grün", 0)]


NOT_POSSIBLE = [
    ("/api/versions/1/nearest", b"no image", 400, "not an image"),
    ("/api/versions/9/nearest", b"", 404, "no version 9"),
    ("/api/versions/1/nearest?count=x", b"", 400, "count is 'x'"),
]


def test_without_features_there_is_none_and_mistakes_are_said(
    client: httpx.Client, store: DirectoryStore, tmp_path: Path
) -> None:
    publish(store, tmp_path, features=None, told=False)
    assert ask(client, png(exemplar(COLOURS["rot"], 90))).json() == {"version": 1, "nearest": []}
    for path, body, status, words in NOT_POSSIBLE:
        answer = client.post(path, content=body, headers=FILE)
        assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text


def test_a_network_that_cannot_be_loaded_is_named(client: httpx.Client, store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a network")
    VersionStore(store).publish(make_manifest(1), {"model.onnx": tmp_path / "model.onnx"})
    answer = ask(client, png(exemplar(COLOURS["rot"], 90)))
    assert answer.status_code == 503
    assert "model.onnx cannot be loaded, roll back to another version" in answer.json()["error"]


def test_rows_are_read_by_the_digest_of_their_image(tmp_path: Path) -> None:
    digests = [bytes([number]) * 16 for number in range(3)]
    features = np.arange(6, dtype=np.float32).reshape(3, 2)
    FeatureMemory.empty(2).extended(features, np.zeros(3, np.int64), 0, digests).save(tmp_path / "features")
    found = read_rows(tmp_path / "features", [digests[2], b"x" * 16, digests[0]])
    assert found[[0, 2]].tolist() == [[4.0, 5.0], [0.0, 1.0]]
    assert np.isnan(found[1]).all()
    with pytest.raises(StateError, match="not a file of features"):
        read_rows(tmp_path / "missing", digests)
