"""The learning library: LUCIR and the methods it is compared with.

To start: `load_preset` gives the settings, `PhaseData` takes arrays of images, `run_phase` learns a phase and returns a
`LearnerState`, which the next `run_phase` continues from, `save_state` writes and `export_onnx` makes servable::

    config = load_preset("small")
    first = run_phase(config, PhaseData(images, labels, ("cat", "dog")), None)
    second = run_phase(config, PhaseData(more_images, more_labels, ("cat", "dog", "owl")), first)
    export_onnx(second, Path("model.onnx"))

`register_method` adds a method of your own (`lucir_core.examples.own_method`), `lucir_core.evaluate` measures,
`lucir_core.bench` runs the papers' protocols. Everything outside `__all__` may change between versions.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lucir_core.config.phase_config import PhaseConfig, config_from_dict, load_preset, preset_names
    from lucir_core.data.phase_data import PhaseData
    from lucir_core.errors import ConfigError, DataError, LearningError, StateError
    from lucir_core.export.onnx_export import compare_onnx, export_onnx
    from lucir_core.imprint import imprint_phase
    from lucir_core.methods.base import IncrementalMethod, register_method
    from lucir_core.phase import run_phase
    from lucir_core.state import LearnerState, load_state, save_state
    from lucir_core.training.phase_run import PhaseRun, Progress

# As in ``handlers``: ONNX Runtime sends usage data to its maker unless it finds this when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("ORT_TELEMETRY_DISABLED", "1")

__all__ = [
    "ConfigError",
    "DataError",
    "IncrementalMethod",
    "LearnerState",
    "LearningError",
    "PhaseConfig",
    "PhaseData",
    "PhaseRun",
    "Progress",
    "StateError",
    "compare_onnx",
    "config_from_dict",
    "export_onnx",
    "imprint_phase",
    "load_preset",
    "load_state",
    "preset_names",
    "register_method",
    "run_phase",
    "save_state",
]

_HOMES = {
    "config.phase_config": ("PhaseConfig", "config_from_dict", "load_preset", "preset_names"),
    "data.phase_data": ("PhaseData",),
    "errors": ("ConfigError", "DataError", "LearningError", "StateError"),
    "export.onnx_export": ("compare_onnx", "export_onnx"),
    "imprint": ("imprint_phase",),
    "methods.base": ("IncrementalMethod", "register_method"),
    "phase": ("run_phase",),
    "state": ("LearnerState", "load_state", "save_state"),
    "training.phase_run": ("PhaseRun", "Progress"),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for.

    Imported at once they would bring torch, 2.8 s and 650 MB, into every process that needs a single light module: the
    updater reads presets and compares images without ever learning itself (0.02 s and 11 MB this way).
    """
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"lucir_core.{home}"), name)
    raise AttributeError(f"module 'lucir_core' has no attribute {name!r}: its public names are {', '.join(__all__)}")
