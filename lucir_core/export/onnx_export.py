"""The model as one ONNX file: uint8 images in, probabilities and cosines out, everything between inside the graph.

Beside it, its head as a file of its own: where the backbone is frozen, a server that has the network of one version
needs only the head of the next.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import ModelProto, TensorProto, ValueInfoProto, helper
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
EXPANDED, CONCEPTS = "expanded", "concepts"
"""What such a head makes of the features before any class counts, where it does: random projections, and what the
classifier that came with the backbone sees. Outputs too, since a head as a file of its own begins with them."""
ORDER = (*OUTPUTS, FEATURES, KNOWN, CONCEPTS, EXPANDED)
BACKBONE = "backbone"
"""Property of a head's file: equal for heads that fit the same network."""
COMPARE_BATCH = 64
Dims = dict[str, tuple[int | str, ...]]
"""Of values, without the batch, by name."""
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


def export_onnx(state: LearnerState, path: Path | str, head: Path | str | None = None) -> None:
    """Write `path`, and `head` where it is given.

    Input `images`: uint8 (batch, size, size, 3), batch free. Outputs, float32 (batch, classes): `probabilities`,
    `cosines` (unscaled, with the class embeddings), `prototype_cosines` (with the class prototypes); and `features`
    (batch, dim), before the head and not normalised. With a head by ridge regression also `known` (batch, 1): how
    much an image looks like a known class, and what the head works from, `concepts` and `expanded`.

    `head` takes those of these outputs that do not depend on the classes, and gives the others. Its property `backbone`
    is a digest of what computes its inputs.
    """
    writer = GraphWriter()
    model, size = state.model.eval(), state.config.size
    _features(writer, model, size)
    given = {FEATURES: (model.feature_dim,), **_given(writer, state)}
    backbone = writer.digest()
    made = _head(writer, state)
    found = {**made, **given}
    Path(path).write_bytes(_model(writer, {name: found[name] for name in ORDER if name in found}, size))
    if head is not None:
        alone = GraphWriter()
        made = _head(alone, state)
        Path(head).write_bytes(_head_model(alone, given, made, backbone))


def features_model(model: IncrementalModel, size: int) -> bytes:
    """The nodes of `export_onnx` up to the output `features` (batch, dim), as the bytes of an ONNX file."""
    writer = GraphWriter()
    _features(writer, model, size)
    return _model(writer, {FEATURES: (model.feature_dim,)}, size)


def maps_model(model: IncrementalModel, front: nn.Module, size: int) -> bytes:
    """The same for a first part of the backbone, up to the output `maps` (batch, channels, height, width)."""
    writer = GraphWriter()
    writer.node("Identity", write_backbone(writer, front, _prepare(writer, model)), output=MAPS)
    return _model(writer, {MAPS: ("channels", "height", "width")}, size)


def _features(writer: GraphWriter, model: IncrementalModel, size: int) -> None:
    """The nodes from `images` to the output `features`."""
    prepared, backbone = _prepare(writer, model), model.backbone
    if isinstance(backbone, TimmNetwork):
        features = write_traced(writer, backbone, prepared, size, OPSET)
    else:
        features = write_backbone(writer, pruned(backbone), prepared)
    writer.node("Identity", features, output=FEATURES)


def _given(writer: GraphWriter, state: LearnerState) -> Dims:
    """The nodes from the features to what the head works from besides; their dimensions by name."""
    head = state.model.head
    given: Dims = {}
    if not isinstance(head, AnalyticHead):
        return {}
    if head.projection is not None:
        unit = writer.node("Div", FEATURES, _length(writer, FEATURES))
        positive = writer.node("Relu", writer.node("MatMul", unit, writer.constant(head.projection.numpy())))
        writer.node("Div", positive, _length(writer, positive), output=EXPANDED)
        given[EXPANDED] = (head.projection.shape[1],)
    if head.concepts is not None and state.calibration is not None:
        scores = writer.node("MatMul", FEATURES, writer.constant(head.concepts.weight.t().numpy()))
        scores = writer.node("Add", scores, writer.constant(head.concepts.bias.numpy()))
        writer.node("Sqrt", writer.node("Softmax", scores, axis=1), output=CONCEPTS)
        given[CONCEPTS] = (len(head.concepts.bias),)
    return given


def _head(writer: GraphWriter, state: LearnerState) -> Dims:
    """The nodes from there to the outputs that depend on the classes; their dimensions by name."""
    model = state.model
    unit = writer.node("Div", FEATURES, _length(writer, FEATURES))
    rows = functional.normalize(model.head.embeddings.detach().float(), dim=1)
    writer.node("MatMul", unit, writer.constant(rows.t().numpy()), output="cosines")
    logits = _logits(writer, model, unit)
    writer.node("Softmax", logits, axis=1, output="probabilities")
    writer.node("MatMul", unit, writer.constant(state.prototypes.t().numpy()), output="prototype_cosines")
    made: Dims = dict.fromkeys(OUTPUTS, (len(state.classes),))
    if isinstance(model.head, AnalyticHead) and state.calibration is not None:
        _known(writer, model.head, logits, state.calibration.temperature)
        made[KNOWN] = (1,)
    return made


def _model(writer: GraphWriter, outputs: Dims, size: int) -> bytes:
    """The file of a graph from `images` to float32 outputs (batch, ...), by name."""
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", size, size, 3])
    return _file(_graph(writer, [images], outputs))


def _head_model(writer: GraphWriter, given: Dims, made: Dims, backbone: str) -> bytes:
    """The file of a head, from what a backbone gives to the outputs of the classes."""
    model = _graph(writer, _values(given), made)
    helper.set_model_props(model, {BACKBONE: backbone})
    return _file(model)


def _graph(writer: GraphWriter, inputs: list[ValueInfoProto], outputs: Dims) -> ModelProto:
    graph = helper.make_graph(writer.nodes, "lucir", inputs, _values(outputs), writer.constants)
    # IR version 10 is read by every ONNX Runtime from 1.19 on.
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10, producer_name="lucir"
    )


def _values(dims: Dims) -> list[ValueInfoProto]:
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *rest]) for name, rest in dims.items()]


def _file(model: ModelProto) -> bytes:
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def _prepare(writer: GraphWriter, model: IncrementalModel) -> str:
    """uint8 NHWC to normalised float NCHW."""
    pixels = writer.node("Cast", writer.node("Transpose", "images", perm=[0, 3, 1, 2]), to=TensorProto.FLOAT)
    scaled = writer.node("Mul", pixels, writer.constant(model.scale.numpy()))
    return writer.node("Add", scaled, writer.constant(model.shift.numpy()))


def _length(writer: GraphWriter, features: str) -> str:
    norm = writer.node("ReduceL2", features, writer.constant(np.array([1], np.int64)), keepdims=1)
    return writer.node("Max", norm, writer.constant(np.array(EPSILON, np.float32)))


def _logits(writer: GraphWriter, model: IncrementalModel, unit: str) -> str:
    """Scores for the softmax; unit: the features scaled to length one."""
    head = model.head
    if isinstance(head, AnalyticHead):
        inputs = unit if head.projection is None else EXPANDED
        scores = writer.node("MatMul", inputs, writer.constant(head.weight.detach().t().numpy()))
        return writer.node("Add", scores, writer.constant(head.bias.detach().numpy()))
    if isinstance(head, CosineHead):
        return writer.node("Mul", "cosines", writer.constant(head.eta.detach().numpy()))
    rows, bias = head.corrected()
    weight = writer.constant(rows.detach().t().numpy())
    return writer.node("Add", writer.node("MatMul", FEATURES, weight), writer.constant(bias.detach().numpy()))


def _known(writer: GraphWriter, head: AnalyticHead, logits: str, temperature: float) -> None:
    """The output `known`; the logits are ridge scores divided by the temperature."""
    concepts = head.concepts
    weighed = [("prototype_cosines", 1.0, 1.0), (logits, temperature, RIDGE_SHARE)]
    if concepts is not None and concepts.capped is not None:
        weighed[0] = (_capped(writer, concepts.capped), 1.0, CAPPED_SHARE)
    if concepts is not None:
        cosines = writer.node("MatMul", CONCEPTS, writer.constant(concepts.means.t().numpy()))
        weighed.append((cosines, 1.0, CONCEPT_SHARE))
    total = sum(share for _, _, share in weighed)
    axis, parts = writer.constant(np.array([1], np.int64)), []
    for values, factor, share in weighed:
        best = writer.node("ReduceMax", values, axis, keepdims=1)
        parts.append(writer.node("Mul", best, writer.constant(np.array([factor * share / total], np.float32))))
    writer.node("Sum", *parts, output=KNOWN)


def _capped(writer: GraphWriter, means: Tensor) -> str:
    """Cosines (batch, classes) of `capped_units` to their class means (classes, dim)."""
    bound = cap_of(means.shape[1])
    low, high = (writer.constant(np.array(value, np.float32)) for value in (-bound, bound))
    clipped = writer.node("Clip", writer.node("Div", FEATURES, _length(writer, FEATURES)), low, high)
    return writer.node(
        "MatMul", writer.node("Div", clipped, _length(writer, clipped)), writer.constant(means.t().numpy())
    )


def compare_onnx(state: LearnerState, path: Path | str, images: np.ndarray) -> ExportCheck:
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


def open_session(path: Path | str) -> Any:
    """An ONNX Runtime session on the CPU."""
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
