"""What a worker process is told, through its environment and its version's folder. Standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from handlers.inference.image_limits import Limits
from handlers.inference.sessions.copy_choice import CopyRules
from handlers.labelling.unsure_images import UnsureRules

NOTHING_LEARNT_FILE: Final = "nothing_learnt.json"
"""Stands in the folder of version 0 instead of a model: ``{"error": "..."}`` is the answer to every request."""

CLOSING_VARIABLE: Final = "LUCIR_CLOSING_MARKER"
"""Names the file that is there in the last moments of the server (``handlers.torchserve.frontend.drain``)."""

CLOSING: Final = "this server is stopping: send the request again, to another server or when this one is back"
"""Answered with 503, after which TorchServe closes the connection. After 200 it never does, whatever the headers of a
handler say, and a client that keeps its connection would lose the request that meets the end of the server."""

# The names by which handlers.settings knows the same values, so that a worker and its stack cannot disagree.
_TOP_K: Final = "LUCIR_SERVING__TOP_K"
_THREADS: Final = "LUCIR_SERVING__THREADS"
_COPIES: Final = "LUCIR_SERVING__COPIES"
_MOST_CHANGES: Final = "LUCIR_SERVING__COPY_MAX_CHANGES"
_MOST_CHANGE: Final = "LUCIR_SERVING__COPY_MAX_PROBABILITY_CHANGE"
_MAX_BYTES: Final = "LUCIR_IMAGES__MAX_BYTES"
_MAX_PIXELS: Final = "LUCIR_IMAGES__MAX_PIXELS"
_MIN_SIDE: Final = "LUCIR_IMAGES__MIN_SIDE"


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """The settings of the tree that a worker uses."""

    limits: Limits = field(default_factory=Limits)
    top_k: int = 5
    threads: int = 1
    rules: CopyRules = field(default_factory=CopyRules)
    unsure: UnsureRules = field(default_factory=UnsureRules)

    def to_environment(self) -> dict[str, str]:
        """The variables that ``read_options`` reads."""
        return {
            _TOP_K: str(self.top_k),
            _THREADS: str(self.threads),
            _COPIES: "auto" if self.rules.auto else "off",
            _MOST_CHANGES: str(self.rules.most_changes),
            _MOST_CHANGE: str(self.rules.most_change),
            _MAX_BYTES: str(self.limits.max_bytes),
            _MAX_PIXELS: str(self.limits.max_pixels),
            _MIN_SIDE: str(self.limits.min_side),
            **self.unsure.to_environment(),
        }


def read_options(environment: Mapping[str, str]) -> WorkerOptions:
    """The options in ``environment``, with defaults for what it lacks. Raises ``ValueError`` for a wrong number."""
    default = WorkerOptions()
    return WorkerOptions(
        limits=Limits(
            max_bytes=int(environment.get(_MAX_BYTES, default.limits.max_bytes)),
            max_pixels=int(environment.get(_MAX_PIXELS, default.limits.max_pixels)),
            min_side=int(environment.get(_MIN_SIDE, default.limits.min_side)),
        ),
        top_k=int(environment.get(_TOP_K, default.top_k)),
        threads=int(environment.get(_THREADS, default.threads)),
        rules=CopyRules(
            auto=environment.get(_COPIES, "auto") == "auto",
            most_changes=float(environment.get(_MOST_CHANGES, default.rules.most_changes)),
            most_change=float(environment.get(_MOST_CHANGE, default.rules.most_change)),
        ),
        unsure=UnsureRules.read(environment),
    )
