"""Phases on a frozen backbone: order, deletion and union leave nothing behind; what is saved is what was learnt."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from handlers.inference.sessions.headed_session import Inputs
from handlers.inference.version_model import VersionModel
from lucir_core.config.phase_config import PhaseConfig, load_preset
from lucir_core.edit.edit_state import forget_images, merge_classes, remove_class, rename_class
from lucir_core.errors import ConfigError, DataError
from lucir_core.export.onnx_export import compare_onnx, export_onnx, open_session
from lucir_core.frozen.analytic import unit_rows
from lucir_core.frozen.calibrate import known_score
from lucir_core.frozen.extraction import FeatureExtractor
from lucir_core.frozen.frozen_head import with_head
from lucir_core.memory.feature_memory import FeatureMemory
from lucir_core.memory.image_blobs import ImageBlobs, image_digest
from lucir_core.models.heads import AnalyticHead
from lucir_core.phase import PhaseData, run_phase
from lucir_core.state import LearnerState, load_state, save_state
from tests.lucir_core.frozen.conftest import CLASSES
from tests.support.present import present


@pytest.fixture(scope="module", params=[0, 200], ids=["features", "expanded"])
def config(request: pytest.FixtureRequest) -> PhaseConfig:
    """A backbone with drawn weights: what is tested here holds for any that stays as it is."""
    overrides = {"network": "resnet8", "weights": None, "size": 32, "resize": 32, "exemplars_per_class": 3}
    return load_preset("photo", {**overrides, "analytic.expansion": request.param})


def part(data: PhaseData, labels: tuple[int, ...], known: int) -> PhaseData:
    chosen = np.isin(data.labels, labels)
    return PhaseData(data.images[chosen], data.labels[chosen], data.classes[:known])


@pytest.fixture(scope="module")
def at_once(config: PhaseConfig, data: PhaseData) -> LearnerState:
    return run_phase(config, data, None)


def same(one: LearnerState, other: LearnerState) -> None:
    """Equal heads: cosines and logits of any feature."""
    np.testing.assert_allclose(one.prototypes.numpy(), other.prototypes.numpy(), atol=1e-6)
    for name, value in one.model.head.state_dict().items():
        if name not in ("old", "new"):
            np.testing.assert_allclose(value.numpy(), other.model.head.state_dict()[name].numpy(), atol=1e-4)
    np.testing.assert_allclose(one.model.head.embeddings.numpy(), other.model.head.embeddings.numpy(), atol=1e-6)


def test_drops_in_any_order_lead_to_the_same_head(config: PhaseConfig, data: PhaseData, at_once: LearnerState) -> None:
    state = run_phase(config, part(data, (0, 1), 2), None)
    state = run_phase(config, part(data, (2,), 3), state)
    state = run_phase(config, part(data, (3, 4), 5), state)
    assert (state.phase, state.phase_sizes) == (2, (2, 1, 2))
    same(state, at_once)


def test_a_deleted_image_and_a_removed_class_leave_nothing(
    config: PhaseConfig, data: PhaseData, at_once: LearnerState
) -> None:
    doomed = [0, 9, 17]
    kept = np.setdiff1d(np.arange(len(data.labels)), doomed)
    never = run_phase(config, PhaseData(data.images[kept], data.labels[kept], CLASSES), None)
    same(forget_images(at_once, [image_digest(data.images[row]) for row in doomed]), never)
    without = run_phase(
        config,
        PhaseData(data.images[data.labels != 4], data.labels[data.labels != 4], CLASSES[:4]),
        None,
    )
    same(remove_class(at_once, "elk"), without)


def test_a_deletion_decodes_no_image_of_another_class(
    data: PhaseData, at_once: LearnerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, decoded = ImageBlobs.decode, list[int]()

    def noted(blobs: ImageBlobs, index: int) -> np.ndarray:
        decoded.append(int(blobs.labels[index]))
        return decode(blobs, index)

    monkeypatch.setattr(ImageBlobs, "decode", noted)
    for row in np.flatnonzero(data.labels == 2)[:2]:
        forget_images(at_once, [image_digest(data.images[row])])
    assert set(decoded) == {2}


def test_merging_is_learning_under_one_name(config: PhaseConfig, data: PhaseData, at_once: LearnerState) -> None:
    labels = np.where(data.labels == 4, 3, data.labels)
    joined = run_phase(config, PhaseData(data.images, labels, CLASSES[:4]), None)
    same(merge_classes(at_once, ["dog", "elk"], "dog"), joined)
    renamed = rename_class(at_once, "dog", "wolf")
    assert renamed.classes == ("ant", "bee", "cat", "wolf", "elk")
    same(renamed, at_once)


def test_two_stores_of_features_add_up(config: PhaseConfig, data: PhaseData, at_once: LearnerState) -> None:
    one = present(run_phase(config, part(data, (0, 1), 2), None).features)
    rest = np.isin(data.labels, (2, 3, 4))
    features = FeatureExtractor(at_once.model, config.size)(data.images[rest])
    digests = [image_digest(image) for image in data.images[rest]]
    union = one.extended(features, data.labels[rest].astype(np.int64), 1, digests)
    same(with_head(dataclasses.replace(at_once, features=union)), at_once)


def test_a_state_reads_back_and_its_onnx_agrees(
    config: PhaseConfig, data: PhaseData, at_once: LearnerState, tmp_path: Path
) -> None:
    save_state(at_once, tmp_path)
    read = load_state(tmp_path)
    same(read, at_once)
    assert read.calibration == at_once.calibration
    memory = present(read.features)
    np.testing.assert_array_equal(memory.features, present(at_once.features).features)
    assert memory.answers is not None
    assert read.exemplars.counts().tolist() == [3] * 5
    export_onnx(read, tmp_path / "model.onnx")
    check = compare_onnx(read, tmp_path / "model.onnx", data.images)
    assert (check.top1_disagreements, check.max_cosine_difference < 1e-5) == (0, True)


def test_serving_sees_the_features_that_were_learnt_from_to_the_bit(
    data: PhaseData, at_once: LearnerState, tmp_path: Path
) -> None:
    export_onnx(at_once, tmp_path / "model.onnx")
    session = open_session(tmp_path / "model.onnx")
    (served,) = session.run(["features"], {"images": data.images[:8]})
    np.testing.assert_array_equal(served, present(at_once.features).features[:8])


def test_the_served_graph_scores_what_is_known_as_the_bound_was_made(
    data: PhaseData, at_once: LearnerState, tmp_path: Path
) -> None:
    export_onnx(at_once, tmp_path / "model.onnx")
    (known,) = open_session(tmp_path / "model.onnx").run(["known"], {"images": data.images})
    assert known.shape == (len(data.images), 1)
    calibration, head = present(at_once.calibration), at_once.model.head
    assert isinstance(head, AnalyticHead)
    features = present(at_once.features).features
    units = unit_rows(features)
    ridge = head(torch.from_numpy(features)).logits.numpy() * calibration.temperature
    expected = known_score((units @ at_once.prototypes.numpy().T).max(axis=1), ridge.max(axis=1))
    np.testing.assert_allclose(known[:, 0], expected, atol=1e-5)
    assert (known[:, 0] < present(calibration.known_cosine)).mean() < 0.1


def test_exemplars_of_classes_that_nothing_came_for_are_not_looked_at(config: PhaseConfig, data: PhaseData) -> None:
    """To decode those of a thousand classes takes longer than all else; here none of them could be."""
    state = run_phase(config, part(data, (0, 1), 2), None)
    blind = dataclasses.replace(state.exemplars, pngs=tuple(b"no image" for _ in state.exemplars.pngs))
    grown = run_phase(config, part(data, (2,), 3), dataclasses.replace(state, exemplars=blind))
    assert grown.exemplars.counts().tolist() == [3, 3, 3]
    assert grown.exemplars.pngs[:6] == blind.pngs


def test_one_image_is_enough_for_a_class_and_is_not_counted(config: PhaseConfig, data: PhaseData) -> None:
    chosen = np.concatenate([np.flatnonzero(data.labels == 0), np.flatnonzero(data.labels == 1)[:1]])
    state = run_phase(config, PhaseData(data.images[chosen], data.labels[chosen], CLASSES[:2]), None)
    assert present(present(state.features).answers).served.tolist()[-1] == -1
    calibration = present(state.calibration)
    assert (calibration.images, calibration.known_cosine) == (8, None)


def test_a_class_without_images_is_named(config: PhaseConfig, data: PhaseData) -> None:
    with pytest.raises(DataError, match="class 'elk' has no image"):
        run_phase(config, PhaseData(data.images[:32], data.labels[:32], CLASSES), None)


def test_frozen_and_analytic_go_together() -> None:
    for overrides in ({"frozen": False}, {"method": "icarl"}, {"head": "cosine"}, {"size": 225, "resize": 225}):
        with pytest.raises(ConfigError):
            load_preset("photo", overrides)


def test_a_damaged_file_of_features_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "features.safetensors").write_bytes(b"x" * 64)
    with pytest.raises(Exception, match="not a file of features"):
        FeatureMemory.load(tmp_path / "features.safetensors")


def test_an_answer_is_unknown_by_the_served_score(data: PhaseData, at_once: LearnerState, tmp_path: Path) -> None:
    export_onnx(at_once, tmp_path / "model.onnx")
    (known,) = open_session(tmp_path / "model.onnx").run(["known"], {"images": data.images})
    facts = {
        "version": 1,
        "classes": CLASSES,
        "readout": "cnn",
        "preprocessing": {"size": 32, "resize": 32, "interpolation": "bilinear"},
        "files": {"model.onnx": {"sha256": hashlib.sha256((tmp_path / "model.onnx").read_bytes()).hexdigest()}},
        "calibration": {"known_cosine": float(np.median(known))},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(facts), encoding="utf-8")
    answers = VersionModel.load(tmp_path).classify(Inputs(data.images), [1] * len(data.images))
    np.testing.assert_allclose([answer.unknown_score for answer in answers], 1.0 - known[:, 0], atol=1e-5)
    assert [answer.unknown for answer in answers].count(True) == len(data.images) // 2
