"""The model as one ONNX file: uint8 images in, probabilities and cosines out, everything between inside the graph."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn
from torch.nn import functional

from lucir_core.data.augment import centre_crop
from lucir_core.export.onnx_graph import GraphWriter, write_backbone
from lucir_core.export.traced_graph import write_traced
from lucir_core.frozen.calibrate import CAPPED_SHARE, CONCEPT_SHARE, RIDGE_SHARE
from lucir_core.models.gates import pruned
from lucir_core.models.heads import AnalyticHead, CosineHead, cap_of
from lucir_core.models.model import IncrementalModel
from lucir_core.models.timm_network import TimmNetwork
from lucir_core.state import LearnerState

OPSET = 18
OUTPUTS = ("probabilities", "cosines", "prototype_cosines")
FEATURES, MAPS = "features", "maps"
KNOWN = "known"
"""Only of a head by ridge regression: (batch, 1), `lucir_core.frozen.calibrate.known_score`."""
COMPARE_BATCH = 64
EPSILON = 1e-12


@dataclass(frozen=True)
class ExportCheck:
    """How far ONNX Runtime and PyTorch are apart on the same images."""

    images: int
    max_cosine_difference: float
    """Over both kinds of cosines."""
    max_probability_difference: float
    top1_disagreements: int
    """Images with another best class, in either readout."""


def export_onnx(state: LearnerState, path: Path) -> None:
    """Write `path`.

    Input `images`: uint8 (batch, size, size, 3), batch free. Outputs, float32 (batch, classes): `probabilities`,
    `cosines` (unscaled, with the class embeddings), `prototype_cosines` (with the class prototypes); and `features`
    (batch, dim), before the head and not normalised. With a head by ridge regression also `known` (batch, 1): how
    much an image looks like a known class.
    """
    writer = GraphWriter()
    model, size, classes = state.model.eval(), state.config.size, len(state.classes)
    features = _features(writer, model, size)
    unit = writer.node("Div", features, _length(writer, features))
    rows = functional.normalize(model.head.embeddings.detach().float(), dim=1)
    writer.node("MatMul", unit, writer.constant(rows.t().numpy()), output="cosines")
    logits = _logits(writer, model, features, unit)
    writer.node("Softmax", logits, axis=1, output="probabilities")
    writer.node("MatMul", unit, writer.constant(state.prototypes.t().numpy()), output="prototype_cosines")
    outputs: dict[str, tuple[int | str, ...]] = {**dict.fromkeys(OUTPUTS, (classes,)), FEATURES: (model.feature_dim,)}
    if isinstance(model.head, AnalyticHead) and state.calibration is not None:
        _known(writer, model.head, features, logits, state.calibration.temperature)
        outputs[KNOWN] = (1,)
    path.write_bytes(_model(writer, size, outputs))


def features_model(model: IncrementalModel, size: int) -> bytes:
    """The nodes of `export_onnx` up to the output `features` (batch, dim), as the bytes of an ONNX file."""
    writer = GraphWriter()
    _features(writer, model, size)
    return _model(writer, size, {FEATURES: (model.feature_dim,)})


def maps_model(model: IncrementalModel, front: nn.Module, size: int) -> bytes:
    """The same for a first part of the backbone, up to the output `maps` (batch, channels, height, width)."""
    writer = GraphWriter()
    writer.node("Identity", write_backbone(writer, front, _prepare(writer, model)), output=MAPS)
    return _model(writer, size, {MAPS: ("channels", "height", "width")})


def _features(writer: GraphWriter, model: IncrementalModel, size: int) -> str:
    """The nodes from `images` to the output `features`; its name there."""
    prepared, backbone = _prepare(writer, model), model.backbone
    if isinstance(backbone, TimmNetwork):
        features = write_traced(writer, backbone, prepared, size, OPSET)
    else:
        features = write_backbone(writer, pruned(backbone), prepared)
    writer.node("Identity", features, output=FEATURES)
    return features


def _model(writer: GraphWriter, size: int, outputs: Mapping[str, tuple[int | str, ...]]) -> bytes:
    """The file of a graph from `images` to float32 outputs (batch, ...), by name."""
    graph = helper.make_graph(
        writer.nodes,
        "lucir",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", size, size, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *dims]) for name, dims in outputs.items()],
        writer.constants,
    )
    # IR version 10 is read by every ONNX Runtime from 1.19 on.
    proto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10, producer_name="lucir"
    )
    onnx.checker.check_model(proto)
    data: bytes = proto.SerializeToString()
    return data


def _prepare(writer: GraphWriter, model: IncrementalModel) -> str:
    """uint8 NHWC to normalised float NCHW."""
    pixels = writer.node("Cast", writer.node("Transpose", "images", perm=[0, 3, 1, 2]), to=TensorProto.FLOAT)
    scaled = writer.node("Mul", pixels, writer.constant(model.scale.numpy()))
    return writer.node("Add", scaled, writer.constant(model.shift.numpy()))


def _length(writer: GraphWriter, features: str) -> str:
    norm = writer.node("ReduceL2", features, writer.constant(np.array([1], np.int64)), keepdims=1)
    return writer.node("Max", norm, writer.constant(np.array(EPSILON, np.float32)))


def _logits(writer: GraphWriter, model: IncrementalModel, features: str, unit: str) -> str:
    """Scores for the softmax; unit: the features scaled to length one."""
    head = model.head
    if isinstance(head, AnalyticHead):
        if head.projection is not None:
            positive = writer.node("Relu", writer.node("MatMul", unit, writer.constant(head.projection.numpy())))
            unit = writer.node("Div", positive, _length(writer, positive))
        scores = writer.node("MatMul", unit, writer.constant(head.weight.detach().t().numpy()))
        return writer.node("Add", scores, writer.constant(head.bias.detach().numpy()))
    if isinstance(head, CosineHead):
        return writer.node("Mul", "cosines", writer.constant(head.eta.detach().numpy()))
    rows, bias = head.corrected()
    weight = writer.constant(rows.detach().t().numpy())
    return writer.node("Add", writer.node("MatMul", features, weight), writer.constant(bias.detach().numpy()))


def _known(writer: GraphWriter, head: AnalyticHead, features: str, logits: str, temperature: float) -> None:
    """The output `known`; the logits are ridge scores divided by the temperature."""
    concepts = head.concepts
    weighed = [("prototype_cosines", 1.0, 1.0), (logits, temperature, RIDGE_SHARE)]
    if concepts is not None and concepts.capped is not None:
        weighed[0] = (_capped(writer, features, concepts.capped), 1.0, CAPPED_SHARE)
    if concepts is not None:
        scores = writer.node("MatMul", features, writer.constant(concepts.weight.t().numpy()))
        scores = writer.node("Add", scores, writer.constant(concepts.bias.numpy()))
        described = writer.node("Sqrt", writer.node("Softmax", scores, axis=1))
        cosines = writer.node("MatMul", described, writer.constant(concepts.means.t().numpy()))
        weighed.append((cosines, 1.0, CONCEPT_SHARE))
    total = sum(share for _, _, share in weighed)
    axis, parts = writer.constant(np.array([1], np.int64)), []
    for values, factor, share in weighed:
        best = writer.node("ReduceMax", values, axis, keepdims=1)
        parts.append(writer.node("Mul", best, writer.constant(np.array([factor * share / total], np.float32))))
    writer.node("Sum", *parts, output=KNOWN)


def _capped(writer: GraphWriter, features: str, means: Tensor) -> str:
    """Cosines (batch, classes) of `capped_units` to their class means (classes, dim)."""
    bound = cap_of(means.shape[1])
    low, high = (writer.constant(np.array(value, np.float32)) for value in (-bound, bound))
    clipped = writer.node("Clip", writer.node("Div", features, _length(writer, features)), low, high)
    return writer.node(
        "MatMul", writer.node("Div", clipped, _length(writer, clipped)), writer.constant(means.t().numpy())
    )


def compare_onnx(state: LearnerState, path: Path, images: np.ndarray) -> ExportCheck:
    """Run both on `images` (n, resize, resize, 3) uint8 (their centre `size` pixels are seen)."""
    session = open_session(path)
    cosine = probability = 0.0
    disagreements = 0
    for start in range(0, len(images), COMPARE_BATCH):
        cropped = centre_crop(torch.from_numpy(np.array(images[start : start + COMPARE_BATCH])), state.config.size)
        feed = cropped.permute(0, 2, 3, 1).contiguous().numpy()
        ours = predict(state, cropped)
        theirs = [torch.from_numpy(value) for value in session.run(list(OUTPUTS), {"images": feed})]
        differences = [float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True)]
        probability = max(probability, differences[0])
        cosine = max(cosine, *differences[1:])
        wrong = [ours[i].argmax(dim=1) != theirs[i].argmax(dim=1) for i in (0, 2)]
        disagreements += int((wrong[0] | wrong[1]).sum())
    return ExportCheck(len(images), cosine, probability, disagreements)


@torch.no_grad()
def predict(state: LearnerState, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(probabilities, cosines, prototype cosines) by PyTorch; images: (batch, 3, size, size) on the scale 0 to 255."""
    output = state.model(images)
    prototype = functional.normalize(output.features, dim=1) @ state.prototypes.t()
    return output.logits.softmax(dim=1), output.cosines, prototype


def open_session(path: Path) -> Any:
    """An ONNX Runtime session on the CPU."""
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
