"""Which modules a piece of work enters: each function followed once, at its first call, as a reader does.

What every step uses (the store, documents, settings, the lease, status and metrics) is left out: it is read once for
all steps. What is left are the rooms of the work.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

UPDATER = Path(__file__).parents[2] / "handlers" / "updater"
SHARED = (
    "context",
    "leader",
    "status",
    "metrics",
    "errors",
    "pace",
    "service",
    "workflow/runner",
    "workflow/ownership",
)
"""Of the updater's modules and rooms: what all steps share, and what runs them."""


@dataclass(frozen=True)
class Walk:
    """Modules below ``handlers/updater``, without their suffix, in the order in which they are entered."""

    modules: tuple[str, ...]

    @property
    def rooms(self) -> tuple[str, ...]:
        """Of these modules, each as often as it is entered."""
        return tuple(room for room, _ in groupby(module.partition("/")[0] for module in self.modules))

    def text(self) -> str:
        """Rooms with their returns, and the modules of each stay."""
        again = f"{len(self.rooms)} stays in {len(set(self.rooms))} rooms, {returns(self.rooms)} returns"
        modules = f"{len(self.modules)} in {len(set(self.modules))} modules, {returns(self.modules)} returns"
        return f"{' > '.join(self.rooms)} ({again}; {modules})\n  {' > '.join(self.modules)}"


def returns(stays: tuple[str, ...]) -> int:
    """How many of the stays are in a place that was left before."""
    return len(stays) - len(set(stays))


def walked(work: Callable[[], Any]) -> Walk:
    """Do the work and tell its walk; threads that it starts are followed too."""
    seen: set[CodeType] = set()
    entered: list[str] = []

    def look(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code not in seen and not code.co_name.startswith("<"):
            seen.add(code)
            entered.extend(_module(code.co_filename))

    threading.setprofile(look)
    sys.setprofile(look)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return Walk(tuple(module for module, _ in groupby(entered)))


def _module(file: str) -> Iterator[str]:
    """The module's name, where it is one of the work's."""
    path = Path(file)
    if path.suffix == ".py" and path.is_relative_to(UPDATER):
        name = path.relative_to(UPDATER).with_suffix("").as_posix()
        if not any(name == shared or name.startswith(f"{shared}/") for shared in SHARED):
            yield name
