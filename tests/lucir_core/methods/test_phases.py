"""What every method must do: two phases, saved and loaded between, killed and resumed, exported."""

from functools import partial
from pathlib import Path

import pytest
import torch

from lucir_core.config.phase_config import load_preset, preset_names
from lucir_core.errors import ConfigError, StateError
from lucir_core.export.onnx_export import compare_onnx, export_onnx
from lucir_core.methods import METHODS
from lucir_core.phase import run_phase
from lucir_core.state import CHECKPOINT, load_state, save_state
from lucir_core.testing import synthetic_phase
from lucir_core.training.checkpoint import Checkpoint
from tests.support.learning.tiny import (
    first_phase,
    killed_again_and_again,
    learnt,
    second_phase,
    short_config,
    weights_equal,
)

EVERY = [pytest.param(name, id=name) for name in METHODS.names()]


@pytest.mark.parametrize("method", EVERY)
def test_a_phase_learns_from_a_state_that_was_saved(method: str, tmp_path: Path) -> None:
    first, second = learnt(method)
    save_state(first, tmp_path)
    again = run_phase(short_config(method), second_phase(method), load_state(tmp_path), seed=1)
    assert weights_equal(again.model, second.model)
    assert torch.equal(again.prototypes, second.prototypes)
    assert again.exemplars.pngs == second.exemplars.pngs
    save_state(second, tmp_path)
    assert weights_equal(load_state(tmp_path).model, second.model)


@pytest.mark.parametrize("method", EVERY)
def test_a_phase_killed_in_any_stage_ends_with_the_same_weights(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "lucir_core.phase.Checkpoint", partial(Checkpoint, writing_share=1e9)
    )  # saves after every epoch
    first, second = learnt(method)
    learn = partial(run_phase, short_config(method), second_phase(method), first, seed=1, resume=tmp_path / "resume")
    seen, resumed = killed_again_and_again(learn, in_last_epochs=True)
    assert weights_equal(resumed.model, second.model)
    assert torch.equal(resumed.prototypes, second.prototypes)
    assert resumed.exemplars.pngs == second.exemplars.pngs
    ratios = [progress.ratio for progress in seen]
    assert ratios == sorted(ratios)
    assert ratios[-1] == pytest.approx(1.0)
    assert not (tmp_path / "resume").exists()


@pytest.mark.parametrize("method", EVERY)
def test_the_exported_model_says_the_same(method: str, tmp_path: Path) -> None:
    images = synthetic_phase(dict.fromkeys(range(5), 6), 5, seed=3).images
    for state in learnt(method):
        export_onnx(state, tmp_path / "model.onnx")
        check = compare_onnx(state, tmp_path / "model.onnx", images)
        assert check.max_cosine_difference < 1e-5
        assert check.max_probability_difference < 1e-5
        assert check.top1_disagreements == 0


@pytest.mark.parametrize("method", [name for name in METHODS.names() if name != "joint"])
def test_a_phase_without_new_classes(method: str) -> None:
    state = run_phase(short_config(method), synthetic_phase({1: 6, 4: 6}, 5, seed=4), learnt(method)[1], seed=1)
    assert (state.classes, state.phase_sizes) == (learnt(method)[1].classes, (3, 2, 0))
    assert not weights_equal(state.model.backbone, learnt(method)[1].model.backbone)


@pytest.mark.parametrize("method", EVERY)
def test_a_checkpoint_of_another_method_is_refused(method: str) -> None:
    other = "icarl" if method != "icarl" else "lwf"
    with pytest.raises(ConfigError, match=f"method is {method!r}.*learnt with {other!r}"):
        run_phase(short_config(method), synthetic_phase(dict.fromkeys(range(5), 12), 5), learnt(other)[0], seed=1)


@pytest.mark.parametrize("method", ["icarl", "icarl_original", "lwf", "eeil", "bic", "der"])
def test_linear_methods_have_their_head_and_refuse_the_other(method: str) -> None:
    assert short_config(method).head == "linear"
    with pytest.raises(ConfigError, match=f"{method} needs the linear head"):
        run_phase(short_config(method, head="cosine"), first_phase(), None)


def test_a_checkpoint_whose_facts_do_not_fit_its_weights_is_refused(tmp_path: Path) -> None:
    save_state(learnt("der")[1], tmp_path)
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes().replace(rb"\"branches\": 2", rb"\"branches\": 3"))
    with pytest.raises(StateError, match="does not fit the network"):
        load_state(tmp_path)


@pytest.mark.parametrize("method", ["icarl", "icarl_original", "lwf", "eeil", "bic", "der"])
def test_every_method_has_its_preset(method: str) -> None:
    assert f"cifar100_{method}" in preset_names()
    config = load_preset(f"cifar100_{method}")
    assert (config.method, config.head) == (method, "linear")


def test_any_preset_takes_another_method() -> None:
    assert load_preset("small", {"method": "bic"}).head == "linear"


def test_weight_alignment_gives_new_rows_the_mean_norm_of_the_old() -> None:
    aligned = run_phase(short_config("icarl", align_weights=True), second_phase("icarl"), learnt("icarl")[0], seed=1)
    plain, head = learnt("icarl")[1].model.head, aligned.model.head
    assert torch.equal(head.old, plain.old)
    norms = [sum(float(row.norm()) for row in rows) / len(rows) for rows in (head.old, head.new)]
    assert norms[0] == pytest.approx(norms[1])
    torch.testing.assert_close(head.new / head.new.norm(), plain.new / plain.new.norm())


def test_weight_alignment_needs_linear_rows() -> None:
    with pytest.raises(ConfigError, match="align_weights"):
        short_config("lucir", align_weights=True)
