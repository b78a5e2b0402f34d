"""With which preset an update learns: what the settings say, or what a person chose since for all that was learnt."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from handlers.bucket.updates import UpdateRecords
from handlers.settings import LearningSettings
from handlers.updater.context.preset import difference, fitting_preset, missing_weights
from handlers.updater.errors import BlockedError
from lucir_core.config.phase_config import PhaseConfig, load_preset
from lucir_core.errors import ConfigError
from model_store.manifest import Manifest


@dataclass(frozen=True)
class Way:
    """A preset, the values of it that are changed, and the configuration that both make."""

    preset: str
    overrides: Mapping[str, Any]
    config: PhaseConfig

    @classmethod
    def of(cls, preset: str, overrides: Mapping[str, Any]) -> "Way":
        """Raises ``ConfigError``."""
        return cls(preset, overrides, load_preset(preset, overrides))


def find_way(settings: LearningSettings, records: UpdateRecords, served: Manifest | None) -> Way:
    """How to go on from the served version; before the first one, as the settings say.

    Where they do not fit, what a person chose last that does (``lucir relearn --preset``) counts: a service that was
    told so goes on, whatever its settings still name. Raises ``BlockedError`` where nothing fits, and where the weights
    of the first version are missing.
    """
    told = Way.of(settings.preset, settings.overrides)
    if served is None:
        if (missing := missing_weights(told.config)) is not None:
            raise BlockedError(f"the first version cannot be learnt with preset {told.preset}: {missing}")
        return told
    if (reason := difference(told.config, served)) is None:
        return told
    for chosen in reversed(records.presets()):
        try:
            way = Way.of(chosen.preset, chosen.overrides)
        except ConfigError:  # a preset that this release does not have
            continue
        if difference(way.config, served) is None:
            return way
    fitting = fitting_preset(served, settings.overrides)
    back = f"set learning.preset back to {fitting}" if fitting else "set learning.overrides back"
    raise BlockedError(
        f"version {served.version} {reason} (learning.preset): {back}, or let everything be learnt again from the "
        f"archive, while version {served.version} answers, with: lucir relearn --preset {settings.preset}"
    )
