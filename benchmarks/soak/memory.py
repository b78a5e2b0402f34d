"""Resident memory of a stack's processes, by role: sampled, judged, drawn."""

import re
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tools.processes import process_tree

ROLES = {
    "TorchServe frontend": "ModelServer",
    "TorchServe worker": "model_service_worker",
    "learning child": r"handlers\.updater\.training",
    "updater": r"-m handlers\.updater$",
    "lucir up": r"handlers\.cli\.main up",
}


@dataclass
class Memory:
    """Resident memory by role of the processes of a stack, sampled while it lives."""

    pid: int
    """Of ``lucir up``."""
    samples: list[tuple[float, dict[str, int]]] = field(default_factory=list)
    """(seconds since the start, bytes by role)"""
    _stop: threading.Event = field(default_factory=threading.Event)

    def begin(self) -> None:
        """Sample once a second, in a thread."""
        threading.Thread(target=self._sample_always, daemon=True).start()

    def end(self) -> None:
        """Stop sampling."""
        self._stop.set()

    def _sample_always(self) -> None:
        started = time.monotonic()
        while not self._stop.wait(1.0):
            living: dict[int, tuple[str, int]] = {}
            parents: dict[int, int] = {}
            for process in process_tree(self.pid):
                try:
                    role = role_of(process)
                    if role is not None:
                        living[process.pid] = (role, process.memory_info().rss)
                        parents[process.pid] = process.ppid()
                except psutil.Error:
                    continue
            found: dict[str, int] = {}
            for pid, (role, size) in living.items():
                if living.get(parents[pid], ("", 0))[0] != role:  # else a fork that has not begun its own program yet
                    found[role] = found.get(role, 0) + size
            self.samples.append((round(time.monotonic() - started, 1), found))


def role_of(process: psutil.Process) -> str | None:
    """The role of a process by its command line; None for the guards around it."""
    words = " ".join(process.cmdline())
    if "guard" in words:
        return None
    return next((role for role, pattern in ROLES.items() if re.search(pattern, words)), None)


def flatness(samples: list[tuple[float, dict[str, int]]], role: str) -> dict[str, int] | None:
    """The highest resident memory in the second and in the last quarter of the time, in bytes."""
    quarter = len(samples) // 4
    early = [found[role] for _, found in samples[quarter : 2 * quarter] if role in found]
    late = [found[role] for _, found in samples[-quarter:] if role in found]
    return {"second_quarter": max(early), "last_quarter": max(late)} if early and late else None


def plot(samples: list[tuple[float, dict[str, int]]], path: Path) -> None:
    """Resident memory over time, a line for each role."""
    figure = Figure(figsize=(10, 4.5), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for role in ROLES:
        values = [found.get(role, float("nan")) / 2**20 for _, found in samples]
        axes.plot([second / 60 for second, _ in samples], values, label=role, linewidth=1.4)
    axes.set(xlabel="minutes", ylabel="resident memory, MiB", title="Memory by process over the soak", ylim=(0, None))
    axes.grid(color="#e3e7ea")
    figure.legend(loc="outside lower center", frameon=False, ncols=len(ROLES))
    figure.savefig(path)
