"""What LUCIR promises about a phase, on tiny images."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from lucir_core.data.phase_data import ImageSet
from lucir_core.errors import ConfigError
from lucir_core.methods.lucir import Lucir, incremental_loss
from lucir_core.models.features import extract_features
from lucir_core.phase import Progress, run_phase
from lucir_core.state import LearnerState
from lucir_core.testing import synthetic_phase, tiny_config
from lucir_core.training.phase_run import PhaseRun
from tests.support.learning.tiny import learnt, run_of, short_config, weights_equal

TwoPhases = tuple[LearnerState, LearnerState]


def second_phase(first: LearnerState, overrides: dict[str, Any] | None = None) -> LearnerState:
    config = tiny_config({"epochs": 2, **(overrides or {})})
    return run_phase(config, synthetic_phase({3: 12, 4: 12}, 5), first, seed=1)


def test_old_rows_are_bit_identical_after_a_phase_and_the_rest_moves(two_phases: TwoPhases) -> None:
    first = two_phases[0]
    second = second_phase(first)
    assert torch.equal(second.model.head.old, first.model.head.embeddings)
    before, after = first.model.state_dict(), second.model.state_dict()
    for name in ("backbone.conv1.weight", "backbone.bn1.weight", "backbone.bn1.running_mean", "head.eta"):
        assert not torch.equal(before[name], after[name]), name


def test_the_previous_state_is_left_as_it_was(two_phases: TwoPhases) -> None:
    first = two_phases[0]
    before = copy.deepcopy(first.model)
    second_phase(first)
    assert weights_equal(first.model, before)


def test_without_freezing_old_rows_move(two_phases: TwoPhases) -> None:
    second = second_phase(two_phases[0], {"freeze_old": False})
    assert not torch.equal(second.model.head.old, two_phases[0].model.head.embeddings)


def test_balanced_finetune_moves_both_kinds_of_rows_and_nothing_else(two_phases: TwoPhases) -> None:
    first = two_phases[0]
    plain = second_phase(first).model.state_dict()
    tuned = second_phase(first, {"cbf.enabled": True, "cbf.epochs": 2}).model.state_dict()
    moved = {name for name in plain if not torch.equal(plain[name], tuned[name])}
    assert moved == {"head.old", "head.new"}
    new_only = second_phase(first, {"cbf.enabled": True, "cbf.train": "new_embeddings"}).model.state_dict()
    assert {name for name in plain if not torch.equal(plain[name], new_only[name])} == {"head.new"}
    everything = second_phase(first, {"cbf.enabled": True, "cbf.train": "everything"}).model.state_dict()
    assert not torch.equal(plain["backbone.bn1.running_mean"], everything["backbone.bn1.running_mean"])


def test_seeds_decide_and_the_global_generator_does_not(two_phases: TwoPhases) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = second_phase(two_phases[0])
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert weights_equal(second_phase(two_phases[0]).model, one.model)


def begun(first: LearnerState, overrides: dict[str, Any] | None = None) -> PhaseRun:
    return run_of(tiny_config(overrides), first, synthetic_phase({3: 12, 4: 12}, 5), Lucir(), seed=1, lambda_=6.0)


def test_imprinting_means_are_of_normalised_features_of_new_images_only(two_phases: TwoPhases) -> None:
    run = begun(two_phases[0])
    means = run.new_class_means()
    data = synthetic_phase({3: 12, 4: 12}, 5)
    with torch.no_grad():
        features = two_phases[0].model.features(torch.from_numpy(data.images).permute(0, 3, 1, 2))
    for row, label in enumerate((3, 4)):
        expected = functional.normalize(features[torch.from_numpy(data.labels == label)], dim=1).mean(dim=0)
        torch.testing.assert_close(means[row], expected)


def terms(run: PhaseRun) -> dict[str, float]:
    """Of all images at once."""
    run.model.eval()
    images = run.images.gather(torch.arange(39)).permute(0, 3, 1, 2)
    return {name: term.value.item() for name, term in incremental_loss(run)(images, run.images.labels).items()}


def test_the_ranking_term_does_not_know_eta(two_phases: TwoPhases) -> None:
    # A margin that no cosine can satisfy, so that the term is never zero.
    run = begun(two_phases[0], {"margin": 2.0})
    before = terms(run)
    with torch.no_grad():
        run.model.get_parameter("head.eta").mul_(3.0)
    after = terms(run)
    assert after["margin_ranking"] == before["margin_ranking"] > 0
    assert after["cross_entropy"] != before["cross_entropy"]


def test_the_less_forget_term_starts_at_zero(two_phases: TwoPhases) -> None:
    assert terms(begun(two_phases[0]))["less_forget"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({}, {"cross_entropy", "less_forget", "margin_ranking"}),
        ({"ranking_weight": 0.0}, {"cross_entropy", "less_forget"}),
        ({"ranking_weight": 0.0, "less_forget": False, "score_mimic": True}, {"cross_entropy", "score_mimic"}),
        ({"less_forget": False}, {"cross_entropy", "margin_ranking"}),
        ({"ranking_against": "any"}, {"cross_entropy", "less_forget", "margin_ranking"}),
    ],
)
def test_ablations_choose_the_terms(two_phases: TwoPhases, overrides: dict[str, Any], expected: set[str]) -> None:
    assert set(terms(begun(two_phases[0], overrides))) == expected


def test_the_teacher_keeps_its_statistics_and_takes_no_gradient(two_phases: TwoPhases) -> None:
    run = begun(two_phases[0])
    assert run.teacher is not None
    before = copy.deepcopy(run.teacher)
    Lucir().learn(run)
    assert weights_equal(run.teacher, before)
    assert not run.teacher.training
    assert not any(parameter.requires_grad for parameter in run.teacher.parameters())


def test_reports_carry_losses_eta_lambda_and_a_rising_ratio(two_phases: TwoPhases) -> None:
    seen: list[Progress] = []
    config = tiny_config({"epochs": 3, "cbf.enabled": True, "cbf.epochs": 2})
    run_phase(config, synthetic_phase({3: 12, 4: 12}, 5), two_phases[0], seed=1, report=seen.append)
    assert [(p.stage, p.epoch, p.epochs) for p in seen] == [
        ("main", 1, 3), ("main", 2, 3), ("main", 3, 3), ("balanced", 1, 2), ("balanced", 2, 2)
    ]  # fmt: skip
    ratios = [p.ratio for p in seen]
    assert ratios == sorted(ratios)
    assert ratios[-1] == 1.0
    assert set(seen[0].losses) == {"cross_entropy", "less_forget", "margin_ranking", "total"}
    assert seen[0].lambda_ == pytest.approx(5 * (3 / 2) ** 0.5)
    assert seen[0].eta is not None
    weighted = seen[0].losses["cross_entropy"] + seen[0].losses["margin_ranking"]
    assert seen[0].losses["total"] == pytest.approx(weighted + seen[0].lambda_ * seen[0].losses["less_forget"])


@pytest.mark.parametrize(
    "without", [{"less_forget": False}, {"lucir.boost": {"enabled": True, "epochs": 1, "compression_epochs": 1}}]
)
def test_no_lambda_is_reported_where_nothing_has_that_weight(two_phases: TwoPhases, without: dict[str, object]) -> None:
    seen: list[Progress] = []
    config = tiny_config({"epochs": 1, "milestones": [], **without})
    state = run_phase(config, synthetic_phase({3: 12, 4: 12}, 5), two_phases[0], seed=1, report=seen.append)
    assert {each.lambda_ for each in seen} | {state.lambda_} == {None}
    assert all("less_forget" not in each.losses for each in seen)


def test_lucir_refuses_the_linear_head() -> None:
    with pytest.raises(ConfigError, match="cosine head"):
        run_phase(tiny_config({"head": "linear"}), synthetic_phase({0: 4, 1: 4}, 2), None)


def test_prototypes_are_those_of_the_final_model(two_phases: TwoPhases) -> None:
    state = two_phases[1]
    images = state.exemplars.decode_all(16)
    data = ImageSet([images, images[:, :, ::-1]], [np.tile(state.exemplars.labels, 2)], torch.device("cpu"))
    features = functional.normalize(extract_features(state.model, data, torch.arange(len(data)), 16), dim=1)
    owners = data.labels
    for label in range(5):
        mean = features[owners == label].mean(dim=0)
        torch.testing.assert_close(state.prototypes[label], mean / mean.norm(), atol=1e-5, rtol=1e-4)


def test_eta_stays_in_the_balanced_stage_whatever_it_trains() -> None:
    config = short_config("lucir", cbf={"enabled": True, "epochs": 2, "train": "everything"})
    seen: list[Progress] = []
    run_phase(config, synthetic_phase({3: 12, 4: 12}, 5), learnt("lucir")[0], seed=1, report=seen.append)
    before = [progress.eta for progress in seen if progress.stage == "main"][-1]
    assert [progress.eta for progress in seen if progress.stage == "balanced"] == [before, before]
