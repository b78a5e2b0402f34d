"""What the reconciler reports: the state after a step, and each version that took over or failed to."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from handlers.inference.sessions.copy_choice import Choice

Phase = Literal["unreachable", "starting", "draining", "serving", "failed"]


@dataclass(frozen=True, slots=True)
class SwapResult:
    """A version took over, or failed to. ``seconds`` count from when it was first wanted."""

    version: int
    previous: int | None
    seconds: float
    result: Literal["success", "failure"]
    message: str = ""


@dataclass(frozen=True, slots=True)
class ServingState:
    """What a step found and left. ``served`` is confirmed by the inference port; 0 is "nothing learnt yet".

    ``failed`` means that the wanted version does not work and ``served``, if any, is an older one. ``stale``: the
    pointer could not be read, and ``wanted`` is what it last said.
    """

    wanted: int | None
    served: int | None
    phase: Phase
    message: str = ""
    stale: bool = False
    copy: Choice | None = None
    """Which copy of the served version's network answers, where the engine chose among some."""

    @property
    def busy(self) -> bool:
        """Whether the next step should follow soon."""
        return self.phase in ("unreachable", "starting", "draining")


def describe_copy(choice: Choice | None) -> dict[str, Any] | None:
    """A choice in JSON values, for a status."""
    return None if choice is None else asdict(choice)
