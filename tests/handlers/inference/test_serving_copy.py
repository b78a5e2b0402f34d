"""Which copy of a network answers: real networks in ONNX Runtime, some slow by idle work."""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from handlers.inference.sessions.canary_images import COMPARED
from handlers.inference.sessions.copy_choice import (
    CHOICE_FILE,
    CopyRules,
    Device,
    MeasuredCopy,
    chosen_alike,
    read_choice,
    remember,
    remembered,
)
from handlers.inference.sessions.onnx_session import OnnxSession, Session, UnusableVersionError
from handlers.inference.sessions.openvino_session import Bfloat16Session, why_no_bfloat16
from handlers.inference.sessions.serving_copy import choose, compare
from tests.handlers.inference.conftest import IMAGES, write_network
from tests.handlers.torchserve.conftest import MakeImage, MakeVersion
from tests.support.present import present

RULES = CopyRules()


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("copies") / "model.onnx", work=24)


def opened(path: Path, **changes: Any) -> Callable[[], Session]:
    return lambda: OnnxSession(write_network(path, **changes), 1)


def test_a_faster_copy_that_agrees_answers(slow: Path, tmp_path: Path) -> None:
    choice, session = choose(OnnxSession(slow, 1), IMAGES, RULES, {"int8": opened(tmp_path / "fast.onnx")})
    assert (choice.copy, choice.images, choice.change < 1e-4) == ("int8", 8, True)
    assert choice.speed > 2
    assert session.run(["probabilities"], {"images": IMAGES})[0].shape == (8, 3)


class Interrupted(OnnxSession):
    """Stands for a network whose processor other processes take in each of its runs: when they do is the system's."""

    def run(self, names: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        found = super().run(names, feed)
        time.sleep(0.1)
        return found


def test_other_processes_do_not_decide_which_copy_answers(slow: Path, tmp_path: Path) -> None:
    copy = Interrupted(write_network(tmp_path / "fast.onnx"), 1)
    choice, _ = choose(OnnxSession(slow, 1), IMAGES, RULES, {"int8": lambda: copy})
    assert (choice.copy, choice.speed > 2) == ("int8", True)


@pytest.mark.parametrize(
    ("copy", "reason"),
    [
        (opened(Path("wrong.onnx"), shift=-30.0), "8 of 8 images have another best class"),
        (opened(Path("near.onnx"), shift=1.0), "an output differs by"),
        (opened(Path("slow.onnx"), work=48), "not faster here"),
        (lambda: OnnxSession(Path("missing.onnx"), 1), "missing.onnx cannot be loaded"),
    ],
    ids=["other classes", "other probabilities", "slower", "missing"],
)
def test_any_other_copy_leaves_the_published_network_answering(
    slow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copy: Callable[[], Session], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    published = OnnxSession(slow, 1)
    images = np.zeros_like(IMAGES) + np.array([64, 32, 0], np.uint8)  # the first class, with 0.5
    choice, session = choose(published, images, RULES, {"int8": copy})
    assert (choice.copy, choice.speed, session) == ("fp32", 1.0, published)
    assert reason in choice.measured[1].refused


def test_a_network_that_is_fast_as_it_is_has_no_copy(tmp_path: Path) -> None:
    def never() -> Session:
        raise AssertionError("opened")

    published = OnnxSession(write_network(tmp_path / "model.onnx", work=0), 1)
    choice, session = choose(published, IMAGES, RULES, {"int8": never})
    assert (choice.copy, session) == ("fp32", published)


def test_a_choice_is_remembered_for_the_same_machine_model_and_rules(slow: Path, tmp_path: Path) -> None:
    choice, _ = choose(OnnxSession(slow, 1), IMAGES, RULES, {"int8": opened(tmp_path / "fast.onnx")})
    assert remembered(tmp_path, RULES, Device(1), "digest") is None
    remember(tmp_path, choice, RULES, Device(1), "digest")
    assert remembered(tmp_path, RULES, Device(1), "digest") == read_choice(tmp_path) == choice
    assert remembered(tmp_path, RULES, Device(1), "another") is None
    assert remembered(tmp_path, RULES, Device(2), "digest") is None
    assert remembered(tmp_path, RULES, Device(1, gpu=0), "digest") is None
    assert remembered(tmp_path, CopyRules(most_change=0.01), Device(1), "digest") is None
    document = json.loads((tmp_path / CHOICE_FILE).read_text())
    (tmp_path / CHOICE_FILE).write_text(json.dumps(document | {"measured": 3}))
    assert remembered(tmp_path, RULES, Device(1), "digest") is None


def test_a_network_that_differs_in_its_numbers_only_is_compared_and_not_timed(slow: Path, tmp_path: Path) -> None:
    published, copy = OnnxSession(slow, 1), OnnxSession(write_network(tmp_path / "fast.onnx"), 1)
    choice, _ = choose(published, IMAGES, RULES, {"int8": lambda: copy})
    first, second = tmp_path / "lucir-1", tmp_path / "lucir-2"
    first.mkdir()
    remember(first, choice, RULES, Device(1), "digest", "family")
    assert remembered(first, RULES, Device(1), "digest") == choice
    assert chosen_alike(second, RULES, Device(1), "family") == choice
    assert chosen_alike(second, RULES, Device(1), "another") is None
    assert chosen_alike(second, RULES, Device(2), "family") is None
    remember(first, choice, RULES, Device(1), "digest")
    assert chosen_alike(second, RULES, Device(1), "") is None
    answers = dict(zip(COMPARED, published.run(COMPARED[:3], {"images": IMAGES[:4]}), strict=False))
    found = present(compare(answers, IMAGES[:4], RULES, copy, choice))
    assert (found.copy, found.speed, found.images) == ("int8", choice.speed, 4)
    first_class = np.zeros_like(IMAGES) + np.array([64, 32, 0], np.uint8)
    wrong = OnnxSession(write_network(tmp_path / "wrong.onnx", shift=-30.0), 1)
    answers = dict(zip(COMPARED, published.run(COMPARED[:3], {"images": first_class}), strict=False))
    assert compare(answers, first_class, RULES, wrong, choice) is None


def test_costs_weigh_a_single_image_and_a_batch_alike() -> None:
    assert MeasuredCopy("int8", one_ms=3.0, batch_ms=1.0).cost == 2.0


@pytest.mark.skipif(bool(why_no_bfloat16()), reason=why_no_bfloat16())
def test_bfloat16_answers_as_the_published_network_does(slow: Path) -> None:
    published, copy = OnnxSession(slow, 1), Bfloat16Session(slow, 1)
    names = ["prototype_cosines", "probabilities"]
    assert copy.outputs >= published.outputs
    for images in (IMAGES, IMAGES[:3]):
        expected, found = (session.run(names, {"images": images}) for session in (published, copy))
        for one, other in zip(expected, found, strict=True):
            assert other.dtype == np.float32
            np.testing.assert_allclose(other, one, atol=0.02)


def test_openvino_is_not_imported_where_another_copy_answers(
    tmp_path: Path, make_version: MakeVersion, make_image: MakeImage
) -> None:
    folder = make_version(tmp_path / "lucir-1")
    images = [{"png": base64.b64encode(make_image()).decode()}]
    (folder / "canary.json").write_text(json.dumps({"pictures": images}))
    program = (
        "import sys; from pathlib import Path\n"
        "from handlers.inference.version_model import CopyRules, VersionModel\n"
        f"model = VersionModel.load(Path({str(folder)!r}), rules=CopyRules())\n"
        "print(model.choice.copy, 'openvino' in sys.modules)"
    )
    for _ in range(2):  # the first one measures, and says why it does not take another copy
        found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert read_choice(folder) is not None
    assert found.split() == ["fp32", "False"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no network")
    with pytest.raises(UnusableVersionError, match=r"model\.onnx cannot be loaded"):
        OnnxSession(tmp_path / "model.onnx", 1)
