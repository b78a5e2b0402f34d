"""How many images run together: a real network, whose runs are counted."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from handlers.inference.answering import Batch
from handlers.inference.preprocess import Limits
from handlers.inference.replies import RawRequest
from handlers.inference.sessions.onnx_session import OnnxSession
from handlers.inference.version_model import VersionModel
from tests.handlers.torchserve.conftest import COLOURS, MakeImage, MakeVersion


@dataclass
class Counted:
    """A session that remembers how many images each of its runs had."""

    session: OnnxSession
    runs: list[int] = field(default_factory=list)

    @property
    def outputs(self) -> frozenset[str]:
        return self.session.outputs

    def run(self, names: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        self.runs.append(len(feed["images"]))
        return self.session.run(names, feed)


@pytest.mark.parametrize(
    ("size", "count", "runs"),
    [(16, 16, [16]), (16, 40, [20, 20]), (224, 3, [3]), (224, 5, [2, 3]), (224, 10, [3, 3, 4]), (512, 2, [1, 1])],
)
def test_large_images_run_in_smaller_parts_of_a_batch(
    size: int, count: int, runs: list[int], tmp_path: Path, make_version: MakeVersion, make_image: MakeImage
) -> None:
    model = VersionModel.load(make_version(tmp_path, size=size))
    assert isinstance(model.session, OnnxSession)
    counted = Counted(model.session)
    names = [list(COLOURS)[number % len(COLOURS)] for number in range(count)]
    requests = [RawRequest({"body": make_image(name)}, {}) for name in names]
    replies = Batch(requests, Limits(), 1).answers(replace(model, session=counted))
    assert counted.runs == runs
    assert [json.loads(reply.body)["predictions"][0]["class"] for reply in replies] == names


def test_a_batch_without_an_image_runs_nothing(tmp_path: Path, make_version: MakeVersion) -> None:
    model = VersionModel.load(make_version(tmp_path))
    replies = Batch([RawRequest({"body": np.zeros(9, np.uint8).tobytes()}, {})], Limits(), 1).answers(model)
    assert [reply.status for reply in replies] == [400]
