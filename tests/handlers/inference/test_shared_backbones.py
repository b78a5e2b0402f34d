"""Versions on one backbone: what the first has loaded serves the next, whose own file is its head."""

import gc
import json
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from handlers.inference.answering import Batch
from handlers.inference.preprocess import Limits
from handlers.inference.replies import RawRequest
from handlers.inference.sessions import chosen_session, serving_copy
from handlers.inference.sessions.copy_choice import CopyRules, MeasuredCopy, read_choice
from handlers.inference.sessions.headed_session import HeadedSession, Inputs, backbone_of
from handlers.inference.sessions.onnx_session import OnnxSession, Session, UnusableVersionError
from handlers.inference.sessions.openvino_session import why_no_bfloat16
from handlers.inference.version_model import VersionModel
from tests.handlers.inference.conftest import IMAGES, MakeFolder, png, write_canary, write_manifest, write_network

NAMES = ["features", "probabilities", "cosines"]


REQUESTS = [RawRequest({"body": png(image)}, {}) for image in IMAGES]


def assert_answers_as_published(session: Session, folder: Path, tolerance: float) -> None:
    expected = OnnxSession(folder / "model.onnx", 1).run(NAMES, {"images": IMAGES})
    for name, one, found in zip(NAMES, expected, session.run(NAMES, {"images": IMAGES}), strict=True):
        np.testing.assert_allclose(found, one, rtol=tolerance, atol=2 * tolerance, err_msg=name)


def test_the_next_version_loads_nothing_but_its_head(make_folder: MakeFolder) -> None:
    first, second, other = make_folder(1), make_folder(2, shift=4.0), make_folder(3, work=3)
    models = [VersionModel.load(folder) for folder in (first, second, other)]
    backbones = [backbone_of(model.session) for model in models]
    assert backbones[0] is backbones[1] is not backbones[2]
    for model, folder in zip(models, (first, second, other), strict=True):
        assert_answers_as_published(model.session, folder, 1e-6)
    assert models[1].classify(Inputs(IMAGES[:1]), [1])[0].predictions[0].name == "red"
    assert backbone_of(VersionModel.load(second, threads=2).session) not in backbones  # it runs in another way
    (second / "model.onnx").write_bytes(b"")
    assert VersionModel.load(second).session.outputs >= set(NAMES)
    (second / "head.onnx").write_bytes(b"")
    with pytest.raises(UnusableVersionError, match=r"head\.onnx is damaged"):
        VersionModel.load(second)


def test_a_backbone_goes_with_the_last_version_on_it(make_folder: MakeFolder) -> None:
    first, second, third = (make_folder(number, work=5) for number in (1, 2, 3))
    kept = [VersionModel.load(folder) for folder in (first, second)]
    backbone = weakref.ref(backbone_of(kept[0].session))
    del kept[0]
    gc.collect()
    assert backbone_of(VersionModel.load(third).session) is backbone()
    kept.clear()
    gc.collect()
    assert backbone() is None


def test_a_version_without_a_head_of_its_own_is_loaded_in_whole(make_folder: MakeFolder) -> None:
    folders = [make_folder(number, head=False) for number in (1, 2)]
    models = [VersionModel.load(folder) for folder in folders]
    assert not any(isinstance(model.session, HeadedSession) for model in models)


def test_a_head_that_fits_no_backbone_is_refused(make_folder: MakeFolder) -> None:
    folder = make_folder(1)
    head = onnx.load(folder / "head.onnx")
    del head.metadata_props[:]
    onnx.save(head, folder / "head.onnx")
    write_manifest(folder, 1)
    with pytest.raises(UnusableVersionError, match="does not say which backbone"):
        VersionModel.load(folder)


@pytest.mark.skipif(bool(why_no_bfloat16()), reason=why_no_bfloat16())
def test_a_copy_in_bfloat16_is_shared_and_the_head_stays_as_it_was_published(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is faster is this machine's: not every one that can compute in bfloat16 gains by it.
    cost = {"fp32": 9.0, "bf16": 1.0}
    monkeypatch.setattr(serving_copy, "_timed", lambda name, *_: MeasuredCopy(name, cost[name], cost[name]))
    first, second = make_folder(1, work=24), make_folder(2, work=24, shift=4.0)
    write_canary(first)
    models = [VersionModel.load(first, rules=CopyRules())]
    assert models[0].choice.copy == "bf16"
    write_canary(second)
    models.append(VersionModel.load(second, rules=CopyRules()))
    assert models[1].choice.copy == "bf16"
    sessions = [model.session for model in models]
    assert isinstance(sessions[0], HeadedSession)
    assert isinstance(sessions[1], HeadedSession)
    assert sessions[0].backbone is sessions[1].backbone
    for session, folder in zip(sessions, (first, second), strict=True):
        assert_answers_as_published(session, folder, 0.01)


@pytest.mark.parametrize("otherwise", [{"probabilities": [0.0, 0.0, 1.0]}, {"cosines": [1.0]}, {"known": [0.5]}])
def test_a_copy_is_compared_with_what_the_evaluated_network_answered(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch, otherwise: dict[str, list[float]]
) -> None:
    """What was evaluated of the third version: another class, of another width, and an output that it has not."""
    rules = CopyRules()
    first, second, third = (make_folder(number, work=24, quick=True) for number in (1, 2, 3))
    chosen = VersionModel.load(first, rules=rules).choice
    assert chosen.copy == "int8"
    document = json.loads((third / "canary.json").read_text())
    for each in document["pictures"]:
        each["outputs"] |= otherwise
    (third / "canary.json").write_text(json.dumps(document))
    opened = []

    def published(*words: object) -> Session:
        opened.append(words)
        return original(*words)  # type: ignore[arg-type]

    original = chosen_session.published_session
    monkeypatch.setattr(chosen_session, "published_session", published)
    model = VersionModel.load(second, rules=rules)
    assert (model.choice.copy, model.choice.speed, model.choice.images) == ("int8", chosen.speed, len(IMAGES))
    assert read_choice(second) == model.choice
    assert not opened
    model.prepare(png(IMAGES[0]), Limits())
    assert VersionModel.load(third, rules=rules).version == 3
    assert opened  # it is not as evaluated: measured by itself


def test_a_batch_that_another_version_answers_after_all_runs_through_their_backbone_once(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [VersionModel.load(make_folder(number, shift=9.0 * number)) for number in (1, 2)]
    alone = [Batch(REQUESTS, Limits(), 3).answers(model) for model in models]
    assert alone[0][0].body.replace(b'"model_version": 1', b'"model_version": 2') != alone[1][0].body
    runs: list[int] = []
    run = OnnxSession.run

    def counted(session: OnnxSession, names: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        runs.extend([len(feed["images"])] if "images" in feed else [])
        return run(session, names, feed)

    monkeypatch.setattr(OnnxSession, "run", counted)
    batch = Batch(REQUESTS, Limits(), 3)
    assert [batch.answers(model) for model in models] == alone
    assert runs == [len(IMAGES)]
    other = VersionModel.load(make_folder(3, work=3))
    assert len(batch.answers(other)) == len(REQUESTS)
    assert runs == [len(IMAGES), 1, len(IMAGES)]  # its own backbone, once for the black image of a load


def test_what_a_batch_was_made_into_does_not_keep_a_backbone(make_folder: MakeFolder) -> None:
    model = VersionModel.load(make_folder(1))
    backbone = weakref.ref(backbone_of(model.session))
    batch = Batch(REQUESTS, Limits(), 3)
    batch.answers(model)
    del model
    gc.collect()
    assert backbone() is None
    assert batch.answers(VersionModel.load(make_folder(2)))[0].status == 200


@pytest.mark.parametrize(("work", "shift", "measured"), [(48, 0.0, False), (0, -30.0, True)], ids=["slower", "wrong"])
def test_the_next_version_is_not_measured_where_no_copy_was_faster(
    work: int, shift: float, measured: bool, make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_copy, "why_no_bfloat16", lambda: "not here")
    folders = [make_folder(number, work=24) for number in (1, 2)]
    for number, folder in enumerate(folders, 1):
        write_network(folder / "model.int8.onnx", work, shift)
        write_canary(folder)
        write_manifest(folder, number)
    found = VersionModel.load(folders[0], rules=CopyRules()).choice
    assert (found.copy, len(found.measured)) == ("fp32", 2)
    looked: list[object] = []

    def choose(*words: Any) -> Any:
        looked.append(words)
        return serving_copy.choose(*words)

    monkeypatch.setattr(chosen_session, "choose", choose)
    assert VersionModel.load(folders[1], rules=CopyRules()).choice.copy == "fp32"
    assert bool(looked) is measured
    assert read_choice(folders[1]) is not None
