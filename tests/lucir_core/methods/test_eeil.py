import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lucir_core.config.phase_config import Augmentation
from lucir_core.data.augment import augment_batch
from lucir_core.losses.distillation import distillation_loss
from lucir_core.methods import create_method
from lucir_core.methods.eeil import eeil_loss, noise_at
from lucir_core.models.model import frozen_copy
from lucir_core.phase import Progress, run_phase
from lucir_core.testing import synthetic_phase
from lucir_core.training.phase_run import PhaseRun
from lucir_core.training.trainer import add_gradient_noise
from tests.support.learning.tiny import about_to_learn, learnt, second_phase, short_config, some_images


def test_earlier_phases_are_distilled_each_for_itself() -> None:
    run, labels = about_to_learn("eeil"), torch.tensor([0, 1, 2, 3, 4, 3, 4, 0])
    run.phase_sizes = (1, 2)
    assert run.teacher is not None
    run.model.eval()
    terms = eeil_loss(run, None)(some_images(), labels)
    ours, theirs = run.model(some_images()).logits, run.teacher(some_images()).logits
    torch.testing.assert_close(terms["distillation"].value, distillation_loss(ours[:, 1:3], theirs[:, 1:]))
    assert set(terms) == {"cross_entropy", "distillation"}


def test_the_fine_tune_holds_new_classes_to_stage_one() -> None:
    run, labels = about_to_learn("eeil"), torch.tensor([0, 1, 2, 3, 4, 3, 4, 0])
    run.model.eval()
    stage_one = frozen_copy(run.model)
    assert eeil_loss(run, stage_one)(some_images(), labels)["new_distillation"].value.item() == pytest.approx(
        0, abs=1e-6
    )
    with torch.no_grad():
        run.model.head.new.mul_(3.0)
    value = eeil_loss(run, stage_one)(some_images(), labels)["new_distillation"].value
    expected = distillation_loss(run.model(some_images()).logits[:, 3:], stage_one(some_images()).logits[:, 3:])
    torch.testing.assert_close(value, expected)
    assert value.item() > 0


def test_the_balanced_subset_has_the_number_before_the_cut_and_the_memory_the_one_after() -> None:
    memory = {"exemplars_per_class": None, "memory_total": 15}
    first = run_phase(short_config("eeil", **memory), synthetic_phase({0: 12, 1: 12, 2: 12}, 3), None, seed=1)
    assert np.bincount(first.exemplars.labels).tolist() == [5, 5, 5]
    run = about_to_learn("eeil", **memory)
    chosen = run.balanced_subset()
    assert np.bincount(run.labels[chosen]).tolist() == [5] * 5
    assert run.kept[chosen][:15].all()
    second = run_phase(short_config("eeil", **memory), second_phase("eeil"), first, seed=1)
    assert np.bincount(second.exemplars.labels).tolist() == [3] * 5


def test_stages_and_views() -> None:
    seen: list[Progress] = []
    config = short_config("eeil", eeil={"views": 3, "finetune_epochs": 1})
    run_phase(config, second_phase("eeil"), learnt("eeil")[0], report=seen.append)
    assert [progress.stage for progress in seen] == ["main"] * 3 + ["balanced"]
    assert "new_distillation" in seen[-1].losses


def test_noise_is_published_scale_over_the_batch() -> None:
    published = [0.205, 0.164, 0.140]
    assert [round(noise_at(0.3, 0, epoch), 3) for epoch in range(3)] == published
    assert noise_at(0.3, 40, 0) == pytest.approx(0.3 / math.exp(0.55 * math.log(42)))
    parameter = nn.Parameter(torch.zeros(200, 200))
    parameter.grad = torch.ones(200, 200)
    add_gradient_noise([parameter, nn.Parameter(torch.zeros(1))], 0.3 / 128, torch.Generator().manual_seed(1))
    assert parameter.grad.mean().item() == pytest.approx(1.0, abs=1e-4)
    assert parameter.grad.std().item() == pytest.approx(0.3 / 128, rel=0.02)


def test_a_step_adds_noise_for_its_own_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    deviations: list[float] = []
    monkeypatch.setattr(
        "lucir_core.training.trainer.add_gradient_noise",
        lambda parameters, deviation, random: deviations.append(deviation),
    )
    config = short_config("eeil", epochs=2, eeil={"gradient_noise": 0.3})
    run_phase(config, synthetic_phase({0: 12, 1: 12}, 2), None)
    expected = [0.3 * epoch**-0.55 / count for epoch in (2, 3) for count in (16, 8)]
    assert deviations == pytest.approx(expected)


def test_tones_are_one_of_nothing_offset_and_contrast() -> None:
    ramp = np.linspace(100, 140, 16 * 16 * 3).reshape(16, 16, 3).astype(np.uint8)
    images = torch.from_numpy(np.repeat(ramp[None], 600, axis=0))
    choice = Augmentation(crop_padding=0, flip=False, offset=63.0, contrast=0.8)
    views = augment_batch(images, 16, choice, torch.Generator().manual_seed(2)).numpy().transpose(0, 2, 3, 1)
    spread = views.std(axis=(1, 2, 3)) / ramp.std()
    shift = views.mean(axis=(1, 2, 3)) - ramp.mean()
    moved, stretched = np.abs(shift) > 1e-3, np.abs(spread - 1) > 1e-4
    assert not (moved & stretched).any()
    assert np.array([moved.mean(), stretched.mean()]) == pytest.approx([1 / 3, 1 / 3], abs=0.06)
    assert 60 < np.abs(shift).max() <= 63.001
    assert 0.2 <= spread.min() < 0.25
    assert 1.75 < spread.max() <= 1.801


def test_the_noise_goes_on_through_the_balanced_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    noise: dict[str, float] = {}
    train = PhaseRun.train

    def spied(run: PhaseRun, name: str, *arguments: Any, gradient_noise: Any, **options: Any) -> None:
        noise[name] = gradient_noise(0)
        train(run, name, *arguments, gradient_noise=gradient_noise, **options)

    monkeypatch.setattr(PhaseRun, "train", spied)
    create_method("eeil").learn(about_to_learn("eeil"))
    assert noise == {"main": pytest.approx(0.3 * 2**-0.55), "balanced": pytest.approx(0.3 * 5**-0.55)}
