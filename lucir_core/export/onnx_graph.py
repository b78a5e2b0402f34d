"""Writes a backbone as ONNX nodes, from its traced graph.

`torch.onnx.export` takes 6 to 9 s for a ResNet in a fresh process on two cores, most of what an update does after
training; our networks are made of a few operations, so writing them takes milliseconds. Batch normalisation is folded
into the convolution before it.
"""

import hashlib
import operator
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import fx, nn
from torch.nn import functional

from lucir_core.errors import ConfigError


class GraphWriter:
    """Collects nodes and constants; every method returns the name of the value it makes."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, value: np.ndarray) -> str:
        """A fixed tensor."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """An operation with one output."""
        name = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def digest(self) -> str:
        """The same for the same nodes and numbers, as a string."""
        found = hashlib.sha256()
        parts: list[NodeProto | TensorProto] = [*self.nodes, *self.constants]
        for part in parts:
            found.update(part.SerializeToString(deterministic=True))
        return found.hexdigest()


def write_backbone(writer: GraphWriter, backbone: nn.Module, images: str) -> str:
    """Add the nodes of `backbone` (eval mode) fed with `images` (batch, 3, size, size); returns the features' name.

    Raises ConfigError for an operation that is not among convolution (zero-padded or not), batch norm, ReLU, ReLU6,
    max-pool, sum, mean and concatenation of features.
    """
    traced = fx.symbolic_trace(backbone)
    modules = dict(traced.named_modules())
    names: dict[fx.Node, str] = {}
    folded: dict[fx.Node, fx.Node] = {}
    padded: dict[fx.Node, tuple[int, int]] = {}
    """Paddings (begin, end of each side) that the convolution behind them does itself."""
    for node in traced.graph.nodes:
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        inputs = [names[argument] for argument in _flat(node.args) if argument in names]
        pads = next((padded[argument] for argument in _flat(node.args) if argument in padded), (0, 0))
        if node.op == "placeholder":
            names[node] = images
        elif node.op == "output":
            return names[node.args[0]]
        elif isinstance(module, nn.Conv2d):
            (user,) = node.users
            norm = modules.get(str(user.target)) if user.op == "call_module" else None
            if isinstance(norm, nn.BatchNorm2d):
                folded[user] = node
            norm = norm if isinstance(norm, nn.BatchNorm2d) else None
            names[node] = _convolution(writer, inputs[0], module, norm, pads)
        elif isinstance(module, nn.ZeroPad2d):
            names[node], padded[node] = inputs[0], (module.padding[0], module.padding[1])
        elif isinstance(module, nn.Identity):
            names[node] = inputs[0]
        elif node in folded:
            names[node] = names[folded[node]]
        else:
            names[node] = _plain(writer, node, module, inputs)
    raise ConfigError("the traced backbone returns nothing")


def _flat(arguments: Iterable[Any]) -> Iterator[fx.Node]:
    for argument in arguments:
        if isinstance(argument, fx.Node):
            yield argument
        elif isinstance(argument, (list, tuple)):
            yield from _flat(argument)


def _plain(writer: GraphWriter, node: fx.Node, module: nn.Module | None, inputs: list[str]) -> str:
    if isinstance(module, nn.MaxPool2d):
        kernel, stride, padding = (_pair(value) for value in (module.kernel_size, module.stride, module.padding))
        return writer.node("MaxPool", inputs[0], kernel_shape=kernel, strides=stride, pads=[*padding, *padding])
    if isinstance(module, nn.ReLU) or node.target is functional.relu:
        return writer.node("Relu", inputs[0])
    if isinstance(module, nn.ReLU6):
        low, high = (writer.constant(np.array(value, np.float32)) for value in (0.0, 6.0))
        return writer.node("Clip", inputs[0], low, high)
    if node.target in (operator.add, operator.iadd, torch.add) and len(inputs) == 2:
        return writer.node("Add", *inputs)
    if node.target is torch.cat and node.kwargs.get("dim") == 1:
        return writer.node("Concat", *inputs, axis=1)
    if node.op == "call_method" and node.target == "mean" and tuple(node.kwargs.get("dim", ())) == (2, 3):  # type: ignore[arg-type]  # an fx argument is anything
        return writer.node("ReduceMean", inputs[0], writer.constant(np.array([2, 3], np.int64)), keepdims=0)
    raise ConfigError(
        f"the backbone cannot be written as ONNX: it uses {module or node.target}, which has no rule here"
    )


def _convolution(
    writer: GraphWriter, value: str, conv: nn.Conv2d, norm: nn.BatchNorm2d | None, pads: tuple[int, int]
) -> str:
    weight = conv.weight.detach().double()
    bias = torch.zeros(len(weight), dtype=torch.float64) if conv.bias is None else conv.bias.detach().double()
    if norm is not None:
        if norm.running_mean is None or norm.running_var is None:
            raise ConfigError("a batch norm without running statistics cannot be folded: keep its statistics")
        scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
        weight = weight * scale.view(-1, 1, 1, 1)
        bias = (bias - norm.running_mean.double()) * scale + norm.bias.detach().double()
    padding = _pair(conv.padding)
    begin, end = ([side + extra for side in padding] for extra in pads)
    return writer.node(
        "Conv",
        value,
        writer.constant(weight.float().numpy()),
        writer.constant(bias.float().numpy()),
        kernel_shape=list(conv.kernel_size),
        strides=list(conv.stride),
        pads=[*begin, *end],
        dilations=list(conv.dilation),
        group=conv.groups,
    )


def _pair(value: Any) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)
