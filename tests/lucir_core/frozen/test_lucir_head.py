"""LUCIR's head on features: what it learns, what its order of drops means, and that a deletion leaves nothing."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from lucir_core.config.phase_config import PhaseConfig, load_preset
from lucir_core.edit.edit_state import forget_images, remove_class
from lucir_core.errors import ConfigError
from lucir_core.export.onnx_export import compare_onnx, export_onnx, open_session
from lucir_core.frozen.analytic import class_means, class_sums, unit_rows
from lucir_core.frozen.frozen_head import with_head
from lucir_core.frozen.lucir_head import FOLDS, folds_of, learn_rows, left_out_scores
from lucir_core.memory.image_blobs import image_digest
from lucir_core.phase import PhaseData, run_phase
from lucir_core.state import LearnerState, load_state, save_state
from tests.lucir_core.frozen.conftest import CLASSES
from tests.support.present import present

DROPS = ((0, 1), (2,), (3, 4))


@pytest.fixture(scope="module")
def config() -> PhaseConfig:
    overrides = {"network": "resnet8", "weights": None, "size": 32, "resize": 32, "exemplars_per_class": 5}
    return load_preset("photo_lucir", overrides)


def dropped(config: PhaseConfig, data: PhaseData, folder: Path | None = None) -> LearnerState:
    """The state after all drops; saved and read in between where there is a folder."""
    state: LearnerState | None = None
    for labels in DROPS:
        chosen = np.isin(data.labels, labels)
        known = max(labels) + 1
        if not chosen.any():
            continue
        images, own = data.images[chosen], data.labels[chosen]
        state = run_phase(config, PhaseData(images, own, data.classes[:known]), state)
        if folder is not None:
            save_state(state, folder)
            state = load_state(folder)
    assert state is not None
    return state


@pytest.fixture(scope="module")
def learnt(config: PhaseConfig, data: PhaseData) -> LearnerState:
    return dropped(config, data)


def rows(state: LearnerState) -> np.ndarray:
    return state.model.head.embeddings.detach().numpy()


def clusters(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit features (6 * count, 40) of six classes; most of their spread is shared and tells no class from another."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(6, 40))
    labels = np.repeat(np.arange(6), count).astype(np.int64)
    spread = random.normal(size=(len(labels), 40)) * np.where(np.arange(40) < 10, 4.0, 0.6)
    return unit_rows((centres[labels] + spread).astype(np.float32)).astype(np.float32), labels


def test_three_drops_are_learnt_better_than_class_means_tell_them_apart() -> None:
    units, labels = clusters(1, 30)
    asked, truth = clusters(2, 100)
    learnt = learn_rows(load_preset("photo_lucir"), units, labels, labels // 2, (2, 2, 2))
    means = class_means(class_sums(units, labels, 6))
    right = ((asked @ learnt.served.T).argmax(axis=1) == truth).mean()
    by_means = ((asked @ means.T).argmax(axis=1) == truth).mean()
    assert right > by_means + 0.05
    left_out = (left_out_scores(learnt, units, labels).argmax(axis=1) == labels).mean()
    assert abs(left_out - right) < 0.1


@pytest.mark.slow
def test_an_image_is_answered_by_a_head_that_never_saw_it(config: PhaseConfig) -> None:
    units, labels = clusters(3, 7)
    learnt = learn_rows(config, units, labels, labels // 2, (2, 2, 2))
    folds = folds_of(labels)
    for fold in range(FOLDS):
        kept = folds != fold
        without = learn_rows(config, units[kept], labels[kept], labels[kept] // 2, (2, 2, 2))
        np.testing.assert_array_equal(without.served, learnt.folds[fold])


def test_a_balanced_finetune_without_the_exemplars_that_it_needs_is_refused(
    config: PhaseConfig, data: PhaseData
) -> None:
    silent = dataclasses.replace(config, replay=False)
    with pytest.raises(
        ConfigError, match=r"balanced fine-tune \(cbf.enabled\) learns from exemplars of earlier phases"
    ):
        dropped(silent, data)
    unbalanced = dataclasses.replace(silent, cbf=dataclasses.replace(silent.cbf, enabled=False))
    assert dropped(unbalanced, data).phase_sizes == (2, 1, 2)


def test_a_replay_is_what_the_phases_gave_one_by_one(learnt: LearnerState) -> None:
    replayed = with_head(learnt)
    np.testing.assert_array_equal(rows(replayed), rows(learnt))
    np.testing.assert_array_equal(present(replayed.features).folds, present(present(learnt.features).folds))
    assert replayed.calibration == learnt.calibration
    assert replayed.eta == pytest.approx(learnt.eta)


@pytest.mark.slow
def test_a_learner_that_was_stopped_after_every_phase_ends_the_same(
    config: PhaseConfig, data: PhaseData, learnt: LearnerState, tmp_path: Path
) -> None:
    resumed = dropped(config, data, tmp_path)
    np.testing.assert_array_equal(rows(resumed), rows(learnt))
    assert resumed.calibration == learnt.calibration


@pytest.mark.slow
def test_deleted_images_and_a_removed_class_leave_nothing(
    config: PhaseConfig, data: PhaseData, learnt: LearnerState
) -> None:
    doomed = [0, 9, 17, 33]
    kept = np.setdiff1d(np.arange(len(data.labels)), doomed)
    never = dropped(config, dataclasses.replace(data, images=data.images[kept], labels=data.labels[kept]))
    forgotten = forget_images(learnt, [image_digest(data.images[row]) for row in doomed])
    np.testing.assert_allclose(rows(forgotten), rows(never), atol=1e-6)
    np.testing.assert_allclose(forgotten.prototypes.numpy(), never.prototypes.numpy(), atol=1e-6)
    without = data.labels != 2
    labels = np.where(data.labels > 2, data.labels - 1, data.labels)[without]
    small = PhaseData(data.images[without], labels, ("ant", "bee", "dog", "elk"))
    state = run_phase(config, dataclasses.replace(small, images=small.images[labels < 2], labels=labels[labels < 2],
                                                  classes=("ant", "bee")), None)  # fmt: skip
    state = run_phase(config, dataclasses.replace(small, images=small.images[labels >= 2], labels=labels[labels >= 2]),
                      state)  # fmt: skip
    removed = remove_class(learnt, "cat")
    np.testing.assert_allclose(rows(removed), rows(state), atol=1e-6)
    assert removed.eta == pytest.approx(state.eta)


def test_serving_sees_the_features_and_cosines_that_were_learnt(
    data: PhaseData, learnt: LearnerState, tmp_path: Path
) -> None:
    export_onnx(learnt, tmp_path / "model.onnx")
    check = compare_onnx(learnt, tmp_path / "model.onnx", data.images)
    assert (check.top1_disagreements, check.max_cosine_difference < 1e-5) == (0, True)
    session = open_session(tmp_path / "model.onnx")
    features, cosines = session.run(["features", "cosines"], {"images": data.images[:8]})
    np.testing.assert_array_equal(features, present(learnt.features).features[:8])
    np.testing.assert_allclose(cosines, unit_rows(features) @ rows(learnt).T, atol=1e-5)


def test_more_images_of_known_classes_move_their_rows_in_the_fine_tune_alone(
    config: PhaseConfig, data: PhaseData, learnt: LearnerState
) -> None:
    again = PhaseData(np.flip(data.images[:8], axis=2).copy(), data.labels[:8], CLASSES)
    state = run_phase(config, again, learnt)
    assert state.phase_sizes == (2, 1, 2, 0)
    assert np.abs(rows(state) - rows(learnt)).max() > 1e-6
    untuned = load_preset("photo_lucir", {**_changes(config), "cbf.enabled": False})
    np.testing.assert_array_equal(rows(run_phase(untuned, again, learnt)), rows(learnt))


def test_a_class_of_one_image_is_learnt_and_not_counted(config: PhaseConfig, data: PhaseData) -> None:
    chosen = np.concatenate([np.flatnonzero(data.labels == 0), np.flatnonzero(data.labels == 1)[:1]])
    state = run_phase(config, PhaseData(data.images[chosen], data.labels[chosen], CLASSES[:2]), None)
    assert np.isfinite(rows(state)).all()
    assert present(present(state.features).answers).served.tolist()[-1] == -1


def test_what_does_not_go_with_a_frozen_backbone_is_named() -> None:
    for overrides in ({"imprint": False}, {"head": "linear"}, {"method": "der"}):
        with pytest.raises(ConfigError, match="frozen"):
            load_preset("photo_lucir", overrides)


def _changes(config: PhaseConfig) -> dict[str, object]:
    return {name: getattr(config, name) for name in ("network", "weights", "size", "resize", "exemplars_per_class")}
