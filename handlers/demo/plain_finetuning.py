"""What plain finetuning makes of the same drops: ``python -m handlers.demo.plain_finetuning SPEC RESULT``.

The same network, preset, epochs, seed and drops, but nothing is done against forgetting: no exemplars, no less-forget
loss. Runs in a process of its own, after the service has stopped, and answers through the exported ONNX model as the
service does. It trains on every dropped image, also those that the service holds back: that favours finetuning.
"""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from handlers.demo.digits import PHASES, split_digits
from handlers.inference.preprocess import Limits, crop, decode_square
from lucir_core.config.phase_config import PhaseConfig, load_preset
from lucir_core.export.onnx_export import export_onnx
from lucir_core.phase import PhaseData, run_phase
from lucir_core.runtime.devices import choose_device, choose_threads
from lucir_core.state import LearnerState


def run(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per phase, how many test images of each class are answered rightly. ``spec``: seed, preset, overrides, device."""
    config = load_preset(spec["preset"], {**spec["overrides"], "method": "finetune"})
    torch.set_num_threads(choose_threads(None, config))
    digits = split_digits(spec["seed"])
    state: LearnerState | None = None
    classes: tuple[str, ...] = ()
    results = []
    for number, new in enumerate(PHASES):
        classes = (*classes, *new)
        images = np.concatenate([_arrays(digits.train[name], config) for name in new])
        labels = np.concatenate([np.full(len(digits.train[name]), classes.index(name)) for name in new])

        def report(progress: Any, number: int = number) -> None:
            sys.stdout.write(f"{(number + progress.ratio) / len(PHASES):.4f}\n")
            sys.stdout.flush()

        data = PhaseData(images, labels.astype(np.int64), classes)
        state = run_phase(config, data, state, device=choose_device(spec["device"]), seed=spec["seed"], report=report)
        results.append(_evaluate(state, config, {name: digits.test[name] for name in classes}))
    return results


def _arrays(files: Sequence[bytes], config: PhaseConfig) -> NDArray[np.uint8]:
    """(n, resize, resize, 3), as the updater reads a drop."""
    return np.stack([decode_square(file, Limits(), config.resize) for file in files])


def _evaluate(state: LearnerState, config: PhaseConfig, test: Mapping[str, Sequence[bytes]]) -> dict[str, Any]:
    names = list(test)
    right = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_onnx(state, path)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for name, files in test.items():
            images = np.stack([crop(image, config.size) for image in _arrays(files, config)])
            answers = session.run(["probabilities"], {"images": images})[0].argmax(axis=1)
            right[name] = int((answers == names.index(name)).sum())
    return {"right": right, "counts": {name: len(files) for name, files in test.items()}}


def main(arguments: Sequence[str]) -> None:
    """Read the specification, write the result."""
    spec, result = (Path(argument) for argument in arguments)
    document = run(json.loads(spec.read_text(encoding="utf-8")))
    result.write_text(json.dumps(document), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
