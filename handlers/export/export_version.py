"""Writing a version as a folder: the model with all that is to be known in its metadata, examples, a card, layouts."""

import inspect
import json
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Final

import onnx

from handlers.export.layouts import write_labels, write_openvino, write_triton
from handlers.export.model_card import render_card
from handlers.inference import colours
from model_store.layout import MODEL
from model_store.manifest import Manifest
from model_store.objects import StoreError
from model_store.versions import VersionNotFoundError, VersionStore

LONGEST_LINE: Final = 1000
"""Versions of a lineage that are told; older ones were pruned long ago."""
_EXAMPLES: Final = {"classify_image.py": "classify.py", "classify.mjs": "classify.mjs"}
_COLOURS: Final = "colours"
"""The module that the service itself makes RGB of any pixels with: ``classify.py`` imports it from beside itself."""
_README: Final = """# Version {version}, exported from lucir

| file | what |
|---|---|
| `model.onnx` | the model; class names and preprocessing stand in its metadata |
| `model.json`, `labels.txt`, `labels.json` | the same for who does not read that |
| `classify.py` | `python classify.py image.jpg` (needs onnxruntime, numpy, pillow) |
| `colours.py` | any pixels as upright RGB over white, for `classify.py` |
| `classify.mjs` | the same for a browser or Node (needs onnxruntime-web) |
| `MODEL_CARD.md` | classes, accuracy, method, where it comes from |
| `triton/` | `tritonserver --model-repository=triton` |
| `openvino/` | OpenVINO Model Server: mount it at `/models`, start with `--config_path /models/config.json` |
"""


def export_version(versions: VersionStore, number: int, target: Path, max_pixels: int) -> Manifest:
    """Write the version into ``target``, a new or empty folder; whole or not at all.

    max_pixels: of the largest image that the service takes; the example takes it too.

    Raises ``StoreError`` for a version that is not there or damaged, and for a folder that holds anything.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StoreError(f"{target} is there already: name a new folder")
    manifest = versions.manifest(number)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".lucir-export-", dir=target.parent) as scratch:
            folder = Path(scratch) / "version"
            folder.mkdir()
            versions.fetch(number, folder, [MODEL])
            _fill(folder, manifest, max_pixels)
            card = render_card(manifest, versions.evaluation(number), _lineage(versions, manifest))
            (folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")
            if target.exists():
                target.rmdir()
            folder.replace(target)
    except OSError as error:
        raise StoreError(f"{target} cannot be written ({error.strerror}): name another folder") from error
    return manifest


def facts(manifest: Manifest, max_pixels: int) -> dict[str, object]:
    """What is to be known beside the model's weights, as ``model.json`` has it."""
    return {
        "version": manifest.version,
        "classes": list(manifest.classes),
        "preprocessing": manifest.preprocessing.model_dump(),
        "readout": manifest.readout,
        "known_cosine": None if manifest.calibration is None else manifest.calibration.known_cosine,
        "max_pixels": max_pixels,
    }


def _describe(model: onnx.ModelProto, told: dict[str, object]) -> None:
    """Put the facts into the model's metadata, under ``lucir.<name>``, each as JSON but for plain words."""
    words = {
        f"lucir.{name}": value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in told.items()
    }
    onnx.helper.set_model_props(model, words)


def _fill(folder: Path, manifest: Manifest, max_pixels: int) -> None:
    told = facts(manifest, max_pixels)
    model = onnx.load(folder / MODEL)
    _describe(model, told)
    onnx.save(model, folder / MODEL)
    text = json.dumps(told, ensure_ascii=False, indent=2) + "\n"
    (folder / "model.json").write_text(text, encoding="utf-8")
    write_labels(folder / "labels.txt", manifest.classes)
    labels = json.dumps(list(manifest.classes), ensure_ascii=False)
    (folder / "labels.json").write_text(labels + "\n", encoding="utf-8")
    examples = files("handlers.export.examples")
    for name, target in _EXAMPLES.items():
        text = examples.joinpath(name).read_text(encoding="utf-8")
        (folder / target).write_text(text.replace(colours.__name__, _COLOURS), encoding="utf-8")
    (folder / f"{_COLOURS}.py").write_text(inspect.getsource(colours), encoding="utf-8")
    (folder / "README.md").write_text(_README.format(version=manifest.version), encoding="utf-8")
    write_triton(folder / "triton", folder / MODEL, manifest)
    write_openvino(folder / "openvino", folder / MODEL)


def _lineage(versions: VersionStore, manifest: Manifest) -> list[Manifest]:
    """The versions that led to this one, as far as they are still there; the oldest first."""
    line = [manifest]
    while line[0].parent is not None and len(line) < LONGEST_LINE:
        try:
            line.insert(0, versions.manifest(line[0].parent))
        except VersionNotFoundError:
            break
    return line
