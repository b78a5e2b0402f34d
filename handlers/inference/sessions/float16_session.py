"""Half precision on a graphics card, whose units for it are several times as fast as those for floats.

The copy is made in memory of the published file, where there is a card: other machines have no use for it.
"""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from handlers.inference.sessions.onnx_session import OnnxSession, UnusableVersionError

_CONVOLUTION: Final = "Conv"
_HALF: Final = "/half"
"""What is appended to the name of a value for its copy in half precision."""


def why_no_float16() -> str:
    """What is missing for ``Float16Session``, beside a graphics card; empty: nothing."""
    return "" if find_spec("onnx") is not None else "onnx is not installed: pip install 'lucir[learn]'"


class Float16Session(OnnxSession):
    """A published file, computed in half precision.

    Raises ``UnusableVersionError``, also where CUDA does not work: processors have no such units.
    """

    def __init__(self, path: Path, threads: int, gpu: int) -> None:
        super().__init__(half_precision(path), threads, gpu)
        if not self.on_gpu:
            raise UnusableVersionError(f"CUDA device {gpu} cannot be used")


def half_precision(path: Path) -> bytes:
    """The network of a file with float16 in the place of float32 from its first convolutions to its last.

    What comes before and after stays as it is, and so do all inputs and outputs: answers are compared by them.
    (onnxruntime's own conversion rounds each output once more.)
    """
    onnx = import_module("onnx")  # not above: serving does without it, and a worker without a graphics card starts so
    half_type, float_type = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    make_node, to_array, from_array = onnx.helper.make_node, onnx.numpy_helper.to_array, onnx.numpy_helper.from_array

    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    graph = model.graph
    inside = _between_convolutions(graph.node)
    constants = {one.name: one for one in graph.initializer if one.data_type == float_type}
    values = (*graph.input, *graph.value_info, *graph.output)
    floats = {one.name for one in values if one.type.tensor_type.elem_type == float_type}
    asked = {name for node, half in zip(graph.node, inside, strict=True) if not half for name in node.input}
    asked |= {one.name for one in graph.output}

    nodes: list[Any] = []
    narrow: set[str] = set()
    for node, half in zip(graph.node, inside, strict=True):
        if not half:
            nodes.append(node)
            continue
        for name in [one for one in dict.fromkeys(node.input) if one not in narrow]:
            if name in constants:
                with np.errstate(over="ignore"):  # infinite: its answers are no numbers, and it is refused
                    weights = to_array(constants[name]).astype(np.float16)
                graph.initializer.append(from_array(weights, name + _HALF))
            elif name in floats:
                nodes.append(make_node("Cast", [name], [name + _HALF], to=half_type))
            else:
                continue  # whole numbers, as of a shape
            narrow.add(name)
        made = [name for name in node.output if name in floats]
        narrow.update(made)
        for names in (node.input, node.output):
            names[:] = [name + _HALF if name in narrow else name for name in names]
        nodes.append(node)
        nodes += [make_node("Cast", [name + _HALF], [name], to=float_type) for name in made if name in asked]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def _between_convolutions(nodes: Sequence[Any]) -> list[bool]:
    """Which nodes, in the order of their computation, are convolutions or lie on a way from one to another."""
    after: set[str] = set()
    before: set[str] = set()
    follows, leads = [], []
    for node in nodes:
        follows.append(node.op_type == _CONVOLUTION or not after.isdisjoint(node.input))
        after.update(node.output if follows[-1] else ())
    for node in reversed(nodes):
        leads.append(node.op_type == _CONVOLUTION or not before.isdisjoint(node.output))
        before.update(node.input if leads[-1] else ())
    return [both == (True, True) for both in zip(follows, reversed(leads), strict=True)]
