import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

COLOURS = {"rot": (255, 0, 0), "grün": (0, 255, 0), "青": (0, 0, 255)}
"""Class names beyond ASCII on purpose."""

MakeVersion = Callable[..., Path]
MakeImage = Callable[..., bytes]


def colour_model(weights: NDArray[np.float32], prototypes: NDArray[np.float32], size: int) -> onnx.ModelProto:
    """Mean colour, normalised, times class colours: a classifier in the contract's form. weights: (3, classes)."""

    def constant(name: str, value: NDArray[Any]) -> onnx.TensorProto:
        return numpy_helper.from_array(value, name)

    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("Add", ["mean", "epsilon"], ["shifted"]),
        helper.make_node("LpNormalization", ["shifted"], ["feature"], axis=1, p=2),
        helper.make_node("MatMul", ["feature", "weights"], ["cosines"]),
        helper.make_node("MatMul", ["feature", "prototypes"], ["prototype_cosines"]),
        helper.make_node("Mul", ["cosines", "eta"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    classes = weights.shape[1]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", size, size, 3])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", classes])
            for name in ("probabilities", "cosines", "prototype_cosines")
        ],
        [
            constant("axes", np.array([1, 2], dtype=np.int64)),
            constant("epsilon", np.array([1e-3], dtype=np.float32)),
            constant("weights", weights),
            constant("prototypes", prototypes),
            constant("eta", np.array(10, dtype=np.float32)),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model


@pytest.fixture(scope="session")
def make_version() -> MakeVersion:
    """Write model.onnx and manifest.json of a colour classifier into a folder; returns the folder."""

    def make(folder: Path, version: int = 1, readout: str = "cnn", size: int = 16, **changes: Any) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        weights = np.array(list(COLOURS.values()), dtype=np.float32).T / 255
        # Turned by one class, so that the two readouts can be told apart.
        onnx.save(colour_model(weights, np.roll(weights, 1, axis=1), size), folder / "model.onnx")
        data = (folder / "model.onnx").read_bytes()
        names = list(COLOURS)
        manifest = {
            "format": 1,
            "version": version,
            "parent": version - 1 or None,
            "update_id": f"update-{version}",
            "created_at": "2026-01-02T03:04:05Z",
            "classes": names,
            "new_classes": names,
            "updated_classes": [],
            "preprocessing": {"size": size, "resize": size + 4, "crop": "center", "interpolation": "bilinear"},
            "readout": readout,
            "method": "lucir",
            "config": {},
            "counts": {part: dict.fromkeys(names, 1) for part in ("train", "holdout", "exemplars")},
            "files": {"model.onnx": {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}},
            "software": {},
            "timings": {},
        }
        (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}), encoding="utf-8")
        return folder

    return make


@pytest.fixture(scope="session")
def make_image() -> MakeImage:
    """A noisy picture of one of the colours, as an image file."""

    def make(name: str = "rot", form: str = "JPEG", side: int = 40, seed: int = 0) -> bytes:
        noise = np.random.default_rng(seed).integers(-20, 20, (side, side, 3))
        picture = np.clip(np.array(COLOURS[name]) * 0.8 + 25 + noise, 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, form)
        return buffer.getvalue()

    return make
