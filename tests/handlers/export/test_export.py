"""A version of an earlier release is exported; its examples answer what the service answers."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from handlers.export.export_version import export_version
from handlers.inference.preprocess import Limits
from handlers.inference.sessions.headed_session import Inputs
from handlers.inference.version_model import Answer, VersionModel
from model_store.directory.directory_store import DirectoryStore
from model_store.objects import StoreError
from model_store.versions import VersionStore
from tests.support.stores.old_store import OLD
from tests.support.waiting import PATIENCE

VERSION = 4
MAX_PIXELS = 200_000_000
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lucir"
DRIVER = """
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
const [modules, folder, pixels, width, height] = process.argv.slice(2);
const ort = await import(pathToFileURL(`${modules}/node_modules/onnxruntime-web/dist/ort.wasm.min.mjs`));
const { load, classify } = await import(pathToFileURL(`${folder}/classify.mjs`));
ort.env.wasm.numThreads = 1;
const facts = JSON.parse(await readFile(`${folder}/model.json`, "utf8"));
const model = await load(ort, new Uint8Array(await readFile(`${folder}/model.onnx`)), facts);
const data = new Uint8ClampedArray(await readFile(pixels));
console.log(JSON.stringify(await classify(ort, model, { data, width: Number(width), height: Number(height) })));
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "model"
    export_version(VersionStore(DirectoryStore(OLD)), VERSION, folder, MAX_PIXELS)
    return folder


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A digit, larger and not square, and partly transparent: every step of preprocessing counts."""
    digit = Image.open(next((OLD / "archive").rglob("two/*.png"))).convert("RGB").resize((61, 43))
    digit.putalpha(Image.fromarray(np.linspace(120, 255, 61 * 43).reshape(43, 61).astype(np.uint8)))
    digit.save(tmp_path / "two.png")
    return tmp_path / "two.png"


def of_service(image: Path) -> Answer:
    model = VersionModel.load(OLD / "versions" / str(VERSION))
    return model.classify(Inputs(model.prepare(image.read_bytes(), Limits())[None]), [5])[0]


def check_same(found: dict[str, Any], image: Path, tolerance: float) -> None:
    answer = of_service(image)
    given = {each["class"]: each["probability"] for each in found["predictions"]}
    assert next(iter(given)) == answer.predictions[0].name
    assert given == {each.name: pytest.approx(each.probability, abs=tolerance) for each in answer.predictions}


def test_the_python_example_answers_as_the_service_does(exported: Path, image: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-E", exported / "classify.py", image]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE, cwd=tmp_path)
    check_same(json.loads(told.stdout), image, 1e-3)


def test_the_javascript_example_answers_as_the_service_does(exported: Path, image: Path, tmp_path: Path) -> None:
    modules = max(CACHE.glob("onnxruntime-web-*/done"), default=None)
    if shutil.which("node") is None or modules is None:
        pytest.skip("needs Node and onnxruntime-web: sh tools/install_onnxruntime_web.sh")
    rgba = Image.open(image).convert("RGBA")
    (tmp_path / "pixels").write_bytes(rgba.tobytes())
    (tmp_path / "driver.mjs").write_text(DRIVER, encoding="utf-8")
    words = [modules.parent, exported, tmp_path / "pixels", *rgba.size]
    told = subprocess.run(
        ["node", tmp_path / "driver.mjs", *map(str, words)], capture_output=True, text=True, timeout=PATIENCE
    )
    assert told.returncode == 0, told.stderr[-1000:]
    check_same(json.loads(told.stdout), image, 0.03)  # Pillow rounds between its passes, in fixed point


def test_the_metadata_says_what_the_manifest_says(exported: Path) -> None:
    manifest = VersionStore(DirectoryStore(OLD)).manifest(VERSION)
    model = onnx.load(exported / "model.onnx")
    onnx.checker.check_model(model)
    facts = {each.key: each.value for each in model.metadata_props}
    assert json.loads(facts["lucir.classes"]) == list(manifest.classes)
    assert json.loads(facts["lucir.preprocessing"])["size"] == manifest.preprocessing.size
    assert facts["lucir.readout"] == manifest.readout
    assert (exported / "labels.txt").read_text(encoding="utf-8").splitlines() == list(manifest.classes)
    assert json.loads((exported / "labels.json").read_text(encoding="utf-8")) == list(manifest.classes)


def test_the_card_tells_classes_accuracy_and_lineage(exported: Path) -> None:
    versions = VersionStore(DirectoryStore(OLD))
    manifest, evaluation = versions.manifest(VERSION), versions.evaluation(VERSION)
    card = (exported / "MODEL_CARD.md").read_text(encoding="utf-8")
    for name in manifest.classes:
        assert f"| {name} | {manifest.counts.train[name]} |" in card
    assert f"of {evaluation.images} images" in card
    assert "95 % interval" in card
    assert "no starting weights" in card
    assert "| 1 | " in card
    assert f"| {VERSION} | " in card
    assert manifest.method in card


def test_other_servers_find_their_layouts(exported: Path) -> None:
    data = (exported / "model.onnx").read_bytes()
    for path in ("triton/lucir/1/model.onnx", "openvino/lucir/1/model.onnx"):
        assert (exported / path).read_bytes() == data
    config = (exported / "triton/lucir/config.pbtxt").read_text(encoding="utf-8")
    size = VersionStore(DirectoryStore(OLD)).manifest(VERSION).preprocessing.size
    assert f"dims: [ {size}, {size}, 3 ]" in config
    assert config.count("TYPE_FP32") == 3
    named = json.loads((exported / "openvino/config.json").read_text(encoding="utf-8"))["model_config_list"][0][
        "config"
    ]
    assert named == {"name": "lucir", "base_path": "/models/lucir"}


def test_nothing_is_written_over_and_nothing_is_left_of_a_failure(exported: Path, tmp_path: Path) -> None:
    versions = VersionStore(DirectoryStore(OLD))
    with pytest.raises(StoreError, match="is there already: name a new folder"):
        export_version(versions, VERSION, exported, MAX_PIXELS)
    with pytest.raises(StoreError, match="99"):
        export_version(versions, 99, tmp_path / "none", MAX_PIXELS)
    with pytest.raises(StoreError):
        export_version(versions, 3, tmp_path / "broken", MAX_PIXELS)  # its network was removed from the sample
    assert list(tmp_path.iterdir()) == []
