"""Each switch of `lucir` beyond its paper: what it changes, what it leaves alone, and that it resumes exactly."""

import copy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from lucir_core.config.phase_config import load_preset, preset_names
from lucir_core.errors import ConfigError
from lucir_core.methods.channel_importance import channel_importance, importance_term
from lucir_core.methods.lucir import cosine_head, first_phase_loss, incremental_loss
from lucir_core.methods.lucir_boost import Pair, boost_loss, compression_loss
from lucir_core.phase import run_phase
from lucir_core.state import load_state, save_state
from lucir_core.training.checkpoint import Checkpoint
from tests.support.learning.tiny import (
    about_to_learn,
    first_phase,
    killed_again_and_again,
    learnt,
    second_phase,
    short_config,
    some_images,
    weights_equal,
)
from tests.support.present import present

BOOST = {"enabled": True, "epochs": 2, "compression_epochs": 2}
SWITCHES: dict[str, dict[str, Any]] = {
    "importance": {"lucir": {"importance": 4.0}},
    "separated softmax": {"lucir": {"separated_softmax": True}},
    "boost": {"lucir": {"boost": BOOST}},
    "transport": {"nme_transport": 0.5},
    "all": {"lucir": {"importance": 4.0, "separated_softmax": True, "boost": BOOST}, "nme_transport": 0.5},
}
LABELS = torch.tensor([0, 3, 1, 4, 2, 3, 0, 4])


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ("all", "transport") else pytest.mark.slow) for name in SWITCHES]
)
def test_a_phase_with_it_killed_in_every_stage_ends_with_the_same_bits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lucir_core.phase.Checkpoint", partial(Checkpoint, writing_share=1e9))
    first, plain = learnt("lucir")
    config = short_config("lucir", **SWITCHES[name])
    whole = run_phase(config, second_phase("lucir"), first, seed=1)
    learn = partial(run_phase, config, second_phase("lucir"), first, seed=1, resume=tmp_path / "resume")
    _, resumed = killed_again_and_again(learn)
    assert weights_equal(resumed.model, whole.model)
    assert torch.equal(resumed.prototypes, whole.prototypes)
    assert weights_equal(whole.model, plain.model) == (name == "transport")
    assert not torch.equal(whole.prototypes, plain.prototypes)
    # What is kept and served has the shape of the plain model.
    assert whole.model.state_dict().keys() == plain.model.state_dict().keys()
    save_state(whole, tmp_path)
    assert weights_equal(load_state(tmp_path).model, whole.model)


def test_decorrelation_acts_in_phase_0_alone() -> None:
    config = short_config("lucir", lucir={"decorrelation": 0.5})
    assert not weights_equal(run_phase(config, first_phase(), None, seed=1).model, learnt("lucir")[0].model)
    again = run_phase(config, second_phase("lucir"), learnt("lucir")[0], seed=1)
    assert weights_equal(again.model, learnt("lucir")[1].model)
    run = about_to_learn("lucir", lucir={"decorrelation": 0.5})
    terms = first_phase_loss(run)(some_images(), LABELS % 2)
    assert terms["decorrelation"].weight == 0.5
    assert terms["decorrelation"].value > 0


def test_the_pair_begins_as_the_classifier_that_the_phase_begins_with() -> None:
    run = about_to_learn("lucir", lucir={"boost": BOOST})
    head = cosine_head(run.model)
    head.imprint(run.new_class_means())
    pair, images = Pair(run.model.eval(), head), some_images()
    assert run.teacher is not None
    logits, alone = pair(run.teacher(images).features, images)
    torch.testing.assert_close(logits, run.model(images).logits)
    torch.testing.assert_close(alone, run.model(images).logits)


def test_boosting_leaves_the_first_backbone_alone_and_compression_the_pair() -> None:
    run = about_to_learn("lucir", lucir={"boost": BOOST})
    run.model.requires_grad_(True)
    pair, images = Pair(copy.deepcopy(run.model), cosine_head(run.model)), some_images()
    terms = boost_loss(run, pair)(images, LABELS)
    assert set(terms) == {"cross_entropy", "enhancement", "distillation"}
    assert all(value.value.isfinite() for value in terms.values())
    (only,) = compression_loss(run, pair, None)(images, LABELS).values()
    only.value.backward()
    assert all(parameter.grad is None for parameter in pair.head.parameters())
    assert all(parameter.grad is None for parameter in run.teacher.parameters())
    assert run.model.backbone.conv1.weight.grad.abs().sum() > 0


def test_importance_is_the_squared_gradient_of_each_channel() -> None:
    run = about_to_learn("lucir", lucir={"importance": 4.0})
    stages = channel_importance(run)
    assert [len(stage) for stage in stages] == [16, 32, 64]
    assert all(stage.mean() == pytest.approx(1.0) and (stage >= 0).all() for stage in stages)
    term = present(importance_term(run))
    terms = incremental_loss(run, term)(some_images(), LABELS)
    # sqrt(5 classes / 2 new ones) times the setting
    assert terms["importance"].weight == pytest.approx(4.0 * 2.5**0.5)
    plain = incremental_loss(run)(some_images(), LABELS)
    assert {*plain, "importance"} == set(terms)
    for name, part in plain.items():
        torch.testing.assert_close(terms[name].value, part.value)
    run.kept[:] = False
    assert all((stage == 1).all() for stage in channel_importance(run))


def test_maps_are_those_that_the_features_come_from() -> None:
    model, images = learnt("lucir")[1].model, some_images()
    output, maps = model.staged(images)
    torch.testing.assert_close(output, model(images))
    torch.testing.assert_close(maps[-1].mean(dim=(2, 3)), output.features)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lucir.boost.epochs": 0}, "lucir.boost.epochs is 0"),
        ({"lucir.boost.beta": 1.0}, "lucir.boost.beta is 1.0"),
        ({"lucir.importance": -1}, "lucir.importance is -1"),
        ({"lucir.decorrelation": -0.5}, "lucir.decorrelation is -0.5"),
        ({"nme_transport": 2}, "nme_transport is 2"),
        ({"lucir.boots.enabled": True}, "unknown key 'lucir.boots'"),
    ],
)
def test_wrong_choices_name_the_value(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_preset("cifar100", settings)


def test_a_frozen_backbone_refuses_what_it_would_ignore() -> None:
    with pytest.raises(ConfigError, match="not a frozen one"):
        load_preset("photo_lucir", {"lucir.separated_softmax": True})


def test_a_network_without_stages_is_refused_for_importance() -> None:
    run = about_to_learn("lucir", lucir={"importance": 1.0})
    assert run.teacher is not None
    run.teacher.backbone = torch.nn.Identity()
    with pytest.raises(ConfigError, match="choose a ResNet for small images"):
        importance_term(run)


def test_they_are_off_in_every_preset_but_lucir_plus() -> None:
    for name in preset_names():
        config = load_preset(name).to_dict()
        beyond = config.get("lucir", {})
        used = config["nme_transport"] or any(
            beyond.get(key) for key in ("decorrelation", "importance", "separated_softmax")
        )
        used = used or beyond.get("boost", {}).get("enabled", False)
        assert bool(used) == (name == "cifar100_lucir_plus"), name
