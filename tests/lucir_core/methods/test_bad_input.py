"""Unusual and wrong input, over all methods: the documented behaviour, or a clear error and the last good state."""

import copy
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lucir_core.bench.datasets.dataset import Dataset, Split
from lucir_core.bench.protocol import Protocol
from lucir_core.bench.run_protocol import run_benchmark
from lucir_core.bench.spec import RunSpec
from lucir_core.errors import ConfigError, DataError, DeviceMemoryError, DivergedError
from lucir_core.methods import METHODS
from lucir_core.phase import Progress, run_phase
from lucir_core.state import load_state
from lucir_core.testing import synthetic_images, synthetic_phase, tiny_config
from lucir_core.training.step import Step
from tests.support.learning.tiny import learnt, second_phase, short_config, weights_equal

EVERY = METHODS.names()


def second_labels(method: str, new: Mapping[int, int]) -> dict[int, int]:
    """Images by label of a phase after three known classes; joint is given the known ones too."""
    return {**(dict.fromkeys(range(3), 12) if method == "joint" else {}), **new}


@pytest.mark.parametrize("method", EVERY)
def test_one_new_class_of_one_image_with_more_rivals_asked_for_than_there_are(method: str) -> None:
    config = short_config(method, top_k=4)
    state = run_phase(config, synthetic_phase(second_labels(method, {3: 1}), 4), learnt(method)[0], seed=1)
    assert state.phase_sizes == (3, 1)
    assert state.exemplars.counts().tolist() == [5, 5, 5, 1]
    assert all(value.isfinite().all() for value in state.model.state_dict().values())


@pytest.mark.parametrize("method", EVERY)
def test_fewer_images_than_exemplars_keeps_all_of_them(method: str) -> None:
    config = short_config(method, exemplars_per_class=50)
    first = run_phase(config, synthetic_phase({0: 6, 1: 4}, 2), None, seed=1)
    labels = {**({0: 6, 1: 4} if method == "joint" else {}), 2: 3}
    second = run_phase(config, synthetic_phase(labels, 3), first, seed=1)
    assert second.exemplars.counts().tolist() == [6, 4, 3]
    # The same images, however often they came: the old ones and the three new ones.
    assert set(first.exemplars.pngs) <= set(second.exemplars.pngs)


@pytest.mark.parametrize("method", EVERY)
def test_a_phase_zero_of_a_single_class(method: str) -> None:
    state = run_phase(short_config(method), synthetic_phase({0: 6}, 1), None, seed=1)
    assert state.model.class_count == 1
    assert all(value.isfinite().all() for value in state.model.state_dict().values())


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.filterwarnings("ignore:overflow")
def test_a_diverging_phase_is_named_and_leaves_state_and_resume_file(method: str, tmp_path: Path) -> None:
    before = copy.deepcopy(learnt(method)[0].model)
    config = short_config(method, lr=1e25, weight_decay=10.0, epochs=6)
    with pytest.raises(DivergedError, match=r"diverged in stage (main|warmup), epoch \d of \d: .*lower lr"):
        run_phase(config, second_phase(method), learnt(method)[0], seed=1, resume=tmp_path / "resume")
    assert weights_equal(learnt(method)[0].model, before)


@pytest.mark.parametrize(("decay", "what"), [(1e20, "weights"), (1.0, "prototypes")])
@pytest.mark.parametrize("method", ["lucir", "icarl"])
@pytest.mark.filterwarnings("ignore:overflow")
def test_a_last_step_that_diverges_is_noticed_without_another_loss(method: str, decay: float, what: str) -> None:
    config = short_config(method, lr=1e30, weight_decay=decay, epochs=1, batch_size=64)
    with pytest.raises(DivergedError, match=f"the {what} are NaN or infinite; lower lr"):
        run_phase(config, synthetic_phase({0: 12, 1: 12}, 2), None)


def test_what_was_saved_before_the_loss_became_nan_is_finite_and_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lucir_core.training.checkpoint.WRITING_SHARE", 1e9)  # saves after every epoch
    seen: list[tuple[str, int]] = []

    def poison(progress: Progress) -> None:
        seen.append((progress.stage, progress.epoch))
        if seen[-1] == ("main", 2):
            monkeypatch.setattr(
                "lucir_core.methods.lucir.cross_entropy_loss", lambda logits, labels: logits.sum() * float("nan")
            )

    first, resume = learnt("lucir")[0], tmp_path / "resume"
    learn = partial(run_phase, short_config("lucir"), second_phase("lucir"), first, seed=1, resume=resume)
    with pytest.raises(DivergedError, match=r"stage main, epoch 3 of 3: cross_entropy = nan"):
        learn(report=poison)
    monkeypatch.undo()
    again: list[tuple[str, int]] = []
    state = learn(report=lambda progress: again.append((progress.stage, progress.epoch)))
    assert again[0] == ("main", 3)
    assert weights_equal(state.model, learnt("lucir")[1].model)


@pytest.mark.parametrize("method", EVERY)
def test_out_of_memory_names_the_batch_size_and_keeps_the_last_state(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(step: Step, *arguments: Any) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore advice.")

    before = copy.deepcopy(learnt(method)[0].model)
    with monkeypatch.context() as patched:
        patched.setattr(Step, "__call__", full)
        with pytest.raises(DeviceMemoryError, match=r"lower batch_size \(it is 16\).*Tried to allocate 2.00 GiB.\)$"):
            run_phase(short_config(method), second_phase(method), learnt(method)[0], seed=1, resume=tmp_path / "resume")
    assert weights_equal(learnt(method)[0].model, before)


def test_out_of_memory_in_a_later_stage_goes_on_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, resume = learnt("lucir")[0], tmp_path / "resume"
    learn = partial(run_phase, short_config("lucir"), second_phase("lucir"), first, seed=1, resume=resume)

    def herd(*arguments: Any) -> np.ndarray:
        raise torch.OutOfMemoryError("out of memory")

    with monkeypatch.context() as patched:
        patched.setattr("lucir_core.memory.exemplars.herd", herd)
        with pytest.raises(DeviceMemoryError):
            learn()
    seen: list[str] = []
    state = learn(report=lambda progress: seen.append(progress.stage))
    assert set(seen) == {"balanced"}
    assert weights_equal(state.model, learnt("lucir")[1].model)


@pytest.mark.parametrize("method", EVERY)
def test_a_memory_smaller_than_the_number_of_classes_is_refused_before_training(method: str) -> None:
    config = short_config(method, exemplars_per_class=None, memory_total=4)
    with pytest.raises(ConfigError, match="memory_total is 4 for 5 classes: give at least one exemplar per class"):
        run_phase(config, second_phase(method), learnt(method)[0], report=lambda _: pytest.fail("training has begun"))


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_benchmark_run_that_diverges_keeps_its_finished_phases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.concatenate([synthetic_images(label, 6, 0, 12) for label in range(4)])
    split = Split(images, np.repeat(np.arange(4), 6))
    settings = {
        "network": "resnet8",
        "size": 12,
        "resize": 12,
        "batch_size": 8,
        "epochs": 1,
        "milestones": [],
        "exemplars_per_class": 2,
        "augment.crop_padding": 1,
    }
    spec = RunSpec("tiny", Protocol("custom", (2, 2), (2, 0, 3, 1)), "lucir", "cifar100", settings)
    dataset = Dataset("tiny", split, split, ("a", "b", "c", "d"))
    with monkeypatch.context() as patched:
        # Phase 0 has a loss of its own.
        patched.setattr("lucir_core.methods.lucir.less_forget_loss", lambda new, old: new.sum() * float("inf"))
        with pytest.raises(DivergedError, match="less_forget"):
            run_benchmark(spec, dataset, tmp_path)
    assert not list(tmp_path.glob("*.json"))
    assert load_state(tmp_path / "work" / spec.name / "phase-0").phase == 0
    assert run_benchmark(spec, dataset, tmp_path).is_file()


def test_one_image_that_shrinks_to_one_pixel_is_named() -> None:
    config = tiny_config(
        {"network": "resnet18", "size": 32, "resize": 32, "method": "finetune", "epochs": 1, "milestones": []}
    )
    first = run_phase(config, synthetic_phase({0: 4, 1: 4}, 2, side=32), None)
    with pytest.raises(DataError, match=r"1 image\(s\) in batches of 16.*give at least 2 images"):
        run_phase(config, synthetic_phase({2: 1}, 3, side=32), first)
