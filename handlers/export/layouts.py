"""The layouts in which other servers want a model: Triton's repository and OpenVINO Model Server's."""

import json
import shutil
from pathlib import Path
from typing import Final

from handlers.inference.open_inference import MODEL_NAME
from model_store.manifest import Manifest

OUTPUTS: Final = ("probabilities", "cosines", "prototype_cosines")

_TRITON: Final = """name: "{name}"
backend: "onnxruntime"
max_batch_size: 64
input [
  {{ name: "images", data_type: TYPE_UINT8, dims: [ {size}, {size}, 3 ] }}
]
output [
{outputs}
]
dynamic_batching {{ max_queue_delay_microseconds: 2000 }}
"""


def write_triton(folder: Path, model: Path, manifest: Manifest) -> None:
    """``folder/lucir/{config.pbtxt, labels.txt, 1/model.onnx}``: start Triton with ``--model-repository=folder``."""
    root = folder / MODEL_NAME
    _place(model, root / "1" / "model.onnx")
    classes = len(manifest.classes)
    outputs = ",\n".join(
        f'  {{ name: "{name}", data_type: TYPE_FP32, dims: [ {classes} ]'
        + (', label_filename: "labels.txt"' if name == "probabilities" else "")
        + " }"
        for name in OUTPUTS
    )
    config = _TRITON.format(name=MODEL_NAME, size=manifest.preprocessing.size, outputs=outputs)
    (root / "config.pbtxt").write_text(config, encoding="utf-8")
    write_labels(root / "labels.txt", manifest.classes)


def write_openvino(folder: Path, model: Path) -> None:
    """``folder/{config.json, lucir/1/model.onnx}``: OpenVINO Model Server reads ONNX as it is."""
    _place(model, folder / MODEL_NAME / "1" / "model.onnx")
    config = {"model_config_list": [{"config": {"name": MODEL_NAME, "base_path": f"/models/{MODEL_NAME}"}}]}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def write_labels(path: Path, classes: tuple[str, ...]) -> None:
    """A class name a line, in the order of the outputs."""
    path.write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")


def _place(model: Path, target: Path) -> None:
    """The same file once more: a link where the file system has them."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(model)
    except OSError:
        shutil.copyfile(model, target)
