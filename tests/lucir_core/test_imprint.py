"""The provisional state: old classes answer as before, new ones by their mean features."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from lucir_core.data.augment import centre_crop
from lucir_core.data.phase_data import PhaseData
from lucir_core.errors import ConfigError, DataError, StateError
from lucir_core.export.onnx_export import compare_onnx, export_onnx, predict
from lucir_core.imprint import imprint_phase
from lucir_core.methods.lucir import cosine_head
from lucir_core.phase import run_phase
from lucir_core.state import LearnerState, load_state, save_state
from lucir_core.testing import synthetic_phase, tiny_config
from tests.support.learning.tiny import weights_equal

TwoPhases = tuple[LearnerState, LearnerState]


@pytest.fixture
def first(two_phases: TwoPhases) -> LearnerState:
    """Three classes."""
    return two_phases[0]


@pytest.fixture
def drop() -> PhaseData:
    """Two new classes, and a few images of a known one."""
    return synthetic_phase({1: 6, 3: 20, 4: 8}, 5)


@torch.no_grad()
def unit_features(state: LearnerState, images: np.ndarray) -> np.ndarray:
    features = state.model.features(centre_crop(torch.from_numpy(images), state.config.size)).numpy()
    return np.asarray(features / np.linalg.norm(features, axis=1, keepdims=True))


def test_new_rows_are_the_mean_features_as_long_as_the_old_ones(first: LearnerState, drop: PhaseData) -> None:
    state = imprint_phase(first.config, drop, first, seed=7)
    before, head = cosine_head(first.model), cosine_head(state.model)
    assert torch.equal(head.old, before.embeddings)
    assert torch.equal(head.eta, before.eta)
    length = np.linalg.norm(before.embeddings.detach().numpy(), axis=1).mean()
    for row, label in zip(head.new.detach().numpy(), (3, 4), strict=True):
        mean = unit_features(first, drop.images[drop.labels == label]).mean(axis=0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean) * length, rtol=1e-4, atol=1e-6)


def test_old_classes_answer_as_before_and_new_ones_are_known(first: LearnerState, drop: PhaseData) -> None:
    state = imprint_phase(first.config, drop, first)
    test = synthetic_phase(dict.fromkeys(range(5), 10), 5, seed=99)
    images = torch.from_numpy(test.images).permute(0, 3, 1, 2)
    before, after = predict(first, images), predict(state, images)
    for readout in (1, 2):
        torch.testing.assert_close(after[readout][:, :3], before[readout])
        right = after[readout].argmax(dim=1).numpy() == test.labels
        assert right[test.labels >= 3].mean() > 0.8


def test_exemplars_and_prototypes(first: LearnerState, drop: PhaseData) -> None:
    state = imprint_phase(first.config, drop, first)
    assert state.classes == drop.classes
    assert (state.phase, state.phase_sizes, state.old_count) == (1, (3, 2), 3)
    assert state.exemplars.counts().tolist() == [5] * 5
    assert state.exemplars.pngs[:15] == first.exemplars.pngs
    assert torch.equal(state.prototypes[:3], first.prototypes)
    for label in (3, 4):
        kept = np.stack([state.exemplars.decode(int(index)) for index in state.exemplars.indices_of(label)])
        mine = drop.images[drop.labels == label]
        assert all((mine == image).all(axis=(1, 2, 3)).any() for image in kept)
        both = unit_features(first, kept) + unit_features(first, kept[:, :, ::-1].copy())
        expected = both.sum(axis=0) / np.linalg.norm(both.sum(axis=0))
        np.testing.assert_allclose(state.prototypes[label].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_fixed_memory_is_shared_by_more_classes(first: LearnerState, drop: PhaseData) -> None:
    config = tiny_config({"exemplars_per_class": None, "memory_total": 10})
    state = imprint_phase(config, drop, first)
    assert state.exemplars.counts().tolist() == [2] * 5
    assert [state.exemplars.pngs[2 * label] for label in range(3)] == [first.exemplars.pngs[5 * i] for i in range(3)]


def test_the_state_can_be_saved_exported_and_learnt_from(first: LearnerState, drop: PhaseData, tmp_path: Path) -> None:
    before = copy.deepcopy(first.model)
    state = imprint_phase(first.config, drop, first)
    save_state(state, tmp_path)
    loaded = load_state(tmp_path)
    export_onnx(loaded, tmp_path / "model.onnx")
    check = compare_onnx(state, tmp_path / "model.onnx", drop.images)
    assert check.top1_disagreements == 0
    assert check.max_cosine_difference < 1e-4
    quick = tiny_config({"epochs": 1})
    assert run_phase(quick, synthetic_phase({5: 12}, 6), loaded).phase_sizes == (3, 2, 1)
    assert weights_equal(first.model, before)


def test_what_cannot_be_imprinted(first: LearnerState, drop: PhaseData) -> None:
    with pytest.raises(DataError, match="needs a new class"):
        imprint_phase(first.config, synthetic_phase({1: 6}, 3), first)
    with pytest.raises(DataError, match="'class-4' has no image"):
        imprint_phase(first.config, synthetic_phase({3: 6}, 5), first)
    with pytest.raises(StateError, match="must begin with the 3 known classes"):
        imprint_phase(first.config, PhaseData(drop.images, drop.labels, ("x", *drop.classes[1:])), first)
    with pytest.raises(ConfigError, match="network is 'resnet14'"):
        imprint_phase(tiny_config({"network": "resnet14"}), drop, first)
    linear = tiny_config({"method": "icarl", "epochs": 1})
    learnt = run_phase(linear, synthetic_phase({0: 4, 1: 4, 2: 4}, 3), None)
    with pytest.raises(ConfigError, match="needs the cosine head"):
        imprint_phase(linear, drop, learnt)
