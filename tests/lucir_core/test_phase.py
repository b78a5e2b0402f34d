"""Phases of every shape, and what each gets: a result, or a clear error and the previous state unharmed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lucir_core.data.phase_data import PhaseData
from lucir_core.errors import ConfigError, DataError, StateError
from lucir_core.export.onnx_export import predict
from lucir_core.imprint import imprint_phase
from lucir_core.phase import run_phase
from lucir_core.state import LearnerState, load_state, save_state
from lucir_core.testing import synthetic_images, synthetic_phase, tiny_config
from tests.support.learning.tiny import weights_equal

TwoPhases = tuple[LearnerState, LearnerState]
QUICK = tiny_config({"epochs": 1})


def accuracy(state: LearnerState, readout: int, labels: list[int]) -> float:
    data = synthetic_phase(dict.fromkeys(labels, 10), len(state.classes), seed=99)
    scores = predict(state, torch.from_numpy(data.images).permute(0, 3, 1, 2))[readout]
    return float((scores.argmax(dim=1).numpy() == data.labels).mean())


def pngs_of(state: LearnerState, label: int) -> list[bytes]:
    return [state.exemplars.pngs[index] for index in state.exemplars.indices_of(label)]


def test_two_phases_are_learnt_and_remembered() -> None:
    config = tiny_config({"epochs": 8, "milestones": [6], "cbf.enabled": True, "cbf.epochs": 10})
    first = run_phase(config, synthetic_phase(dict.fromkeys(range(3), 30), 3), None)
    second = run_phase(config, synthetic_phase(dict.fromkeys((3, 4), 30), 5), first)
    for readout in (0, 2):
        assert accuracy(second, readout, [0, 1, 2]) > 0.8
        assert accuracy(second, readout, [3, 4]) > 0.8


def test_state_after_a_phase(two_phases: TwoPhases) -> None:
    first, second = two_phases
    assert (first.phase, second.phase) == (0, 1)
    assert (first.phase_sizes, second.phase_sizes) == ((3,), (3, 2))
    assert second.classes == tuple(f"class-{i}" for i in range(5))
    assert second.exemplars.counts().tolist() == [5] * 5
    assert second.exemplars.labels.tolist() == sorted(second.exemplars.labels)
    assert second.exemplars.pngs[:15] == first.exemplars.pngs
    torch.testing.assert_close(second.prototypes.norm(dim=1), torch.ones(5))
    assert second.lambda_ == pytest.approx(5 * (3 / 2) ** 0.5)
    assert not second.model.training


def test_a_single_new_class(two_phases: TwoPhases) -> None:
    state = run_phase(QUICK, synthetic_phase({3: 12}, 4), two_phases[0])
    assert state.phase_sizes == (3, 1)
    assert state.lambda_ == pytest.approx(5 * 3**0.5)
    assert run_phase(QUICK, synthetic_phase({0: 8, 3: 8}, 4), two_phases[0]).phase_sizes == (3, 1)


def test_one_image_alone_without_replay_cannot_be_batch_normalised_but_is_learnt(two_phases: TwoPhases) -> None:
    state = run_phase(tiny_config({"epochs": 1, "replay": False}), synthetic_phase({3: 1}, 4), two_phases[0])
    assert all(torch.isfinite(value).all() for value in state.model.state_dict().values())


def test_no_new_class_updates_a_known_one(two_phases: TwoPhases) -> None:
    first = two_phases[0]
    data = synthetic_phase({1: 12}, 3, seed=5)
    state = run_phase(tiny_config({"epochs": 1, "cbf.enabled": True, "cbf.epochs": 1}), data, first)
    assert (state.classes, state.phase_sizes) == (first.classes, (3, 0))
    # One class got images: it counts as the new one.
    assert state.lambda_ == pytest.approx(5 * 3**0.5)
    assert state.exemplars.counts().tolist() == [5, 5, 5]
    positions = state.exemplars.indices_of(1)
    new = {image.tobytes() for image in data.images}
    assert any(state.exemplars.decode(int(i)).tobytes() in new for i in positions)
    assert pngs_of(state, 0) == pngs_of(first, 0)


def test_total_memory_shrinks_old_classes_from_the_tail(two_phases: TwoPhases) -> None:
    first = two_phases[0]
    config = tiny_config({"epochs": 1, "exemplars_per_class": None, "memory_total": 12})
    state = run_phase(config, synthetic_phase({3: 8}, 4), first)
    assert state.exemplars.counts().tolist() == [3] * 4
    for label in range(3):
        assert pngs_of(state, label) == pngs_of(first, label)[:3]


def test_a_memory_map_gives_the_same_result(two_phases: TwoPhases, tmp_path: Path) -> None:
    data = synthetic_phase({3: 10}, 4)
    np.save(tmp_path / "images.npy", data.images)
    mapped = PhaseData(np.load(tmp_path / "images.npy", mmap_mode="r"), data.labels, data.classes)
    one, two = (run_phase(QUICK, given, two_phases[0]).model for given in (data, mapped))
    assert weights_equal(one, two)


def test_stored_images_larger_than_the_network_sees() -> None:
    config = tiny_config({"epochs": 1, "resize": 20, "augment.crop_padding": 0})
    state = run_phase(config, synthetic_phase({0: 6, 1: 6}, 2, side=20), None)
    assert state.exemplars.decode(0).shape == (20, 20, 3)


@pytest.mark.parametrize("method", ["finetune", "joint"])
def test_reference_methods(two_phases: TwoPhases, method: str) -> None:
    config = tiny_config({"method": method, "epochs": 1})
    first = run_phase(config, synthetic_phase({0: 10, 1: 10}, 2), None)
    second = run_phase(config, synthetic_phase({0: 10, 1: 10, 2: 10}, 3), first)
    assert len(second.classes) == 3
    assert second.model.class_count == 3


def test_finetune_trains_on_the_new_images_only_unless_told() -> None:
    results = []
    for replay in (None, False, True):
        config = tiny_config({"method": "finetune", "epochs": 1, "replay": replay})
        first = run_phase(config, synthetic_phase({0: 10, 1: 10}, 2), None)
        results.append(run_phase(config, synthetic_phase({2: 10}, 3), first).model.state_dict()["head.new"])
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_joint_needs_images_of_every_class() -> None:
    config = tiny_config({"method": "joint", "epochs": 1})
    first = run_phase(config, synthetic_phase({0: 4, 1: 4}, 2), None)
    with pytest.raises(DataError, match="'class-0' has no image"):
        run_phase(config, synthetic_phase({2: 4}, 3), first)


TWO = synthetic_images(0, 2)


@pytest.mark.parametrize(
    ("images", "labels", "classes", "message"),
    [
        (TWO, [0, 1], ("a", "b", "a"), "stands twice"),
        (TWO, [0, 2], ("a", "b"), "2 classes"),
        (TWO, [0], ("a",), "labels are a NumPy array of 2 integers, not int64"),
        (torch.from_numpy(TWO), [0, 1], ("a", "b"), "NumPy array of uint8 .*, not a Tensor"),
        (TWO, [0, 0], "a", "a tuple of names"),
        (TWO, [0, 1], (0, 1), "a tuple of names"),
        (TWO.astype(np.float32), [0, 1], ("a", "b"), "uint8"),
        (TWO[:0], [], ("a",), "given none"),
    ],
)
def test_data_is_checked(images: np.ndarray, labels: list[int], classes: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        PhaseData(images, np.array(labels, np.int64), classes)


def test_labels_in_a_list_are_refused_and_classes_in_a_list_are_those_of_the_state(two_phases: TwoPhases) -> None:
    with pytest.raises(DataError, match="labels are a NumPy array of 2 integers, not a list"):
        PhaseData(TWO, [0, 1], ("a", "b"))  # type: ignore[arg-type]  # what a newcomer passes
    data = synthetic_phase({3: 2}, 4)
    listed = PhaseData(data.images, data.labels, list(data.classes))  # type: ignore[arg-type]  # as above
    assert run_phase(QUICK, listed, two_phases[0]).classes == data.classes


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        ({"network": "resnet14"}, ConfigError, "network is 'resnet14', but the previous phases .* with 'resnet8'"),
        ({"method": "finetune"}, ConfigError, "method is 'finetune'"),
        ({"method": "lucirr"}, ConfigError, "did you mean lucir"),
        ({"resize": 24}, DataError, "images are 16x16, resize = 24"),
    ],
)
def test_what_does_not_fit_is_refused(
    two_phases: TwoPhases, overrides: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run_phase(tiny_config({"epochs": 1, **overrides}), synthetic_phase({3: 4}, 4), two_phases[0])


def test_a_head_on_features_does_not_follow_a_network_that_was_trained(two_phases: TwoPhases) -> None:
    """There are no features of the old classes that it could be computed from: it forgot them."""
    frozen = tiny_config({"frozen": True, "size": 32, "resize": 32})
    with pytest.raises(ConfigError, match="frozen is True, but the previous phases were learnt with False"):
        run_phase(frozen, synthetic_phase({3: 4}, 4, side=32), two_phases[0])


@pytest.mark.parametrize("name", ["gpu", "meta", "cuda:99"])
def test_a_device_that_is_not_here_is_named(name: str, two_phases: TwoPhases) -> None:
    data = synthetic_phase({3: 4}, 4)
    for learn in (run_phase, imprint_phase):
        with pytest.raises(ConfigError, match=f"device is '{name}': give one that is here, cpu, cuda or cuda:1"):
            learn(QUICK, data, two_phases[0], device=name)


def test_a_state_is_kept_whatever_kind_of_number_its_seed_is(two_phases: TwoPhases, tmp_path: Path) -> None:
    state = run_phase(QUICK, synthetic_phase({3: 4}, 4), two_phases[0], seed=np.int64(7), resume=str(tmp_path / "r"))  # type: ignore[arg-type]  # NumPy's integers are none for mypy
    save_state(state, str(tmp_path))
    assert load_state(str(tmp_path)).seed == 7
    for seed in (7.0, "7"):
        with pytest.raises(ConfigError, match="it must be a whole number"):
            run_phase(QUICK, synthetic_phase({3: 4}, 4), two_phases[0], seed=seed)  # type: ignore[arg-type]  # the point


def test_another_class_list_is_refused(two_phases: TwoPhases) -> None:
    data = synthetic_phase({3: 4}, 4)
    with pytest.raises(StateError, match="must begin with the 3 known classes"):
        run_phase(QUICK, PhaseData(data.images, data.labels, ("b", "a", "c", "d")), two_phases[0])


def test_a_class_without_images_is_refused(two_phases: TwoPhases) -> None:
    with pytest.raises(DataError, match="'class-4' has no image"):
        run_phase(QUICK, synthetic_phase({3: 4}, 5), two_phases[0])
