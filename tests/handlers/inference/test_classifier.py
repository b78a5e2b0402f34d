import base64
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from handlers import classifier
from handlers.classifier import Classifier
from handlers.inference.api_keys import DIGESTS_VARIABLE, ApiKeys
from handlers.inference.repeated_fields import keep_repeated_fields
from handlers.inference.version_model import UnusableVersionError, VersionModel
from handlers.inference.worker import NOTHING_LEARNT_FILE

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # TorchServe leaves a file open when it is imported
    from ts.context import Context, RequestProcessor
    from ts.service import Service

MakeVersion = Callable[..., Path]
MakeImage = Callable[..., bytes]


@pytest.fixture(autouse=True)
def _root_level() -> Iterator[None]:
    """A worker quietens its process's root logger."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


def started(folder: Path) -> Classifier:
    instance = Classifier()
    instance.initialize(Context("lucir", str(folder), None, 8, None, "0.12.0"))
    return instance


def ask(
    instance: Classifier, *fields: dict[str, Any], headers: dict[str, Any] | None = None
) -> list[tuple[int, dict[str, Any]]]:
    """Status and document of each answer, through TorchServe's own context."""
    context = Context("lucir", "", None, 8, None, "0.12.0")
    context.request_processor = [RequestProcessor(headers or {}) for _ in fields]
    answers = instance.handle(list(fields), context)
    for index in range(len(fields)):
        assert context.get_response_content_type(index) == "application/json"
    return [(context.get_response_status(i)[0], json.loads(answer)) for i, answer in enumerate(answers)]


def test_answer_has_the_form_of_the_contract(tmp_path: Path, make_version: MakeVersion, make_image: MakeImage) -> None:
    instance = started(make_version(tmp_path, version=7))
    ((status, document),) = ask(instance, {"body": make_image("青")})
    assert status == 200
    assert list(document) == ["model_version", "predictions"]
    assert document["model_version"] == 7
    assert [list(item) for item in document["predictions"]] == [["class", "probability", "cosine"]] * 3
    assert document["predictions"][0]["class"] == "青"
    probabilities = [item["probability"] for item in document["predictions"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)


def test_values_agree_with_arithmetic(tmp_path: Path, make_version: MakeVersion) -> None:
    """A flat colour: cosines and softmax can be written down without the model."""
    colour = np.array([200.0, 100.0, 40.0])
    path = tmp_path / "flat.png"
    Image.new("RGB", (20, 20), (200, 100, 40)).save(path)
    instance = started(make_version(tmp_path / "version"))
    ((_, document),) = ask(instance, {"data": path.read_bytes()})
    cosines = colour / np.linalg.norm(colour)
    probabilities = np.exp(10 * cosines) / np.exp(10 * cosines).sum()
    assert [item["class"] for item in document["predictions"]] == ["rot", "grün", "青"]
    np.testing.assert_allclose([item["cosine"] for item in document["predictions"]], cosines, atol=1e-5)
    np.testing.assert_allclose([item["probability"] for item in document["predictions"]], probabilities, atol=1e-5)


def test_readout_comes_from_the_manifest(tmp_path: Path, make_version: MakeVersion, make_image: MakeImage) -> None:
    """The prototypes of the fixture are turned by one class."""
    instance = started(make_version(tmp_path, readout="nme"))
    ((_, document),) = ask(instance, {"body": make_image("rot")})
    assert document["predictions"][0]["class"] == "grün"
    cosines = [item["cosine"] for item in document["predictions"]]
    assert cosines == sorted(cosines, reverse=True)


def test_class_names_survive_as_utf8(tmp_path: Path, make_version: MakeVersion, make_image: MakeImage) -> None:
    context = Context("lucir", "", None, 1, None, "0.12.0")
    context.request_processor = [RequestProcessor({})]
    (answer,) = started(make_version(tmp_path)).handle([{"body": make_image()}], context)
    assert "grün".encode() in answer
    assert "青".encode() in answer


def test_bad_image_harms_no_neighbour(tmp_path: Path, make_version: MakeVersion, make_image: MakeImage) -> None:
    instance = started(make_version(tmp_path))
    good = make_image("grün")
    alone = ask(instance, {"body": good})
    answers = ask(
        instance,
        {"body": b"no image"},
        {"body": good},
        {"body": good[:200]},
        {"other": b"x"},
        {"data": bytearray(good)},
    )
    assert [status for status, _ in answers] == [400, 200, 400, 400, 200]
    assert answers[1] == answers[4] == alone[0]
    for index in (0, 2, 3):
        assert list(answers[index][1]) == ["error"]


def test_whole_batch_of_bad_images(tmp_path: Path, make_version: MakeVersion) -> None:
    answers = ask(started(make_version(tmp_path)), {"body": b""}, {"body": b"x"})
    assert [status for status, _ in answers] == [400, 400]


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
    fields: dict[str, Any],
    headers: dict[str, Any],
    count: int,
    tmp_path: Path,
    make_version: MakeVersion,
    make_image: MakeImage,
) -> None:
    ((status, document),) = ask(started(make_version(tmp_path)), {"data": make_image(), **fields}, headers=headers)
    assert status == 200
    assert len(document["predictions"]) == count


@pytest.mark.parametrize("value", [b"0", b"-1", b"many", "1.5", b"\xff", "٣"])
def test_top_k_without_meaning(value: object, tmp_path: Path, make_version: MakeVersion, make_image: MakeImage) -> None:
    ((status, document),) = ask(started(make_version(tmp_path)), {"data": make_image(), "top_k": value})
    assert status == 400
    assert "top_k" in document["error"]


def test_top_k_of_each_request_is_its_own(tmp_path: Path, make_version: MakeVersion, make_image: MakeImage) -> None:
    image = make_image()
    answers = ask(started(make_version(tmp_path)), {"data": image, "top_k": "1"}, {"data": image, "top_k": "2"})
    assert [len(document["predictions"]) for _, document in answers] == [1, 2]


def test_form_encoded_body_says_what_to_do(tmp_path: Path, make_version: MakeVersion) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    ((status, document),) = ask(started(make_version(tmp_path)), {"hello": b"1"}, headers=headers)
    assert status == 400
    assert "curl -T" in document["error"]


def test_images_as_base64_in_json(tmp_path: Path, make_version: MakeVersion, make_image: MakeImage) -> None:
    instance = started(make_version(tmp_path))
    names = ("grün", "青")
    texts = [base64.b64encode(make_image(name)).decode() for name in names]
    (one, several, single, mixed, protocol) = ask(
        instance,
        {"body": json.dumps({"image": texts[0], "top_k": 1}).encode()},
        {"body": json.dumps({"images": texts}).encode()},
        {"body": json.dumps({"images": texts[:1]}).encode()},
        {"body": json.dumps({"images": [texts[1], "R0lG"]}).encode()},
        {"body": json.dumps({"inputs": [{"datatype": "BYTES", "shape": [2], "data": texts}]}).encode()},
    )
    assert [each["class"] for each in one[1]["predictions"]] == ["grün"]
    assert [each["predictions"][0]["class"] for each in several[1]] == ["grün", "青"]
    assert len(single[1]) == 1
    assert mixed[0] == 200
    assert [list(each) for each in mixed[1]] == [["model_version", "predictions"], ["error"]]
    classes, probabilities, _ = protocol[1]["outputs"]
    assert classes["shape"] == probabilities["shape"] == [2, 3]
    assert (classes["data"][0], classes["data"][3]) == ("grün", "青")


def test_a_bad_image_in_a_batch_of_the_protocol_is_named(
    tmp_path: Path, make_version: MakeVersion, make_image: MakeImage
) -> None:
    data = [base64.b64encode(make_image()).decode(), "R0lG"]
    body = json.dumps({"inputs": [{"datatype": "BYTES", "shape": [2], "data": data}]}).encode()
    ((status, document),) = ask(started(make_version(tmp_path)), {"body": body})
    assert status == 400
    assert document["error"].startswith("image 2 of 2: ")


def test_too_many_images_in_json(tmp_path: Path, make_version: MakeVersion) -> None:
    ((status, document),) = ask(
        started(make_version(tmp_path)), {"body": json.dumps({"images": ["R0lG"] * 33}).encode()}
    )
    assert (status, "33 images" in document["error"]) == (400, True)


def test_a_request_without_a_key_is_not_looked_at(
    tmp_path: Path, make_version: MakeVersion, make_image: MakeImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIGESTS_VARIABLE, ApiKeys.of(["key"]).write())
    instance = started(make_version(tmp_path))
    context = Context("lucir", "", None, 2, None, "0.12.0")
    context.request_processor = [RequestProcessor({}), RequestProcessor({"X-Api-Key": "key"})]
    bodies = instance.handle([{"body": make_image()}, {"body": make_image("grün")}], context)
    assert context.get_response_status(0)[0] == 401
    assert "API keys" in json.loads(bodies[0])["error"]
    assert json.loads(bodies[1])["predictions"][0]["class"] == "grün"


HOSTILE = {
    "nested JSON": {"body": b'{"a":' + b"[" * 200_000},
    "nested and closed": {"body": b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"},
    "nested objects": {"body": b'{"a":' * 100_000},
    "long number": {"body": b'{"a":' + b"9" * 10_000 + b"}"},
    "not a number": {"body": b'{"inputs": NaN, "parameters": {"top_k": Infinity}}'},
    "JSON that is no text": {"body": b'{"\xff\xfe": 1}'},
    "UTF-16": {"body": '{"inputs": []}'.encode("utf-16")},
    "many digits of top_k": {"data": b"GIF89a", "top_k": b"9" * 10_000},
    "top_k as a list": {"body": b'{"inputs":[{"datatype":"BYTES","data":["R0lG"]}],"parameters":{"top_k":[[1]]}}'},
    "base64 that is no text": {"body": '{"inputs":[{"datatype":"BYTES","data":["ü"]}]}'.encode()},
    "base64 that is no string": {"body": b'{"inputs":[{"datatype":"BYTES","data":[7]}]}'},
    "text in place of an image": {"data": "text"},
    "nothing": {},
    "None": {"data": None},
    "an empty list": {"data": []},
    "no images": {"body": b'{"images": []}'},
    "images that are not base64": {"body": b'{"images": [{}]}'},
    "an image that is a number": {"body": b'{"image": 7}'},
}


def test_whatever_a_request_holds_it_ends_alone(
    tmp_path: Path, make_version: MakeVersion, make_image: MakeImage
) -> None:
    instance = started(make_version(tmp_path))
    good = {"body": make_image("grün")}
    expected = ask(instance, good)[0]
    answers = ask(instance, good, *HOSTILE.values(), good)
    assert answers[0] == answers[-1] == expected
    assert expected[0] == 200
    for name, (status, document) in zip(HOSTILE, answers[1:-1], strict=True):
        assert (status, list(document)) == (400, ["error"]), name


def test_half_a_surrogate_pair_comes_back(tmp_path: Path, make_version: MakeVersion, make_image: MakeImage) -> None:
    """JSON can name what UTF-8 cannot."""
    image = base64.b64encode(make_image()).decode()
    body = f'{{"id": "\\ud800", "inputs": [{{"datatype": "BYTES", "data": ["{image}"]}}]}}'.encode()
    (wrapped, plain) = ask(started(make_version(tmp_path)), {"body": body}, {"body": make_image()})
    assert (wrapped[0], wrapped[1]["id"]) == (200, "\ud800")
    assert plain[0] == 200


def test_an_error_that_nobody_thought_of_ends_one_request(
    tmp_path: Path, make_version: MakeVersion, make_image: MakeImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = started(make_version(tmp_path))
    prepare = VersionModel.prepare

    def memory_is_short(self: VersionModel, data: bytes, limits: Any) -> Any:
        if data == b"huge":
            raise MemoryError
        return prepare(self, data, limits)

    monkeypatch.setattr(VersionModel, "prepare", memory_is_short)
    (bad, good) = ask(instance, {"body": b"huge"}, {"body": make_image()})
    assert (bad[0], good[0]) == (400, 200)
    assert "MemoryError" in bad[1]["error"]


def test_several_images_in_one_form_are_all_answered(
    tmp_path: Path, make_version: MakeVersion, make_image: MakeImage
) -> None:
    instance = started(make_version(tmp_path))
    first, second = make_image("rot"), make_image("grün")
    alone = [ask(instance, {"body": image, "top_k": "2"})[0][1] for image in (first, second)]
    forms = [
        {"data": [first, second], "top_k": "2"},
        {"data": first, "image2": second, "top_k": "2"},
        {"photo": bytearray(first), "data": second, "top_k": "2"},
    ]
    for answer in ask(instance, *forms):
        assert answer == (200, alone)
    assert ask(instance, {"data": [first, b"no image"]}) == [
        (200, [ask(instance, {"data": first})[0][1], {"error": ask(instance, {"data": b"no image"})[0][1]["error"]}])
    ]
    assert ask(instance, {"data": [b"x", b"y"]})[0][0] == 400
    many = ask(instance, {"data": [first] * 32}, {"data": [second] * 32})
    assert [len(document) for _, document in many] == [32, 32]
    assert many[1][1][0]["predictions"][0]["class"] == "grün"
    ((status, document),) = ask(instance, {"data": [first] * 33})
    assert (status, "33 images" in document["error"]) == (400, True)


def test_a_field_that_nobody_reads_is_named(tmp_path: Path, make_version: MakeVersion, make_image: MakeImage) -> None:
    ((status, document),) = ask(started(make_version(tmp_path)), {"data": make_image(), "topk": b"3"})
    assert status == 400
    assert "'topk'" in document["error"]


def test_a_worker_hands_on_every_field_of_a_form() -> None:
    keep_repeated_fields()
    keep_repeated_fields()
    parts = [("data", b"first"), ("top_k", b"3"), ("data", b"second"), ("data", b"third")]
    parameters = [{"name": name, "contentType": "", "value": value} for name, value in parts]
    batch = [
        {"requestId": b"1", "headers": [], "parameters": parameters},
        {"requestId": b"2", "headers": [], "parameters": parameters[:1]},
    ]
    _, inputs, identities = Service.retrieve_data_for_inference(batch)
    assert inputs == [{"data": [b"first", b"second", b"third"], "top_k": b"3"}, {"data": b"first"}]
    assert identities == {0: "1", 1: "2"}


@pytest.mark.parametrize("body", [b'{"a": 1}', b"{broken", b'{"inputs": []}', b'{"inputs": [{"data": ["?"]}]}'])
def test_json_body_is_no_image(body: bytes, tmp_path: Path, make_version: MakeVersion) -> None:
    ((status, document),) = ask(started(make_version(tmp_path)), {"body": body})
    assert status == 400
    assert "image" in document["error"]


def test_open_inference_protocol(tmp_path: Path, make_version: MakeVersion, make_image: MakeImage) -> None:
    request = {
        "id": "42",
        "parameters": {"top_k": 2},
        "inputs": [
            {
                "name": "image",
                "datatype": "BYTES",
                "shape": [1],
                "data": [base64.b64encode(make_image("青")).decode()],
            }
        ],
    }
    plain, wrapped = ask(
        started(make_version(tmp_path, version=3)),
        {"body": make_image("青"), "top_k": "2"},
        {"body": json.dumps(request).encode()},
    )
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
    assert model.session.get_providers() == ["CPUExecutionProvider"]
    assert len([record for record in caplog.records if "CPU" in record.message]) == 1


def test_batch_equals_single(tmp_path: Path, make_version: MakeVersion) -> None:
    model = VersionModel.load(make_version(tmp_path))
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    together = model.classify(images, [3] * 5)
    for image, answer in zip(images, together, strict=True):
        (single,) = model.classify(image[None], [3])
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
