"""The service as it is without any setting: photographs, a few images per class, answers that say "unknown"."""

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_sample_image

from tests.support.images import encoded
from tests.support.processes.stack import Stack, digit_image, running

pytestmark = pytest.mark.slow

SETTINGS = ("learning.preset=auto", "updater.settle_seconds=1", "updater.poll_seconds=1")
PHOTOGRAPHS = {"palace": "china.jpg", "flower": "flower.jpg"}
SIDE = 180


def crops(name: str, count: int, seed: int) -> list[bytes]:
    """Parts of one of scikit-learn's two photographs as JPEG files."""
    photograph = Image.fromarray(load_sample_image(PHOTOGRAPHS[name]))
    random = np.random.default_rng(seed)
    files = []
    for _ in range(count):
        left, top = (int(random.integers(0, room - SIDE)) for room in photograph.size)
        files.append(encoded(photograph.crop((left, top, left + SIDE, top + SIDE)), "JPEG"))
    return files


def folder(root: Path, name: str, files: list[bytes]) -> Path:
    (root / name).mkdir(parents=True)
    for index, data in enumerate(files):
        (root / name / f"{index}.jpg").write_bytes(data)
    return root


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that has learnt six parts of each photograph as its version 1."""
    root = tmp_path_factory.mktemp("photographs")
    with running(root / "data", settings=SETTINGS) as stack:
        for name in PHOTOGRAPHS:
            folder(root / "first", name, crops(name, 6, seed=1))
        assert stack.drop(root / "first")["version"] == 1
        yield stack


def test_a_few_images_are_learnt_and_answered(photographs: Stack) -> None:
    manifest = json.loads(photographs.store.read("versions/1/manifest.json", limit=1 << 20))
    assert (manifest["method"], manifest["preprocessing"]["size"]) == ("analytic", 224)
    assert manifest["counts"]["train"] == {"flower": 6, "palace": 6}
    assert manifest["counts"]["holdout"] == {"flower": 0, "palace": 0}
    for name in PHOTOGRAPHS:
        answers = [photographs.post(data).json() for data in crops(name, 8, seed=2)]
        right = [answer["predictions"][0]["class"] == name for answer in answers]
        assert sum(right) >= 7, answers


def test_an_image_of_no_known_class_is_unknown(photographs: Stack) -> None:
    answers = [photographs.post(digit_image(digit)).json() for digit in "0123456789"]
    assert sum(answer["unknown"] for answer in answers) >= 9, answers
    assert all(0 <= answer["unknown_score"] <= 2 for answer in answers)


def test_evaluation_leaves_each_image_out(photographs: Stack) -> None:
    evaluation = json.loads(photographs.store.read("versions/1/evaluation.json", limit=1 << 20))
    assert (evaluation["images"], evaluation["gate"]["passed"]) == (12, True)
    assert sum(map(sum, evaluation["confusion"])) == 12


def test_one_marked_image_is_a_class_and_a_deleted_one_leaves_nothing(photographs: Stack, tmp_path: Path) -> None:
    outcome = photographs.drop(folder(tmp_path / "second", "seven", [digit_image("7", 1)]))
    assert outcome["version"] == 2
    answers = [photographs.post(digit_image("7", index)).json() for index in range(2, 8)]
    assert sum(answer["predictions"][0]["class"] == "seven" for answer in answers) >= 5, answers

    key = next(info.key for info in photographs.store.list("archive/000001/flower/"))
    edited = json.loads(photographs.run("image", "delete", key, "--yes", "--wait", "--json").stdout)
    assert edited["done"]["result"] == "published"
    number = edited["done"]["version"]
    counts = json.loads(photographs.store.read(f"versions/{number}/manifest.json", limit=1 << 20))["counts"]
    assert counts["train"] == {"flower": 5, "palace": 6, "seven": 1}


def test_a_corrected_answer_is_learnt_at_once(photographs: Stack, tmp_path: Path) -> None:
    image = tmp_path / "part.jpg"
    image.write_bytes(crops("flower", 1, seed=9)[0])
    document = json.loads(photographs.run("correct", image, "--class", "flower", "--wait", "--json").stdout)
    number = document["outcome"]["version"]
    assert photographs.served() == number
    counts = json.loads(photographs.store.read(f"versions/{number}/manifest.json", limit=1 << 20))["counts"]
    assert counts["train"]["flower"] == 6

    # Another answer to the same image: it leaves the class that it was learnt as.
    document = json.loads(photographs.run("correct", image, "--class", "palace", "--wait", "--json").stdout)
    number = document["outcome"]["version"]
    after = json.loads(photographs.store.read(f"versions/{number}/manifest.json", limit=1 << 20))["counts"]
    assert after["train"] == counts["train"] | {"flower": 5, "palace": counts["train"]["palace"] + 1}


def test_a_network_of_timm_learns_and_answers_with_a_file_of_weights(tmp_path: Path) -> None:
    name = "mobilenetv3_small_050"
    weights = tmp_path / "weights.safetensors"
    torch.manual_seed(1)
    save_file(import_module("timm").create_model(name, num_classes=10).state_dict(), weights)
    chosen = f"learning.overrides={{network: 'timm:{name}', weights: '{weights}'}}"
    with running(tmp_path / "data", settings=(*SETTINGS, "serving.engine=uvicorn", chosen)) as stack:
        for each in PHOTOGRAPHS:
            folder(tmp_path / "first", each, crops(each, 6, seed=1))
        assert stack.drop(tmp_path / "first")["version"] == 1
        answers = [stack.post(data).json() for data in crops("flower", 8, seed=2)]
        # Weights that were only drawn tell colours apart, which is enough here.
        assert sum(answer["predictions"][0]["class"] == "flower" for answer in answers) >= 6, answers
        manifest = json.loads(stack.store.read("versions/1/manifest.json", limit=1 << 20))
    assert manifest["config"]["network"] == f"timm:{name}"
    assert manifest["preprocessing"]["size"] == 224
