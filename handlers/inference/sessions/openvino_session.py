"""OpenVINO, which computes in bfloat16 on processors that can (the extra ``openvino``).

Versions on one frozen backbone differ in their heads only: the backbone is compiled once for all that are loaded, and a
swap to the next of them costs a head.
"""

import hashlib
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

_DEVICE: Final = "CPU"
FEATURES: Final = "features"
"""The output that the backbone ends with; whatever comes after it is the head."""
_PRECISION: Final = "INFERENCE_PRECISION_HINT"


def _openvino() -> Any:
    """The package. Imported as it is, it sends its maker that it was, through a package of its own for that."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # so that importing it fails
    return import_module("openvino")


@cache
def _core() -> Any:
    """One for the process: each new one loads the plugin of the processor again."""
    return _openvino().Core()


def why_no_bfloat16() -> str:
    """What is missing for ``Bfloat16Session`` here; empty: nothing."""
    if find_spec("openvino") is None:
        return "openvino is not installed: pip install 'lucir[openvino]'"
    core = _core()
    able = "BF16" in core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
    return "" if able else "this processor does not compute in bfloat16"


class _Part:
    """A compiled network, or a part of one; several threads may run it."""

    def __init__(self, model: Any, options: Mapping[str, Any]) -> None:
        self._model = _core().compile_model(model, _DEVICE, dict(options))
        self.ports = {name: port for port in self._model.outputs for name in port.get_names()}
        self._own = threading.local()
        """A request belongs to one thread at a time."""

    def run(self, feed: Mapping[str, NDArray[Any]]) -> Any:
        """Its outputs by port, which the next run in this thread writes over."""
        if not hasattr(self._own, "request"):
            self._own.request = self._model.create_infer_request()
        return self._own.request.infer(dict(feed), share_inputs=True, share_outputs=True)


_backbones: Final[WeakValueDictionary[tuple[str, int], _Part]] = WeakValueDictionary()
"""Those of the sessions that are there, by their digest and the number of threads."""
_compiling: Final = threading.Lock()


class Bfloat16Session:
    """A published file, computed in bfloat16: half the width of a float, with its range.

    Raises what OpenVINO raises.
    """

    def __init__(self, path: Path, threads: int) -> None:
        options = {
            _PRECISION: "bf16",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # a core of its own is not ours to take: others train beside this process
        }
        model = _core().read_model(str(path))
        parts = _cut(model)
        self.backbone = None if parts is None else _shared(parts[0], options)
        """What is shared with other versions; None where the file does not say where its backbone ends."""
        # A head is small: in full width it takes no longer, and a new one is compiled in half the time.
        self._head = _Part(model, options) if parts is None else _Part(parts[1], {**options, _PRECISION: "f32"})
        self.outputs = frozenset({*self._head.ports, *(() if parts is None else (FEATURES,))})

    def run(self, names: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """These outputs, of inputs by name."""
        features = None
        if self.backbone is not None:
            features = self.backbone.run(feed)[self.backbone.ports[FEATURES]]
            feed = {FEATURES: features}
        found = self._head.run(feed)
        # Copied: the next run writes over them.
        return [
            np.array(features if name == FEATURES and features is not None else found[self._head.ports[name]])
            for name in names
        ]


def _shared(backbone: Any, options: Mapping[str, Any]) -> _Part:
    key = _digest(backbone), int(options["INFERENCE_NUM_THREADS"])
    with _compiling:
        part = _backbones.get(key)
        if part is None:
            part = _backbones[key] = _Part(backbone, options)
        return part


def _cut(model: Any) -> tuple[Any, Any] | None:
    """A network's backbone, from its inputs to ``FEATURES``, and its head from there on; None where it has not both.

    ``model`` is taken apart: it must not be used afterwards, unless the answer is None.
    """
    ov = _openvino()
    ends = {name: result for result in model.get_results() for name in result.input_value(0).get_names()}
    if FEATURES not in ends or len(ends) == 1:
        return None
    own = ends[FEATURES]
    named = own.input_value(0).get_node()
    source = named.input_value(0) if named.get_type_name() == "Identity" else own.input_value(0)
    head_input = ov.op.Parameter(source.get_element_type(), source.get_partial_shape())
    head_input.output(0).set_names({FEATURES})
    inside = {node.get_name() for node in ov.Model([own], model.get_parameters()).get_ordered_ops()}
    others = [result for result in model.get_results() if result.get_name() != own.get_name()]
    outside = [node for node in model.get_ordered_ops() if node.get_name() not in inside]
    crossing = [
        each for node in outside for each in node.inputs() if each.get_source_output().get_node().get_name() in inside
    ]
    through = [each for each in crossing if each.get_source_output() in (source, own.input_value(0))]
    constants = [each for each in crossing if each.get_source_output().get_node().get_type_name() == "Constant"]
    if len(through) + len(constants) != len(crossing):
        return None  # the head sees more of the network than its features
    for each in through:
        each.replace_source_output(head_input.output(0))
    return ov.Model([own], model.get_parameters()), ov.Model(others, [head_input])


def _digest(model: Any) -> str:
    """The same for networks with the same nodes, wires and numbers, whatever the nodes are called."""
    digest, place = hashlib.sha256(), {}
    for number, node in enumerate(model.get_ordered_ops()):
        place[node.get_name()] = number
        sources = [each.get_source_output() for each in node.inputs()]
        wires = [(place[source.get_node().get_name()], source.get_index()) for source in sources]
        attributes = sorted((name, str(value)) for name, value in node.get_attributes().items())
        digest.update(repr((node.get_type_name(), attributes, wires)).encode())
        if node.get_type_name() == "Constant":
            digest.update(np.ascontiguousarray(node.data).data)
    return digest.hexdigest()
