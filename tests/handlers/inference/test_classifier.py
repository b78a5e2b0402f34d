import base64
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from handlers import classifier
from handlers.classifier import Classifier
from handlers.inference.sessions.headed_session import Inputs
from handlers.inference.version_model import UnusableVersionError, VersionModel
from handlers.inference.workers.worker import NOTHING_LEARNT_FILE
from tests.handlers.inference.conftest import Classify
from tests.handlers.torchserve.conftest import MakeImage, MakeVersion
from tests.support.images import encoded
from tests.support.servers.asked_classifier import ask, started

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # TorchServe leaves a file open when it is imported
    from ts.context import Context, RequestProcessor


def test_answer_has_the_form_of_the_contract(classify: Classify, make_image: MakeImage) -> None:
    ((status, document),) = classify({"body": make_image("青")}, version=7)
    assert status == 200
    assert list(document) == ["model_version", "predictions"]
    assert document["model_version"] == 7
    assert [list(item) for item in document["predictions"]] == [["class", "probability", "cosine"]] * 3
    assert document["predictions"][0]["class"] == "青"
    probabilities = [item["probability"] for item in document["predictions"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)


def test_values_agree_with_arithmetic(classify: Classify) -> None:
    """A flat colour: cosines and softmax can be written down without the model."""
    colour = np.array([200.0, 100.0, 40.0])
    ((_, document),) = classify({"data": encoded(Image.new("RGB", (20, 20), (200, 100, 40)), "PNG")})
    cosines = colour / np.linalg.norm(colour)
    probabilities = np.exp(10 * cosines) / np.exp(10 * cosines).sum()
    assert [item["class"] for item in document["predictions"]] == ["rot", "grün", "青"]
    np.testing.assert_allclose([item["cosine"] for item in document["predictions"]], cosines, atol=1e-5)
    np.testing.assert_allclose([item["probability"] for item in document["predictions"]], probabilities, atol=1e-5)


def test_readout_comes_from_the_manifest(classify: Classify, make_image: MakeImage) -> None:
    """The prototypes of the fixture are turned by one class."""
    ((_, document),) = classify({"body": make_image("rot")}, readout="nme")
    assert document["predictions"][0]["class"] == "grün"
    cosines = [item["cosine"] for item in document["predictions"]]
    assert cosines == sorted(cosines, reverse=True)


def test_class_names_survive_as_utf8(tmp_path: Path, make_version: MakeVersion, make_image: MakeImage) -> None:
    context = Context("lucir", "", None, 1, None, "0.12.0")
    context.request_processor = [RequestProcessor({})]
    (answer,) = started(make_version(tmp_path)).handle([{"body": make_image()}], context)
    assert "grün".encode() in answer
    assert "青".encode() in answer


def test_bad_image_harms_no_neighbour(classify: Classify, make_image: MakeImage) -> None:
    good = make_image("grün")
    alone = classify({"body": good})
    bad = [{"body": b"no image"}, {"body": good[:200]}, {"other": b"x"}]
    answers = classify(bad[0], {"body": good}, *bad[1:], {"data": bytearray(good)})
    assert [status for status, _ in answers] == [400, 200, 400, 400, 200]
    assert answers[1] == answers[4] == alone[0]
    for index in (0, 2, 3):
        assert list(answers[index][1]) == ["error"]
    assert [status for status, _ in classify({"body": b""}, {"body": b"x"})] == [400, 400]


@pytest.mark.parametrize(
    ("fields", "headers", "count"),
    [
        ({}, {}, 3),
        ({"top_k": bytearray(b"2")}, {}, 2),
        ({"top_k": "1"}, {"X-Top-K": "2"}, 1),
        ({}, {"X-Top-K": "2"}, 2),
        ({}, {"top-k": "1"}, 1),
        ({}, {"top_k": "1", "data": {"content-type": "image/png"}}, 1),
        ({"top_k": b"99"}, {}, 3),
    ],
)
def test_top_k(
    fields: dict[str, Any], headers: dict[str, Any], count: int, classify: Classify, make_image: MakeImage
) -> None:
    ((status, document),) = classify({"data": make_image(), **fields}, headers=headers)
    assert (status, len(document["predictions"])) == (200, count)


@pytest.mark.parametrize("value", [b"0", b"-1", b"many", "1.5", b"\xff", "٣"])
def test_top_k_without_meaning(value: object, classify: Classify, make_image: MakeImage) -> None:
    ((status, document),) = classify({"data": make_image(), "top_k": value})
    assert (status, "top_k" in document["error"]) == (400, True)


def test_top_k_of_each_request_is_its_own(classify: Classify, make_image: MakeImage) -> None:
    answers = classify(*({"data": make_image(), "top_k": count} for count in ("1", "2")))
    assert [len(document["predictions"]) for _, document in answers] == [1, 2]


@pytest.mark.parametrize("body", [b'{"a": 1}', b"{broken", b'{"inputs": []}', b'{"inputs": [{"data": ["?"]}]}'])
def test_json_body_is_no_image(body: bytes, classify: Classify) -> None:
    ((status, document),) = classify({"body": body})
    assert (status, "image" in document["error"]) == (400, True)


def test_open_inference_protocol(classify: Classify, make_image: MakeImage) -> None:
    image = base64.b64encode(make_image("青")).decode()
    inputs = [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [image]}]
    request = json.dumps({"id": "42", "parameters": {"top_k": 2}, "inputs": inputs}).encode()
    plain, wrapped = classify({"body": make_image("青"), "top_k": "2"}, {"body": request}, version=3)
    assert wrapped[0] == 200
    assert (wrapped[1]["id"], wrapped[1]["model_name"], wrapped[1]["model_version"]) == ("42", "lucir", "3")
    outputs = {output["name"]: output for output in wrapped[1]["outputs"]}
    assert outputs["class"]["datatype"] == "BYTES"
    for name in ("class", "probability", "cosine"):
        assert outputs[name]["shape"] == [1, 2]
        assert outputs[name]["data"] == [item[name] for item in plain[1]["predictions"]]


def test_nothing_learnt(tmp_path: Path, make_image: MakeImage) -> None:
    (tmp_path / NOTHING_LEARNT_FILE).write_text(json.dumps({"error": "nothing learnt yet: drop into /größe"}))
    answers = ask(started(tmp_path), {"body": make_image()}, {"body": b"x"})
    assert answers == [(503, {"error": "nothing learnt yet: drop into /größe"})] * 2


def test_damaged_model_is_refused(tmp_path: Path, make_version: MakeVersion) -> None:
    model = make_version(tmp_path) / "model.onnx"
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    model.write_bytes(data)
    with pytest.raises(UnusableVersionError, match="sha256"):
        started(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ["a", "b"]},
        {"readout": "best"},
        {"files": {}},
        {"preprocessing": {"size": 12, "resize": 12, "interpolation": "bilinear"}},
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], tmp_path: Path, make_version: MakeVersion) -> None:
    with pytest.raises(UnusableVersionError):
        started(make_version(tmp_path, **changes))


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json"])
def test_incomplete_version_is_refused(name: str, tmp_path: Path, make_version: MakeVersion) -> None:
    (make_version(tmp_path) / name).unlink()
    with pytest.raises(UnusableVersionError, match=name.replace(".", r"\.")):
        started(tmp_path)


def test_gpu_that_is_not_there_means_cpu(
    tmp_path: Path, make_version: MakeVersion, make_image: MakeImage, caplog: pytest.LogCaptureFixture
) -> None:
    model = VersionModel.load(make_version(tmp_path), gpu=63)
    assert not model.session.on_gpu
    assert len([record for record in caplog.records if "CPU" in record.message]) == 1


def test_batch_equals_single(tmp_path: Path, make_version: MakeVersion) -> None:
    model = VersionModel.load(make_version(tmp_path))
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    together = model.classify(Inputs(images), [3] * 5)
    for image, answer in zip(images, together, strict=True):
        (single,) = model.classify(Inputs(image[None]), [3])
        assert [p.name for p in single.predictions] == [p.name for p in answer.predictions]
        alone, among = ([p.cosine for p in one.predictions] for one in (single, answer))
        np.testing.assert_allclose(alone, among, atol=1e-5)
        assert (single.unknown, single.unknown_score) == (None, None)


def test_torchserve_finds_exactly_one_class() -> None:
    """TorchServe takes the only class of the module, and no function called handle may stand beside it."""
    own = [v for v in vars(classifier).values() if isinstance(v, type) and v.__module__ == classifier.__name__]
    assert own == [Classifier]
    assert not hasattr(classifier, "handle")


def test_worker_imports_little() -> None:
    script = "import sys, handlers.classifier; print(*sorted(name for name in sys.modules if '.' not in name))"
    modules = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "torchvision", "pydantic", "httpx", "minio", "lucir_core", "model_store"} & set(modules)
