"""A frozen backbone whose last stages are refined: what changes, what must not, and what is said of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lucir_core.config.phase_config import PhaseConfig, load_preset
from lucir_core.data.phase_data import PhaseData
from lucir_core.edit.edit_state import rename_class
from lucir_core.errors import ConfigError, DataError, DeviceMemoryError
from lucir_core.frozen.extraction import FeatureExtractor
from lucir_core.models.model import create_model
from lucir_core.phase import Progress, run_phase
from lucir_core.refine import maps
from lucir_core.refine.backbone_parts import split_backbone
from lucir_core.refine.held_back import held_back_by
from lucir_core.refine.maps import spread_over_classes
from lucir_core.refine.refinement import Refined, refine_state
from lucir_core.state import LearnerState, load_state, save_state
from lucir_core.training.step import Step
from tests.support.learning.refined import (
    SIDE,
    digit_images,
    digit_phase,
    drawn_weights,
    frozen_config,
    frozen_overrides,
)
from tests.support.learning.tiny import weights_equal
from tests.support.present import present


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> PhaseConfig:
    return frozen_config(drawn_weights(tmp_path_factory.mktemp("weights") / "drawn.safetensors"))


@pytest.fixture(scope="module")
def data() -> PhaseData:
    return digit_phase(range(10), 24)


@pytest.fixture(scope="module")
def frozen(config: PhaseConfig, data: PhaseData) -> LearnerState:
    return run_phase(config, data, None)


@pytest.fixture(scope="module")
def refined(config: PhaseConfig, data: PhaseData, frozen: LearnerState) -> Refined:
    return refine_state(config, data, frozen)


def right(state: LearnerState) -> float:
    """Share of images that nobody has ever shown it."""
    images, labels = digit_images(range(10), 30, first=100)
    features = FeatureExtractor(state.model, SIDE)(images)
    answers = state.model.head(torch.from_numpy(features)).logits.argmax(dim=1).numpy()
    return float((answers == labels).mean())


@pytest.mark.slow
def test_it_is_surely_better_and_is_so_on_fresh_images(frozen: LearnerState, refined: Refined) -> None:
    found = refined.comparison
    assert found.is_surely_better, str(found)
    assert right(refined.state) > right(frozen) + 0.05
    assert refined.state.phase_sizes == frozen.phase_sizes


def test_the_frozen_part_and_the_state_before_stay_to_the_bit(
    config: PhaseConfig, data: PhaseData, frozen: LearnerState, refined: Refined
) -> None:
    (front, last), (old_front, old_last) = (
        split_backbone(state.model.backbone, config.refine.stages) for state in (refined.state, frozen)
    )
    assert weights_equal(front, old_front)
    assert not weights_equal(last, old_last)
    for name, value in last.state_dict().items():
        if "running" in name or "tracked" in name:
            assert torch.equal(value, old_last.state_dict()[name]), f"{name}: statistics are fixed"
    assert weights_equal(frozen.model, run_phase(config, data, None).model)


def test_no_image_that_decides_is_learnt_from(config: PhaseConfig, data: PhaseData, refined: Refined) -> None:
    memory = present(refined.state.features)
    seen, served = present(memory.seen), present(memory.answers).served
    held_back = held_back_by(memory.digests, config.refine.validation_share)
    assert held_back.sum() == refined.comparison.images
    np.testing.assert_array_equal(seen, ~held_back)
    assert seen.sum() == refined.learnt_from
    # What it says of an image that it was trained on is no figure to show.
    assert set(served[seen]) == {-1}
    assert (served[held_back] >= 0).all()
    assert present(refined.state.calibration).images == refined.comparison.images


@pytest.mark.slow
def test_other_images_held_back_leave_the_same_weights(
    config: PhaseConfig, data: PhaseData, frozen: LearnerState, refined: Refined
) -> None:
    """Whatever the images that decide look like, the backbone does not know."""
    held_back = held_back_by(present(frozen.features).digests, config.refine.validation_share)
    images = data.images.copy()
    images[held_back, 0, 0, 0] ^= 1
    changed = replace(data, images=images)
    again = run_phase(config, changed, None)
    kept = held_back_by(present(again.features).digests, config.refine.validation_share) & held_back
    # Those that another content has made learnable are left out of both.
    rows = ~held_back | kept
    few = PhaseData(images[rows], data.labels[rows], data.classes)
    other = refine_state(config, few, run_phase(config, few, None))
    assert weights_equal(other.state.model.backbone, refined.state.model.backbone)


@pytest.mark.slow
def test_a_cut_off_training_goes_on_to_the_same_weights(
    config: PhaseConfig, data: PhaseData, frozen: LearnerState, refined: Refined, tmp_path: Path
) -> None:
    def killed(progress: Progress) -> None:
        if (progress.stage, progress.epoch) == ("main", 5):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refine_state(config, data, frozen, report=killed, resume=tmp_path / "resume")
    told: list[Progress] = []
    again = refine_state(config, data, frozen, report=told.append, resume=tmp_path / "resume")
    assert weights_equal(again.state.model, refined.state.model)
    assert min(each.epoch for each in told if each.stage == "main") > 1, "it began anew"
    assert not (tmp_path / "resume").exists()
    ratios = [each.ratio for each in told]
    assert ratios == sorted(ratios)
    assert ratios[-1] == 1.0


def test_what_is_saved_is_learnt_on_with_the_refined_backbone(
    config: PhaseConfig, refined: Refined, tmp_path: Path
) -> None:
    save_state(refined.state, tmp_path)
    read = load_state(tmp_path)
    assert weights_equal(read.model, refined.state.model)
    more = digit_phase(range(3), 8, first=60, known=10)
    after = run_phase(config, more, rename_class(rename_class(read, "3", "drei"), "drei", "3"))
    assert weights_equal(after.model.backbone, refined.state.model.backbone)
    assert present(present(after.features).seen).tolist()[-24:] == [False] * 24, "what comes later is honest again"
    assert present(after.calibration).images == refined.comparison.images + 24


def test_images_that_are_gone_or_too_few_are_named(config: PhaseConfig, data: PhaseData, frozen: LearnerState) -> None:
    with pytest.raises(DataError, match="1 of 240 learnt images are gone"):
        refine_state(config, PhaseData(data.images[1:], data.labels[1:], data.classes), frozen)
    strange = data.images.copy()
    strange[0] ^= 1
    with pytest.raises(DataError, match="1 of 240 learnt images are gone, or are read otherwise"):
        refine_state(config, PhaseData(strange, data.labels, data.classes), frozen)
    few = digit_phase(range(2), 5)
    with pytest.raises(DataError, match="at least 10 are needed: drop more images"):
        refine_state(config, few, run_phase(config, few, None))
    with pytest.raises(ConfigError, match="this backbone has 3 stages"):
        refine_state(replace(config, refine=replace(config.refine, stages=4)), data, frozen)


def test_a_device_without_memory_left_is_told_with_the_settings_of_the_refinement(
    config: PhaseConfig, data: PhaseData, frozen: LearnerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(step: Step, *arguments: Any) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(Step, "__call__", full)
    with pytest.raises(DeviceMemoryError, match=r"refine.batch_size \(it is 32\) or refine.stages \(it is 2\)"):
        refine_state(config, data, frozen)


def test_maps_take_bounded_room(
    config: PhaseConfig, data: PhaseData, frozen: LearnerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_map = 16 * 32 * 32 * 2
    monkeypatch.setattr(maps, "MOST_BYTES", 60 * one_map)
    short = replace(config, refine=replace(config.refine, views=3, steps=1, balanced_steps=0))
    assert refine_state(short, data, frozen).learnt_from == 60


def test_few_images_are_spread_over_the_classes() -> None:
    labels = np.array([0] * 2 + [1] * 50 + [2] * 50)
    chosen = spread_over_classes(labels, 22)
    assert np.bincount(labels[chosen]).tolist() == [2, 10, 10]
    assert spread_over_classes(labels, 500).tolist() == list(range(102))


@pytest.mark.parametrize("network", ["resnet8", "resnet18", "resnet18_cifar", "efficientnet_lite0"])
def test_both_parts_of_a_backbone_are_the_backbone(network: str) -> None:
    model = create_model(load_preset("photo", {"network": network, "weights": None, "size": 32, "resize": 32}), 1)
    backbone = model.backbone.eval()
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    for stages in (1, 3):
        front, last = split_backbone(backbone, stages)
        with torch.no_grad():
            assert torch.equal(last(front(images)), backbone(images))
        assert {id(one) for one in (*front.parameters(), *last.parameters())} == set(map(id, backbone.parameters()))


@pytest.mark.slow
def test_lucirs_own_head_is_made_anew_on_the_refined_features(config: PhaseConfig) -> None:
    short = {"epochs": 15, "cbf": {"epochs": 5, "milestones": [3]}, "lr": 0.5, "margin": 0.3}
    weights = Path(config.weights or "")
    lucir = load_preset("photo_lucir", frozen_overrides(weights) | short)
    first = run_phase(lucir, digit_phase(range(6), 24), None)
    images, labels = digit_images(range(10), 24)
    rest = labels > 5
    both = run_phase(lucir, PhaseData(images[rest], labels[rest], tuple(map(str, range(10)))), first)
    made = refine_state(lucir, digit_phase(range(10), 24), both)
    assert made.comparison.is_surely_better
    memory = present(made.state.features)
    assert memory.folds is not None
    assert memory.phases.tolist() == [0] * 144 + [1] * 96, "each image keeps the phase that it came with"
    assert right(made.state) > right(both)
