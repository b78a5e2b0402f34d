"""Versions on one backbone: what the first has loaded serves the next, whose own file is its head."""

import base64
import gc
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, utils
from PIL import Image

from handlers.inference.preprocess import Limits
from handlers.inference.sessions import chosen_session
from handlers.inference.sessions.copy_choice import CopyRules, read_choice
from handlers.inference.sessions.headed_session import HeadedSession
from handlers.inference.sessions.onnx_session import OnnxSession, Session, UnusableVersionError
from handlers.inference.sessions.openvino_session import why_no_bfloat16
from handlers.inference.version_model import VersionModel
from tests.handlers.inference.test_serving_copy import IMAGES, SIDE, write_network

NAMES = ["features", "probabilities", "cosines"]
MakeFolder = Callable[..., Path]


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """A mirrored version: its network does ``work`` and adds ``shift`` to the score of its first class."""

    def make(number: int, work: int = 2, shift: float = 0.0, *, head: bool = True, quick: bool = False) -> Path:
        folder = tmp_path / f"lucir-{number}"
        folder.mkdir()
        model = onnx.load(write_network(folder / "model.onnx", work, shift))
        if head:
            part = utils.Extractor(model).extract_model(["features"], ["probabilities", "cosines", "prototype_cosines"])
            helper.set_model_props(part, {"backbone": f"of {work} steps"})
            onnx.save(part, folder / "head.onnx")
        if quick:
            write_network(folder / "model.int8.onnx", 0, shift)
            write_canary(folder)
        write_manifest(folder, number)
        return folder

    return make


def write_canary(folder: Path, names: tuple[str, ...] = ("probabilities", "cosines", "prototype_cosines")) -> None:
    """Eight images and what the network answers to them."""
    answers = OnnxSession(folder / "model.onnx", 1).run(names, {"images": IMAGES})
    images = [
        {
            "png": base64.b64encode(png(image)).decode(),
            "outputs": {name: values[place].tolist() for name, values in zip(names, answers, strict=True)},
        }
        for place, image in enumerate(IMAGES)
    ]
    (folder / "canary.json").write_text(json.dumps({"pictures": images}))


def write_manifest(folder: Path, number: int) -> None:
    files = {path.name: path.read_bytes() for path in folder.glob("*.onnx")}
    records = {name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    manifest = {
        "version": number,
        "classes": ["red", "green", "blue"],
        "readout": "cnn",
        "preprocessing": {"size": SIDE, "resize": SIDE, "interpolation": "bilinear"},
        "files": records,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def assert_answers_as_published(session: Session, folder: Path, tolerance: float) -> None:
    expected = OnnxSession(folder / "model.onnx", 1).run(NAMES, {"images": IMAGES})
    for name, one, found in zip(NAMES, expected, session.run(NAMES, {"images": IMAGES}), strict=True):
        np.testing.assert_allclose(found, one, rtol=tolerance, atol=2 * tolerance, err_msg=name)


def test_the_next_version_loads_nothing_but_its_head(make_folder: MakeFolder) -> None:
    first, second, other = make_folder(1), make_folder(2, shift=4.0), make_folder(3, work=3)
    models = [VersionModel.load(folder) for folder in (first, second, other)]
    assert isinstance(models[1].session, HeadedSession)
    assert models[1].session.backbone is models[0].session
    assert not isinstance(models[2].session, HeadedSession)  # nobody had its backbone
    for model, folder in zip(models, (first, second, other), strict=True):
        assert_answers_as_published(model.session, folder, 1e-6)
    assert models[1].classify(IMAGES[:1], [1])[0].predictions[0].name == "red"
    threads = VersionModel.load(second, threads=2)
    assert not isinstance(threads.session, HeadedSession)  # another number of threads is another network
    (second / "model.onnx").write_bytes(b"")
    assert VersionModel.load(second).session.outputs >= set(NAMES)
    (second / "head.onnx").write_bytes(b"")
    with pytest.raises(UnusableVersionError, match=r"head\.onnx is damaged"):
        VersionModel.load(second)


def test_a_backbone_goes_with_the_last_version_on_it(make_folder: MakeFolder) -> None:
    first, second, third = (make_folder(number, work=5) for number in (1, 2, 3))
    kept = [VersionModel.load(folder) for folder in (first, second)]
    del kept[0]
    gc.collect()
    assert isinstance(VersionModel.load(third).session, HeadedSession)
    kept.clear()
    gc.collect()
    assert not isinstance(VersionModel.load(third).session, HeadedSession)


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
def test_a_copy_in_bfloat16_is_shared_and_the_head_stays_as_it_was_published(make_folder: MakeFolder) -> None:
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


def test_a_copy_is_compared_with_what_the_evaluated_network_answered(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = CopyRules()
    first, second, third = (make_folder(number, work=24, quick=True) for number in (1, 2, 3))
    chosen = VersionModel.load(first, rules=rules).choice
    assert chosen.copy == "int8"
    document = json.loads((third / "canary.json").read_text())
    for each in document["pictures"]:
        each["outputs"]["probabilities"] = [0.0, 0.0, 1.0]
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
    VersionModel.load(third, rules=rules)  # it is not as evaluated: measured by itself
    assert opened
