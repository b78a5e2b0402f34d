import math

import numpy as np
import pytest
import torch

from lucir_core.errors import ConfigError
from lucir_core.methods import create_method
from lucir_core.methods.der import auxiliary_head, auxiliary_targets, branched, der_loss, draw_rows
from lucir_core.models.heads import LinearHead
from lucir_core.phase import Progress, run_phase
from lucir_core.testing import synthetic_phase
from tests.support.learning.tiny import (
    about_to_learn,
    learnt,
    second_phase,
    short_config,
    some_images,
    weights_equal,
)


def test_frozen_branches_keep_weights_and_statistics() -> None:
    first, second = (branched(state.model) for state in learnt("der"))
    assert (len(first.branches), len(second.branches)) == (1, 2)
    assert weights_equal(second.branches[0], first.branches[0])
    assert not weights_equal(second.branches[1], first.branches[0])


def test_a_new_branch_starts_as_the_newest_one() -> None:
    previous = learnt("der")[1].model
    model = create_method("der").start(short_config("der"), previous, 5, 1, seed=2)
    branches = branched(model).branches
    assert len(branches) == 3
    assert weights_equal(branches[2], branched(previous).branches[1])
    assert len(branched(previous).branches) == 2


def test_features_are_those_of_all_branches_side_by_side() -> None:
    model = learnt("der")[1].model
    pixels = some_images() * model.scale + model.shift
    expected = torch.cat([branch(pixels) for branch in branched(model).branches], dim=1)
    torch.testing.assert_close(model.features(some_images()), expected)
    assert model.feature_dim == model.head.old.shape[1] == 128


def test_the_head_is_fresh_has_no_bias_and_no_row_of_before() -> None:
    head = about_to_learn("der").model.head
    assert (head.old.shape, head.new.shape) == ((3, 128), (2, 128))
    for state in learnt("der"):
        assert not state.model.head.bias.any()
    wide = LinearHead(4096, 20, 20)
    draw_rows(wide, torch.Generator().manual_seed(1))
    assert wide.embeddings.std().item() == pytest.approx(1 / math.sqrt(4096), rel=0.01)


def test_every_old_class_is_target_zero_of_the_auxiliary_head() -> None:
    assert auxiliary_targets(torch.tensor([0, 1, 2, 3, 4, 0]), 3).tolist() == [0, 0, 0, 1, 2, 0]


def test_the_auxiliary_loss_by_a_loop() -> None:
    run, labels = about_to_learn("der"), torch.tensor([0, 1, 2, 3, 4, 3, 4, 0])
    run.model.eval()
    run.model.auxiliary = auxiliary_head(run, branched(run.model).newest)
    terms = der_loss(run)(some_images(), labels)
    total = 0.0
    for image, label in zip(some_images(), labels.tolist(), strict=True):
        feature = run.model.features(image[None])[0, 64:]
        scores = [(feature @ row).item() for row in run.model.auxiliary.weight]
        target = {3: 1, 4: 2}.get(label, 0)
        total += math.log(sum(map(math.exp, scores))) - scores[target]
    assert terms["auxiliary"].value.item() == pytest.approx(total / 8, rel=1e-4)
    assert terms["auxiliary"].weight == 1.0


def test_the_auxiliary_head_is_gone_after_the_phase() -> None:
    state = learnt("der")[1]
    assert state.model.auxiliary is None
    assert not [name for name in state.model.state_dict() if "auxiliary" in name]


def test_the_classifier_stage_divides_logits_by_the_temperature() -> None:
    run, labels = about_to_learn("der"), torch.tensor([0, 1, 2, 3, 4, 3, 4, 0])
    run.model.eval()
    expected = torch.nn.functional.cross_entropy(run.model(some_images()).logits / 5, labels)
    torch.testing.assert_close(der_loss(run, 5.0)(some_images(), labels)["cross_entropy"].value, expected)


def test_the_classifier_stage_moves_the_head_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lucir_core.methods.der._classifier_stage", lambda run, start: None)
    without = run_phase(short_config("der"), second_phase("der"), learnt("der")[0], seed=1)
    assert weights_equal(without.model.backbone, learnt("der")[1].model.backbone)
    assert not weights_equal(without.model.head, learnt("der")[1].model.head)


def test_stages() -> None:
    seen: list[Progress] = []
    run_phase(short_config("der"), second_phase("der"), learnt("der")[0], report=seen.append)
    assert [progress.stage for progress in seen] == ["warmup", "main", "main", "classifier", "classifier"]
    assert "auxiliary" in seen[2].losses
    assert "auxiliary" not in seen[3].losses


def test_one_backbone_too_many_is_refused_and_the_state_stays() -> None:
    config = short_config("der", der={"max_backbones": 2})
    state = learnt("der")[1]
    with pytest.raises(ConfigError, match=r"2 backbones and der\.max_backbones is 2: raise it"):
        run_phase(config, synthetic_phase({5: 12}, 6), state)
    assert len(branched(state.model).branches) == 2


def test_without_new_classes_no_branch_is_added() -> None:
    before = branched(learnt("der")[1].model)
    state = run_phase(short_config("der"), synthetic_phase({0: 6, 3: 6}, 5, seed=2), learnt("der")[1])
    after = branched(state.model)
    assert len(after.branches) == 2
    assert weights_equal(after.branches[0], before.branches[0])
    assert not weights_equal(after.branches[1], before.branches[1])


def test_milestones_count_from_the_end_of_the_warm_up() -> None:
    changes = {"warmup_epochs": 2, "classifier_epochs": 1, "classifier_milestones": []}
    run = about_to_learn("der", epochs=5, milestones=[2], der=changes)
    create_method("der").learn(run)
    rates = [(epoch.stage, round(epoch.lr / run.config.lr, 3)) for epoch in run.history[:5]]
    assert rates == [("warmup", 0.5), ("warmup", 1.0), ("main", 1.0), ("main", 1.0), ("main", 0.1)]


def test_the_classifier_stage_sees_as_many_as_the_memory_held_before_the_cut() -> None:
    run = about_to_learn("der", exemplars_per_class=None, memory_total=15)
    create_method("der").learn(run)
    assert np.bincount(run.labels[run.checkpoint.facts["balanced_subset"]]).tolist() == [5] * 5
    assert np.bincount(run.labels[run.exemplars()]).tolist() == [3] * 5


def test_the_classifier_stage_starts_uniform() -> None:
    head = LinearHead(64, 30, 20)
    draw_rows(head, torch.Generator().manual_seed(3), uniform=True)
    assert 0.12 < head.embeddings.abs().max().item() <= 0.125
    assert head.embeddings.std().item() == pytest.approx(0.125 / 3**0.5, rel=0.05)
