"""OpenVINO, which computes in bfloat16 on processors that can (the extra ``openvino``)."""

import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_DEVICE: Final = "CPU"


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


class Bfloat16Session:
    """A published file, computed in bfloat16: half the width of a float, with its range.

    Raises what OpenVINO raises.
    """

    def __init__(self, path: Path, threads: int) -> None:
        options = {
            "INFERENCE_PRECISION_HINT": "bf16",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # a core of its own is not ours to take: others train beside this process
        }
        self._model = _core().compile_model(_core().read_model(str(path)), _DEVICE, options)
        self._ports = {name: port for port in self._model.outputs for name in port.get_names()}
        self.outputs = frozenset(self._ports)
        self._own = threading.local()
        """A request belongs to one thread at a time."""

    def run(self, names: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """These outputs, of inputs by name."""
        if not hasattr(self._own, "request"):
            self._own.request = self._model.create_infer_request()
        found = self._own.request.infer(dict(feed), share_inputs=True, share_outputs=True)
        return [np.array(found[self._ports[name]]) for name in names]  # copied: the next run writes over them
