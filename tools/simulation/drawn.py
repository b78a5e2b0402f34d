"""What a history draws before it begins: the faults of its store, and the settings of its processes."""

from functools import lru_cache
from pathlib import Path
from random import Random

from handlers.settings import RetentionSettings, Settings
from lucir_core.config.phase_config import PhaseConfig, load_preset
from tools.simulation.bucket import Faults
from tools.simulation.disk import ROOT

FROZEN = 1 / 3
"""How often a service has a frozen backbone, which is refined when nothing waits; else provisional versions, maybe."""
WORKERS = (1, 2, 2, 5)
"""Of an engine, by how likely each number is: with many, some are there while others begin."""
ENGINES = ("torchserve", "torchserve", "uvicorn")
"""In the second kind versions do not take over inside workers: each has its own, and becomes the default."""
LEASE_SECONDS = 3.0
"""Shorter than a pause may be, and longer than most are."""
FORGETFUL, KEPT_SECONDS = 0.15, (3.0, 15.0)
"""How often originals and documents are kept for some seconds only, and for how many."""
MOST_IMAGES, LEAST_IMAGES, KEPT_VERSIONS = (200_000, 4), (1, 1, 3), (2, 2, 3)
"""Of an update, of a class, and of the past."""


def drawn_faults(draw: Random) -> Faults:
    """Of the store, and of the processes that call it."""
    conditional = draw.random() >= 0.1
    return Faults(
        lost=draw.choice([0, 0.01, 0.05]),
        doubled=draw.choice([0, 0.05]),
        crash=draw.choice([0, 0.002, 0.01]),
        pause=draw.choice([0, 0.003, 0.01]),
        conditional=conditional,
        conditional_deletions=conditional and draw.random() < 0.5,
        stale_listings=draw.random() < 0.2,
        atomic_moves=draw.random() < 0.5,
        frozen_clock=draw.random() < 0.5,
    )


def drawn_retention(draw: Random) -> RetentionSettings:
    """Mostly nothing is removed for its age."""
    kept = quick(frozen=False).retention
    if draw.random() >= FORGETFUL:
        return kept
    days = draw.uniform(*KEPT_SECONDS) / 86_400
    return kept.model_copy(update=dict.fromkeys(("archive_days", "rejected_days", "record_days"), days))


def drawn_settings(draw: Random, retention: RetentionSettings, *, frozen: bool) -> Settings:
    """What may be another each time that a process begins."""
    made = quick(frozen=frozen)
    changed = {
        "updater": {"max_images_per_update": draw.choice(MOST_IMAGES), "min_images": draw.choice(LEAST_IMAGES)},
        "learning": {"imprint_first": not frozen and draw.random() < 0.5}
        | ({"refine": draw.choice(("on", "on", "off"))} if frozen else {}),
        "serving": {"workers": draw.choice(WORKERS), "engine": draw.choice(ENGINES)},
    }
    parts = {name: getattr(made, name).model_copy(update=values) for name, values in changed.items()}
    kept = retention.model_copy(update={"keep_versions": draw.choice(KEPT_VERSIONS)})
    return made.model_copy(update={**parts, "retention": kept})


@lru_cache
def config_of(frozen: bool) -> PhaseConfig:
    """Of which the resize counts, and whether the backbone is frozen."""
    learning = quick(frozen=frozen).learning
    return load_preset(learning.preset, learning.overrides)


@lru_cache
def quick(*, frozen: bool) -> Settings:
    """Everything quick; with a backbone that is frozen, and refined when nothing waits, or is trained in each phase."""
    return Settings.model_validate(
        {
            "data": Path(ROOT),
            "images": {"min_side": 1},
            "updater": {
                "settle_seconds": 0.5,
                "min_images": 1,
                "poll_seconds": 0.5,
                "pointer_seconds": 0.5,
                "lease_seconds": LEASE_SECONDS,
                "hints": False,
            },
            "learning": {
                "preset": "photo" if frozen else "digits",
                "overrides": {"network": "resnet8", "weights": None, "size": 32, "resize": 32} if frozen else {},
                "refine": "on" if frozen else "off",
                "device": "cpu",
            },
            "retention": {"keep_versions": 2, "keep_days": 0},
            "serving": {"copies": "off"},
            "gate": {"max_old_accuracy_loss": 1.0, "min_new_accuracy": 0.0},
        }
    )
