"""Versions for servers to be measured with: networks as presets make them, little trained."""

import copy
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from handlers.inference.preprocess import crop
from handlers.torchserve.canary import Canary
from handlers.updater.release.canary import made_canary
from lucir_core.config.phase_config import load_preset
from lucir_core.export.onnx_export import export_onnx, open_session
from lucir_core.export.quantise import can_quantise, quantise
from lucir_core.memory.image_blobs import encode_image
from lucir_core.models.folding import folded
from lucir_core.models.model import IncrementalModel
from lucir_core.phase import run_phase
from lucir_core.state import LearnerState
from lucir_core.testing import synthetic_images, synthetic_phase
from model_store.directory.directory_store import DirectoryStore
from model_store.layout import CANARY, HEAD, MODEL, QUANTISED
from model_store.manifest import Manifest, Preprocessing
from model_store.versions import VersionStore
from tools.manifests import make_manifest

CLASSES = 10
TORCHSCRIPT = "network.pt"
"""The same network for servers of PyTorch: pixels from 0 to 255 (batch, 3, size, size) to logits."""
CANARY_IMAGES = 8
NUDGE = 1e-4
STEPS = 40
"""Of training: an untrained network is so unsure that any copy of it changes some best class."""


def make_version(folder: Path, preset: str, versions: int = 1) -> Path:
    """Publish a network as versions 1, 2 ... into ``store``, point to the first; gives the first's folder.

    Where the backbone is not frozen, each has a slightly different one, as phases have.
    """
    config = load_preset(preset, {"epochs": 1, "min_steps": STEPS, "milestones": [], "cbf": {"enabled": False}})
    state = run_phase(
        config, synthetic_phase(dict.fromkeys(range(CLASSES), 4), CLASSES, side=config.resize), None, seed=1
    )
    _write_torchscript(state.model, config.size, folder / TORCHSCRIPT)
    store = VersionStore(DirectoryStore(folder / "store"))
    files = _write_files(state, folder)
    for number in range(1, versions + 1):
        if number > 1 and not config.frozen:
            with torch.no_grad():
                next(state.model.backbone.parameters()).mul_(1 + NUDGE)
            files = _write_files(state, folder)
        preprocessing = Preprocessing(size=config.size, resize=config.resize)
        store.publish(make_manifest(number, classes=state.classes, preprocessing=preprocessing), files)
    store.point_to(1, "benchmark")
    return folder / "store" / "versions" / "1"


def _write_files(state: LearnerState, folder: Path) -> dict[str, Path]:
    """What an updater publishes for servers."""
    config = state.config
    export_onnx(state, folder / MODEL, folder / HEAD)
    images = np.concatenate([synthetic_images(label, 4, seed=2, side=config.resize) for label in range(CLASSES)])
    files = {name: folder / name for name in (MODEL, HEAD, CANARY)}
    asked = images[:: len(images) // CANARY_IMAGES][:CANARY_IMAGES]
    crops, pngs = np.stack([crop(image, config.size) for image in asked]), [encode_image(image) for image in asked]
    canary = made_canary(open_session(files[MODEL]), crops, pngs, state.classes, asked.shape[1])
    files[CANARY].write_text(canary.model_dump_json(), encoding="utf-8")
    if can_quantise(files[MODEL]):
        files[QUANTISED] = folder / QUANTISED
        quantise(files[MODEL], files[QUANTISED], np.stack([crop(image, config.size) for image in images]))
    return files


def publish_damaged(versions: VersionStore, number: int, good: int, scratch: Path) -> Manifest:
    """Publish a version that must never answer: by its number a file that is not a network, outputs that are not those
    of its classes, or answers that differ from what was evaluated.
    """
    manifest = versions.fetch(good, scratch, [MODEL, CANARY])
    files = {MODEL: scratch / MODEL, CANARY: scratch / CANARY}
    classes = manifest.classes
    match number % 3:
        case 0:
            files[MODEL].write_bytes(b"not a network")
        case 1:
            classes = (*classes, "one more")
        case _:
            canary = Canary.model_validate_json(files[CANARY].read_bytes())
            wrong = tuple(each.model_copy(update={"probability": 0.0}) for each in canary.pictures)
            files[CANARY].write_text(canary.model_copy(update={"pictures": wrong}).model_dump_json(), encoding="utf-8")
    made = make_manifest(number, classes=classes, preprocessing=manifest.preprocessing)
    return versions.publish(made, files)


class _Logits(nn.Module):
    def __init__(self, model: IncrementalModel) -> None:
        super().__init__()
        self._model = model

    def forward(self, images: Tensor) -> Tensor:
        # One image alone takes half as long with the channels last, eight together as long.
        found: Tensor = self._model(images.contiguous(memory_format=torch.channels_last)).logits
        return found


def _write_torchscript(model: IncrementalModel, size: int, path: Path) -> None:
    network = copy.deepcopy(model).eval()
    network.backbone = folded(network.backbone)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PyTorch wants something else now, TorchServe still this
        traced = torch.jit.trace(
            _Logits(network).eval().to(memory_format=torch.channels_last),
            torch.zeros(2, 3, size, size, dtype=torch.uint8),
        )
        traced.save(str(path))
