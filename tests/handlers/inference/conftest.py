"""A worker's tests use the versions that TorchServe's tests make."""

import base64
import hashlib
import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, utils
from PIL import Image

from handlers.inference.sessions.onnx_session import OnnxSession
from tests.handlers.torchserve.conftest import MakeVersion, make_image, make_version
from tests.support.servers.asked_classifier import ask, started

__all__ = ["make_image", "make_version"]

Classify = Callable[..., list[tuple[int, Any]]]
MakeFolder = Callable[..., Path]
SIDE = 32
IMAGES: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (8, SIDE, SIDE, 3), np.uint8)


@pytest.fixture(autouse=True)
def _root_level() -> Iterator[None]:
    """A worker quietens its process's root logger."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


@pytest.fixture
def classify(tmp_path: Path, make_version: MakeVersion) -> Classify:
    """Status and document of each request that a worker of one version is asked; ``changes``: of the version."""

    def run(
        *fields: dict[str, Any], headers: dict[str, Any] | None = None, **changes: Any
    ) -> list[tuple[int, dict[str, Any]]]:
        folder = tmp_path / "version"
        return ask(started(make_version(folder, **changes)), *fields, headers=headers)

    return run


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """A mirrored version: its network does ``work`` and adds ``shift`` to the score of its first class."""

    def make(number: int, work: int = 2, shift: float = 0.0, *, head: bool = True, quick: bool = False) -> Path:
        folder = tmp_path / f"lucir-{number}"
        folder.mkdir()
        model = onnx.load(write_network(folder / "model.onnx", work, shift))
        if head:
            part = utils.Extractor(model).extract_model(["features"], ["probabilities", "cosines", "prototype_cosines"])
            helper.set_model_props(part, {"backbone": f"of {work} steps"})
            onnx.save(part, folder / "head.onnx")
        if quick:
            write_network(folder / "model.int8.onnx", 0, shift)
            write_canary(folder)
        write_manifest(folder, number)
        return folder

    return make


def write_network(path: Path, work: int = 1, shift: float = 0.0) -> Path:
    """Three classes by mean colour; ``work``: convolutions before, which change nothing but take their time.

    ``shift`` is added to the score of the first class.
    """
    channels = 64
    same = np.zeros((channels, channels, 3, 3), np.float32)
    same[range(channels), range(channels), 1, 1] = 1
    wide = np.zeros((3, channels), np.float32)
    wide[:, :3] = np.eye(3)
    constants = {
        "same": same,
        "wide": wide,
        "scale": np.array(1 / 64, np.float32),
        "shift": np.array([shift, 0, 0], np.float32),
        "narrow": wide.T.copy(),
        "axes": np.array([2, 3], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["pixels", "wide"], ["spread"]),
        helper.make_node("Transpose", ["spread"], ["map-0"], perm=[0, 3, 1, 2]),
    ]
    nodes += [
        helper.make_node("Conv", [f"map-{number}", "same"], [f"map-{number + 1}"], pads=[1, 1, 1, 1])
        for number in range(work)
    ]
    nodes += [
        helper.make_node("ReduceMean", [f"map-{work}", "axes"], ["mean"], keepdims=0),
        helper.make_node("Identity", ["mean"], ["features"]),
        helper.make_node("MatMul", ["features", "narrow"], ["colour"]),
        helper.make_node("Mul", ["colour", "scale"], ["cosines"]),
        helper.make_node("Identity", ["cosines"], ["prototype_cosines"]),
        helper.make_node("Add", ["cosines", "shift"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    outputs = {"probabilities": 3, "cosines": 3, "prototype_cosines": 3, "features": channels}
    graph = helper.make_graph(
        nodes,
        "copies",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width]) for name, width in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def write_canary(folder: Path, names: tuple[str, ...] = ("probabilities", "cosines", "prototype_cosines")) -> None:
    """Eight images and what the network answers to them."""
    answers = OnnxSession(folder / "model.onnx", 1).run(names, {"images": IMAGES})
    images = [
        {
            "png": base64.b64encode(png(image)).decode(),
            "outputs": {name: values[place].tolist() for name, values in zip(names, answers, strict=True)},
        }
        for place, image in enumerate(IMAGES)
    ]
    (folder / "canary.json").write_text(json.dumps({"pictures": images}))


def write_manifest(folder: Path, number: int) -> None:
    files = {path.name: path.read_bytes() for path in folder.glob("*.onnx")}
    records = {name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    manifest = {
        "version": number,
        "classes": ["red", "green", "blue"],
        "readout": "cnn",
        "preprocessing": {"size": SIDE, "resize": SIDE, "interpolation": "bilinear"},
        "files": records,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()
