"""What the process in front of TorchServe is told, as a file: its own command line stays free of TorchServe's."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

ACCESS_PREFIX: Final = "lucir-access "
"""Begins the lines of TorchServe's access log, which are counted and not passed on."""


@dataclass(frozen=True, slots=True)
class FrontendFile:
    """``frontend.json`` in the run folder."""

    command: tuple[str, ...]
    """TorchServe's."""
    management: Path
    """Socket of its management API; the markers of a drain lie beside it."""
    raw_metrics: Path
    """Socket of its own metrics."""
    reports: Path
    """Socket that the workers report their batches to."""
    port: int
    """The inference port."""
    drain_seconds: float
    metrics_host: str
    metrics_port: int

    def write(self, path: Path) -> None:
        """Replace the file at ``path``."""
        path.write_text(json.dumps(asdict(self), default=str, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read it back. Raises ``OSError``, ``ValueError``, ``TypeError`` for a file that ``write`` did not write."""
        values = json.loads(path.read_text(encoding="utf-8"))
        paths = {name: Path(values[name]) for name in ("management", "raw_metrics", "reports")}
        return cls(**{**values, **paths, "command": tuple(values["command"])})
