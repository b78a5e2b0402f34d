"""What a request may hold: forms, JSON, hostile bodies. Each is answered by itself, whatever its neighbours are."""

import base64
import codecs
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from handlers.inference.api_keys import DIGESTS_VARIABLE, ApiKeys
from handlers.inference.repeated_fields import keep_repeated_fields
from handlers.inference.version_model import VersionModel
from tests.handlers.inference.conftest import Classify
from tests.handlers.torchserve.conftest import MakeImage, MakeVersion
from tests.support.servers.asked_classifier import ask, started

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # TorchServe leaves a file open when it is imported
    from ts.context import Context, RequestProcessor
    from ts.service import Service


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
BATCH = {"datatype": "BYTES", "shape": [2], "data": ["IMAGE", "R0lG"]}


@pytest.mark.parametrize(
    ("fields", "headers", "words"),
    [
        ({"hello": b"1"}, FORM, "curl -T"),
        ({"body": json.dumps({"inputs": [BATCH]})}, {}, "image 2 of 2: "),
        ({"body": json.dumps({"images": ["R0lG"] * 33})}, {}, "33 images"),
        ({"data": "IMAGE", "topk": b"3"}, {}, "'topk'"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(
    fields: dict[str, Any], headers: dict[str, str], words: str, classify: Classify, make_image: MakeImage
) -> None:
    """IMAGE stands for one."""
    image = make_image()
    sent = {name: image if value == "IMAGE" else value for name, value in fields.items()}
    if "body" in sent:
        sent["body"] = sent["body"].replace("IMAGE", base64.b64encode(image).decode()).encode()
    ((status, document),) = classify(sent, headers=headers)
    assert (status, words in document["error"]) == (400, True), document


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


@pytest.mark.parametrize("start", [codecs.BOM_UTF8, b" \r\n\t", codecs.BOM_UTF8 + b"\n\n  ", b"\n" * 1000])
def test_json_is_known_behind_a_byte_order_mark_and_white_space(
    start: bytes, classify: Classify, make_image: MakeImage
) -> None:
    body = start + json.dumps({"image": base64.b64encode(make_image("grün")).decode()}).encode() + b"\n"
    ((status, document),) = classify({"body": body})
    assert status == 200, document
    assert document["predictions"][0]["class"] == "grün"


@pytest.mark.parametrize(
    ("body", "headers", "words"),
    [
        (b'["R0lG"]', {}, "is a list, where an object is expected; send the bytes of an image file, or as JSON"),
        (codecs.BOM_UTF8 + b" []", {}, "is a list, where an object is expected"),
        (b'"R0lG"', {"Content-Type": "application/json"}, "is text, where an object is expected"),
        (b" null", {"Content-Type": "application/json; charset=utf-8"}, "is null, where an object is expected"),
        (b"7", {"content-type": "application/ld+json"}, "is a number, where an object is expected"),
        (b"no image", {"Content-Type": "application/json"}, "neither an image nor a JSON document"),
    ],
)
def test_json_that_is_not_an_object_is_refused_as_json(
    body: bytes, headers: dict[str, str], words: str, classify: Classify
) -> None:
    ((status, document),) = classify({"body": body}, headers=headers)
    assert (status, words in document["error"]) == (400, True), document


def test_an_image_that_is_sent_as_json_is_an_image(classify: Classify, make_image: MakeImage) -> None:
    ((status, _),) = classify({"body": make_image()}, headers={"Content-Type": "application/json"})
    assert status == 200


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


def test_half_a_surrogate_pair_comes_back(classify: Classify, make_image: MakeImage) -> None:
    """JSON can name what UTF-8 cannot."""
    image = base64.b64encode(make_image()).decode()
    body = f'{{"id": "\\ud800", "inputs": [{{"datatype": "BYTES", "data": ["{image}"]}}]}}'.encode()
    (wrapped, plain) = classify({"body": body}, {"body": make_image()})
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


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Encoding": "gzip"}, 415),
        ({"content-encoding": "identity"}, 200),
        ({"Content-Type": "multipart/mixed; boundary=x"}, 415),
        ({"Content-Type": "text/plain"}, 200),
    ],
)
def test_packed_and_mixed_bodies_are_not_read(
    classify: Classify, make_image: MakeImage, headers: dict[str, str], status: int
) -> None:
    ((found, document),) = classify({"body": make_image()}, headers=headers)
    assert (found, "error" in document) == (status, status == 415)


def test_every_top_k_that_was_sent_has_to_be_one(classify: Classify, make_image: MakeImage) -> None:
    image = make_image()
    for fields, headers, expected in (
        ({"data": image, "top_k": "2"}, {"top-k": "1"}, 2),
        ({"data": image}, {"top_k": "2", "top-k": "1"}, 2),
        ({"data": image, "top_k": "2"}, {"top-k": "0"}, None),
        ({"data": image}, {"top-k": "2", "x-top-k": "x"}, None),
    ):
        ((status, document),) = classify(fields, headers=headers)
        assert status == (400 if expected is None else 200)
        assert len(document.get("predictions", [])) == (expected or 0)


def test_tensors_that_are_wanted(tmp_path: Path, make_version: MakeVersion, make_image: MakeImage) -> None:
    instance = started(make_version(tmp_path))
    data = [base64.b64encode(make_image(name)).decode() for name in ("青", "rot")]

    def infer(**changes: Any) -> tuple[int, dict[str, Any]]:
        document = {"inputs": [{"name": "i", "shape": [2], "datatype": "BYTES", "data": data}], **changes}
        return ask(instance, {"body": json.dumps(document).encode()})[0]

    status, document = infer(outputs=[{"name": "probability"}, {"name": "class"}], parameters={"top_k": 1.0})
    assert [(each["name"], each["shape"]) for each in document["outputs"]] == [
        ("class", [2, 1]),
        ("probability", [2, 1]),
    ]
    assert (status, document["outputs"][0]["data"]) == (200, ["青", "rot"])
    for wrong in ({"outputs": [{"name": "logits"}]}, {"outputs": "class"}, {"outputs": [["class"]]}, {"id": 7}):
        status, document = infer(**wrong)
        assert (status, next(iter(wrong)) in document["error"]) == (400, True)


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
