"""What a protocol changes in a method's own training: presets are written for B50, and for full-sized runs.

These changes stand beside `Protocol.settings` and not among them: those are part of what a result says of its protocol,
whatever the method, and results that were made stay the same runs.
"""

from collections.abc import Mapping
from typing import Any

from lucir_core.bench.protocol import EXEMPLARS_PER_CLASS
from lucir_core.config.method_settings import BeyondPaper
from lucir_core.config.phase_config import PhaseConfig

SCALED_BY_METHOD: Mapping[str, Mapping[str, Any]] = {
    "eeil": {"eeil.views": 1, "eeil.finetune_epochs": 6},
    "der": {"der.warmup_epochs": 1},
}
SCALED_BOOST = {"lucir.boost.epochs": 8, "lucir.boost.compression_epochs": 6}
"""170 and 130 beside 160 epochs, beside 8."""


def training_of(protocol: str, config: PhaseConfig) -> dict[str, Any]:
    """By dotted key, the changes of a run whose other settings give `config`.

    `b0`: DER's phase 0 is trained as the later ones are, as its code does in equal steps (its preset's 200 epochs are
    those of half of the classes). `scaled`: phase 0 has no epochs of its own, and what a method does beside its epochs
    is shortened as they are.
    """
    if protocol == "b0":
        return {"initial_epochs": None} if config.method == "der" else {}
    if protocol != "scaled":
        return {}
    boosts = config.method == "lucir" and config.settings_of(BeyondPaper).boost.enabled
    return {
        "initial_epochs": None,
        "initial_milestones": None,
        # As in B50, also where a preset has a memory for a hundred classes.
        "exemplars_per_class": EXEMPLARS_PER_CLASS,
        **SCALED_BY_METHOD.get(config.method, {}),
        # Runs without the boost were made with its published epochs in their settings.
        **(SCALED_BOOST if boosts else {}),
    }
