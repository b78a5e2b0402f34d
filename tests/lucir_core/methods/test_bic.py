import math

import numpy as np
import pytest
import torch

from lucir_core.errors import ConfigError
from lucir_core.methods import create_method
from lucir_core.methods.bic import _correct, bic_loss, fit_correction, split_validation
from lucir_core.phase import run_phase
from lucir_core.testing import synthetic_phase
from tests.support.learning.tiny import about_to_learn, learnt, second_phase, short_config, some_images


def test_a_correction_touches_only_the_newest_group() -> None:
    state = learnt("bic")[1]
    head, features = state.model.head, state.model.features(some_images())
    raw = features @ torch.cat([head.old, head.new]).t() + head.bias
    scale, offset = head.correction.tolist()
    assert (scale, offset) != (1.0, 0.0)
    corrected = head(features).logits
    torch.testing.assert_close(corrected[:, :3], raw[:, :3])
    torch.testing.assert_close(corrected[:, 3:], scale * raw[:, 3:] + offset)


def test_the_teacher_corrects_its_newest_group_and_the_student_none() -> None:
    state = learnt("bic")[1]
    student = create_method("bic").start(short_config("bic"), state.model, 5, 1, seed=3)
    assert student.head.correction.tolist() == [1.0, 0.0]
    assert state.model.head.correction.tolist() != [1.0, 0.0]
    raw = state.model.features(some_images()) @ student.head.old.t() + student.head.bias[:5]
    difference = (state.model(some_images()).logits - raw).abs()
    assert difference[:, :3].max() < 1e-5
    assert difference[:, 3:].min() > 1e-4


def test_phase_zero_is_not_corrected() -> None:
    assert learnt("bic")[0].model.head.correction.tolist() == [1.0, 0.0]


def test_stage_two_leaves_network_and_statistics_as_stage_one_left_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lucir_core.methods.bic._correct", lambda run, held_out: None)
    uncorrected = run_phase(short_config("bic"), second_phase("bic"), learnt("bic")[0], seed=1).model.state_dict()
    corrected = learnt("bic")[1].model.state_dict()
    assert any(name.endswith("running_mean") for name in corrected)
    changed = {name for name, value in corrected.items() if not torch.equal(value, uncorrected[name])}
    assert changed == {"head.correction"}


def test_a_tenth_of_the_exemplars_is_held_out_and_as_many_of_every_new_class() -> None:
    run = about_to_learn("bic")
    training, held_out = split_validation(run)
    assert sorted([*training, *held_out]) == list(range(len(run.labels)))
    assert np.bincount(run.labels[held_out]).tolist() == [1] * 5
    run = about_to_learn("bic", bic={"validation_share": 0.4})
    again, held_out = split_validation(run)
    assert np.bincount(run.labels[held_out]).tolist() == [2] * 5
    assert not np.array_equal(training, again)
    assert np.array_equal(split_validation(run)[1], held_out)


def test_a_single_exemplar_stays_in_training() -> None:
    config = short_config("bic", exemplars_per_class=1)
    first = run_phase(config, synthetic_phase({0: 12, 1: 12}, 2), None)
    second = run_phase(config, synthetic_phase({2: 12}, 3), first)
    assert second.model.head.correction.tolist() == [1.0, 0.0]


def test_weights_are_shares_of_classes() -> None:
    run = about_to_learn("bic")
    assert run.teacher is not None
    terms = bic_loss(run, run.teacher)(some_images(), torch.tensor([0, 1, 2, 3, 4, 3, 4, 0]))
    assert terms["distillation"].weight == pytest.approx(3 / 5)
    assert terms["cross_entropy"].weight == pytest.approx(2 / 5)


def objective(pair: tuple[float, float], logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Balanced cross-entropy with the penalty, by loops; two old classes, one new."""
    per_class: dict[int, list[float]] = {}
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        row[2] = pair[0] * row[2] + pair[1]
        per_class.setdefault(label, []).append(math.log(sum(map(math.exp, row))) - row[label])
    return sum(sum(losses) / len(losses) for losses in per_class.values()) / len(per_class) + 0.05 * pair[1] ** 2


def test_the_fit_is_the_minimum_of_the_published_objective() -> None:
    random = torch.Generator().manual_seed(4)
    labels = torch.arange(60) % 3
    labels[50:] = 0
    logits = torch.randn(60, 3, generator=random) + 1.5 * torch.nn.functional.one_hot(labels, 3)
    logits[:, 2] = 3 * logits[:, 2] + 4
    scale, offset = fit_correction(logits, labels, 2, 0.1)
    best = objective((scale, offset), logits, labels)
    for step in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01), (0.01, 0.01), (-0.01, 0.01)):
        assert objective((scale + step[0], offset + step[1]), logits, labels) > best
    assert offset < 0
    assert 0 < scale < 1


def test_without_new_classes_the_correction_stays() -> None:
    state = run_phase(short_config("bic"), synthetic_phase({0: 6, 3: 6}, 5, seed=2), learnt("bic")[1])
    assert torch.equal(state.model.head.correction, learnt("bic")[1].model.head.correction)
    assert len(state.model.head.new) == 2


def test_replay_is_needed() -> None:
    with pytest.raises(ConfigError, match="replay"):
        run_phase(short_config("bic", replay=False), second_phase("joint"), None)


def test_a_correction_that_reverses_the_new_classes_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    run = about_to_learn("bic", epochs=12, milestones=[])
    create_method("bic").learn(run)
    run.model.head.correction.copy_(torch.tensor([1.0, 0.0]))
    # The two new classes exchanged: the best scale is below 0.
    run.labels = np.array([{3: 4, 4: 3}.get(label, label) for label in run.labels.tolist()])
    _correct(run, np.arange(len(run.labels)))
    assert run.model.head.correction.tolist() == [1.0, 0.0]
    assert "would reverse the new classes" in caplog.text
