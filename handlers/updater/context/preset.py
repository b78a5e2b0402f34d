"""Which preset an updater learns with when nobody chose one, and what keeps it from starting with it."""

import logging
from collections.abc import Mapping
from typing import Any

from handlers.settings import Settings
from lucir_core.config.phase_config import PhaseConfig, load_preset, preset_names
from lucir_core.weights import pretrained
from lucir_core.weights.timm_facts import is_timm
from model_store.manifest import Manifest
from model_store.objects import StoreError
from model_store.versions import VersionStore

logger = logging.getLogger(__name__)

AUTO = "auto"
PHOTO, SCRATCH = "photo", "small"
CANDIDATES = ("photo", "small", "photo_scratch", "digits")
FIXED = ("method", "network", "head", "size", "resize", "normalisation")
"""What the phases of one line have in common: a checkpoint fits no other network."""


def resolved(settings: Settings, versions: VersionStore) -> Settings:
    """The settings with the preset filled in."""
    learning = settings.learning
    if learning.preset != AUTO:
        return settings
    chosen = learning.model_copy(update={"preset": _chosen(versions, learning.overrides)})
    return settings.model_copy(update={"learning": chosen})


def difference(config: PhaseConfig, served: Manifest) -> str | None:
    """What keeps ``config`` from going on with a served version, in words; None where nothing does."""
    wanted = config.to_dict()
    for name in FIXED:
        if name in served.config and served.config[name] != wanted[name]:
            return f"was learnt with {name}={served.config[name]}, not {name}={wanted[name]}"
    return None


def fitting_preset(served: Manifest, overrides: Mapping[str, Any]) -> str | None:
    """A preset that, with these overrides, goes on with a served version; None where none does."""
    for name in (*CANDIDATES, *(name for name in preset_names() if name not in CANDIDATES)):
        try:
            config = load_preset(name, overrides)
        except ValueError:  # overrides that do not go with this preset
            continue
        if difference(config, served) is None:
            return name
    return None


def missing_weights(config: PhaseConfig) -> str | None:
    """What is missing on this machine to start from the weights of a configuration, in words; None where nothing is.

    A frozen network of timm without weights would see noise in every image.
    """
    if config.frozen and config.weights is None and is_timm(config.network):
        return f"{config.network} has no weights: name a local file as learning.overrides.weights"
    return pretrained.missing_weights(config.network, config.weights)


def unused_weights(config: PhaseConfig, served: Manifest) -> str | None:
    """Weights that the settings name and that no drop will start from, in words; None where there are none."""
    before = served.config.get("weights")
    if config.weights in (None, before) or difference(config, served) is not None:
        return None
    return (
        f"version {served.version} started from the weights {before}, and goes on from there: {config.weights} is used "
        "by lucir relearn --preset, which learns everything again"
    )


def _chosen(versions: VersionStore, overrides: Mapping[str, Any]) -> str:
    try:
        pointer = versions.current()
        served = versions.manifest(pointer.version) if pointer is not None else None
    except StoreError as error:
        logger.warning("the store cannot be asked what it was learnt with: %s", error)
        served = None
    found = fitting_preset(served, overrides) if served is not None else None
    if found is not None:
        return found
    photo = load_preset(PHOTO, {name: value for name, value in overrides.items() if name in ("network", "weights")})
    if missing_weights(photo) is None:
        return PHOTO
    logger.warning(
        "preset %s cannot start (%s): learning from scratch with preset %s",
        PHOTO,
        missing_weights(photo),
        SCRATCH,
    )
    return SCRATCH
