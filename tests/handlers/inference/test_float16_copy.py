"""The copy for graphics cards. Where there is none, a processor says that it is one: it computes half precision too."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from handlers.inference.sessions import onnx_session, serving_copy
from handlers.inference.sessions.copy_choice import CopyRules, MeasuredCopy
from handlers.inference.sessions.float16_session import Float16Session, half_precision
from handlers.inference.sessions.onnx_session import OnnxSession, UnusableVersionError
from handlers.inference.sessions.serving_copy import choose
from handlers.inference.version_model import VersionModel
from tests.handlers.inference.conftest import IMAGES, SIDE, MakeFolder, write_canary, write_network

NAMES = ["features", "probabilities", "cosines", "prototype_cosines"]
HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT


class Card:
    """Stands for a session on a graphics card."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is loaded onto the card that this machine says it has: files, or the bytes of copies."""
    loaded: list[object] = []

    def session(model: Path | bytes, options: onnxruntime.SessionOptions, gpu: int) -> Card:
        assert gpu == 0
        loaded.append(model)
        return Card(onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]))

    monkeypatch.setattr(onnx_session, "_cuda_session", session)
    return loaded


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half precision takes a third of the time, as it may on a card."""
    cost = {"fp32": 9.0, "fp16": 3.0}
    monkeypatch.setattr(serving_copy, "_timed", lambda name, *_: MeasuredCopy(name, cost[name], cost[name]))


def write_branched_network(path: Path) -> Path:
    """What networks have between convolutions: bounds, a sum around them, a gate for each channel, another shape; and
    an output that is taken from among them.
    """
    random = np.random.default_rng(0)
    constants: dict[str, NDArray[Any]] = {
        "first": (random.normal(size=(8, 3, 3, 3)) / 100).astype(np.float32),
        "second": (random.normal(size=(8, 8, 3, 3)) / 8).astype(np.float32),
        "squeeze": (random.normal(size=(8, 8, 1, 1)) / 3).astype(np.float32),
        "third": (random.normal(size=(4, 8, 1, 1)) / 3).astype(np.float32),
        "bias": random.normal(size=4).astype(np.float32),
        "low": np.array(0, np.float32),
        "high": np.array(6, np.float32),
        "axes": np.array([2, 3], np.int64),
        "shape": np.array([-1, 8, SIDE * SIDE, 1], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "first"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["a", "low", "high"], ["b"]),
        helper.make_node("Conv", ["b", "second"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["b", "c"], ["d"]),
        helper.make_node("ReduceMean", ["d", "axes"], ["mean"]),
        helper.make_node("Conv", ["mean", "squeeze"], ["e"]),
        helper.make_node("Sigmoid", ["e"], ["gate"]),
        helper.make_node("Mul", ["d", "gate"], ["f"]),
        helper.make_node("Reshape", ["f", "shape"], ["g"]),
        helper.make_node("Conv", ["g", "third", "bias"], ["h"]),
        helper.make_node("ReduceMean", ["h", "axes"], ["features"], keepdims=0),
        helper.make_node("Softmax", ["features"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "branched",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])],
        [
            helper.make_tensor_value_info("probabilities", FLOAT, ["batch", 4]),
            helper.make_tensor_value_info("gate", FLOAT, ["batch", 8, 1, 1]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def types_of(model: bytes) -> dict[str, int]:
    """Of each value that is computed."""
    found = onnx.shape_inference.infer_shapes(onnx.load_from_string(model), strict_mode=True).graph
    return {one.name: one.type.tensor_type.elem_type for one in (*found.value_info, *found.output)}


def test_half_precision_reaches_from_the_first_convolution_to_the_last(tmp_path: Path) -> None:
    path = write_network(tmp_path / "model.onnx", work=3)
    made = half_precision(path)
    types = types_of(made)
    assert {types[f"map-{number}/half"] for number in range(4)} == {HALF}
    assert {types[name] for name in ("pixels", "spread", "map-0", "map-3", *NAMES)} == {FLOAT}
    published, copy = OnnxSession(path, 1), OnnxSession(made, 1)
    for images in (IMAGES, IMAGES[:3]):
        expected, found = (session.run(NAMES, {"images": images}) for session in (published, copy))
        for one, other in zip(expected, found, strict=True):
            assert other.dtype == np.float32
            np.testing.assert_allclose(other, one, rtol=0.002, atol=0.02)


def test_whatever_lies_between_convolutions_is_half_as_wide(tmp_path: Path) -> None:
    path = write_branched_network(tmp_path / "model.onnx")
    made = half_precision(path)
    types = types_of(made)
    assert {types[f"{name}/half"] for name in ("a", "b", "c", "d", "mean", "e", "gate", "f", "g", "h")} == {HALF}
    assert {types[name] for name in ("planes", "h", "features", "gate", "probabilities")} == {FLOAT}
    names = ["probabilities", "gate"]
    expected, found = (OnnxSession(model, 1).run(names, {"images": IMAGES}) for model in (path, made))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other, one, atol=0.01)


def test_a_network_without_convolutions_stays_as_it_is(tmp_path: Path) -> None:
    made = half_precision(write_network(tmp_path / "model.onnx", work=0))
    assert HALF not in types_of(made).values()
    assert OnnxSession(made, 1).run(["probabilities"], {"images": IMAGES})[0].shape == (8, 3)


def test_weights_beyond_its_range_leave_the_published_network_answering(tmp_path: Path) -> None:
    path = write_network(tmp_path / "model.onnx", work=24)
    model = onnx.load(path)
    same = next(one for one in model.graph.initializer if one.name == "same")
    weights = numpy_helper.to_array(same).copy()
    weights[0, 0, 0, 0] = 1e6  # of no consequence in floats where the image is dark
    same.CopyFrom(numpy_helper.from_array(weights, "same"))
    onnx.save(model, path)
    published = OnnxSession(path, 1)
    choice, session = choose(
        published, np.zeros_like(IMAGES), CopyRules(), {"fp16": lambda: OnnxSession(half_precision(path), 1)}
    )
    assert (choice.copy, session) == ("fp32", published)
    assert "an output differs by nan" in choice.measured[1].refused


def test_without_a_card_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableVersionError, match="CUDA device 63 cannot be used"):
        Float16Session(write_network(tmp_path / "model.onnx"), 1, gpu=63)


def test_without_a_card_the_processor_has_its_own_copies(make_folder: MakeFolder) -> None:
    folder = make_folder(1, work=24, quick=True)
    model = VersionModel.load(folder, gpu=63, rules=CopyRules())
    assert model.choice.copy == "int8"
    assert VersionModel.load(folder, gpu=63, rules=CopyRules()).choice.copy == "int8"


@pytest.mark.usefixtures("quick")
def test_a_card_answers_with_its_copy(make_folder: MakeFolder, card: list[object]) -> None:
    first, second = make_folder(1, work=24), make_folder(2, work=24, shift=4.0)
    write_canary(first)
    write_canary(second)
    rules = CopyRules()
    model = VersionModel.load(first, gpu=0, rules=rules)
    assert (model.choice.copy, model.choice.speed, model.choice.images) == ("fp16", 3.0, len(IMAGES))
    assert [type(one) for one in card] == [type(first), bytes]
    card.clear()
    again, following = (VersionModel.load(folder, gpu=0, rules=rules) for folder in (first, second))
    assert again.choice == model.choice
    assert (following.choice.copy, following.choice.speed) == ("fp16", 3.0)
    assert [type(one) for one in card] == [bytes, bytes]  # nothing is measured again, the published file not loaded
    for folder, one in ((first, again), (second, following)):
        expected = OnnxSession(folder / "model.onnx", 1).run(NAMES, {"images": IMAGES})
        for name, wanted, found in zip(NAMES, expected, one.session.run(NAMES, {"images": IMAGES}), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=0.002, atol=0.02, err_msg=name)


@pytest.mark.usefixtures("quick")
def test_a_card_that_is_gone_leaves_the_published_network_answering(
    make_folder: MakeFolder, card: list[object], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_folder(1, work=24)
    write_canary(folder)
    assert VersionModel.load(folder, gpu=0, rules=CopyRules()).choice.copy == "fp16"
    assert card
    monkeypatch.setattr(onnx_session, "_cuda_session", lambda *_: None)
    monkeypatch.setattr(serving_copy, "why_no_bfloat16", lambda: "not here")
    model = VersionModel.load(folder, gpu=0, rules=CopyRules())
    assert (model.choice.copy, model.version) == ("fp32", 1)
    assert "the copy fp16 of lucir-1 cannot be used any more" in caplog.text


@pytest.mark.usefixtures("card")
def test_a_copy_that_is_slower_on_the_card_does_not_answer(tmp_path: Path) -> None:
    """A card's work is waited for: no time of the processor."""

    class Waiting(OnnxSession):
        def run(self, names: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
            time.sleep(0.2)
            return super().run(names, feed)

    path = write_network(tmp_path / "model.onnx", work=24)
    fast = write_network(tmp_path / "fast.onnx", work=1)
    choice, _ = choose(OnnxSession(path, 1, gpu=0), IMAGES, CopyRules(), {"fp16": lambda: Waiting(fast, 1, gpu=0)})
    assert [each.refused for each in choice.measured] == ["", "not faster here"]


@pytest.mark.skipif("CUDAExecutionProvider" not in onnxruntime.get_available_providers(), reason="needs a GPU")
def test_on_a_gpu_half_precision_answers_as_the_published_network_does(tmp_path: Path) -> None:
    path = write_branched_network(tmp_path / "model.onnx")
    try:
        copy = Float16Session(path, 1, gpu=0)
    except UnusableVersionError as error:
        pytest.skip(f"needs a GPU: {error}")
    expected, found = (one.run(["probabilities"], {"images": IMAGES})[0] for one in (OnnxSession(path, 1), copy))
    np.testing.assert_allclose(found, expected, atol=0.01)
