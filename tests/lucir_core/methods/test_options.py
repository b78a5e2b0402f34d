"""Every setting that all methods share, with every method: refused before anything is trained, or learnt to the end."""

from typing import Any

import pytest
import torch

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.errors import ConfigError
from lucir_core.methods import METHODS
from lucir_core.phase import run_phase
from lucir_core.testing import synthetic_phase, tiny_config

SIDE = 8
TINY = {
    "size": SIDE,
    "resize": SIDE,
    "epochs": 1,
    "milestones": [],
    "exemplars_per_class": 2,
    "cbf": {"epochs": 1, "milestones": []},
    "eeil": {"finetune_epochs": 1, "finetune_milestones": []},
    "der": {"warmup_epochs": 0, "classifier_epochs": 1, "classifier_milestones": []},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "linear head": {"head": "linear"},
    "cosine head": {"head": "cosine"},
    "last relu": {"last_relu": True},
    "no last relu": {"last_relu": False},
    "schedule": {"schedule": "cosine", "initial_epochs": 2, "min_steps": 3},
    "transport": {"nme_transport": 0.5},
    "alignment": {"align_weights": True},
    "replay": {"replay": True},
    "no replay": {"replay": False},
    "no replay, balanced": {"replay": False, "cbf.enabled": True},
    "memory": {"exemplars_per_class": None, "memory_total": 4, "memory_rounding": "ceil", "herding": "official"},
    "prototypes": {"herding_limit": 1, "nme_flip": "channel_reverse"},
    "ablation": {"less_forget": False, "score_mimic": True, "freeze_old": False, "imprint": False},
    "terms": {"lambda_rule": "paper", "lambda_max": 1.0, "ranking_against": "any", "top_k": 5},
    "balanced": {"cbf.enabled": True, "cbf.train": "everything", "distillation.cross_entropy": "new"},
    "augmentation": {"augment.strong": True, "augment.cutout": 3, "augment.random_resized_crop": [0.5, 1.0]},
}
LINEAR = {"icarl", "icarl_original", "lwf", "eeil", "bic", "der"}
REFUSED = {
    "linear head": {"lucir"},
    "cosine head": LINEAR,
    "alignment": {"lucir", "finetune", "joint"},
    "no replay": {"eeil", "bic", "der"},
    "no replay, balanced": {"lucir", "eeil", "bic", "der"},
}
"""Methods by the options that they do not take."""
REFUSED_FOR = {
    "linear head": "needs the cosine head",
    "cosine head": "needs the linear head",
    "alignment": "scales the rows of a linear head",
    "no replay": "learns from exemplars of earlier phases: replay = false leaves it none",
}


def config_with(method: str, option: str) -> PhaseConfig:
    """Raises ConfigError where the values clash as such."""
    return tiny_config({**TINY, "method": method, **OPTIONS[option]})


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("method", METHODS.names())
def test_an_option_is_refused_before_training_or_learns_two_phases(method: str, option: str) -> None:
    first = synthetic_phase({0: 4, 1: 4}, 2, side=SIDE)
    if method in REFUSED.get(option, ()):
        with pytest.raises(ConfigError, match=REFUSED_FOR[option.partition(",")[0]]):
            run_phase(config_with(method, option), first, None, report=lambda _: pytest.fail("training has begun"))
        return
    config = config_with(method, option)
    old = dict.fromkeys(range(2), 4) if method == "joint" else {}
    second = synthetic_phase({**old, 2: 4}, 3, side=SIDE)
    state = run_phase(config, second, run_phase(config, first, None))
    assert state.prototypes.shape == (3, state.model.feature_dim)
    torch.testing.assert_close(state.prototypes.norm(dim=1), torch.ones(3))
    assert all(value.isfinite().all() for value in state.model.state_dict().values())
