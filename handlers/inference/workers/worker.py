"""What a worker process is told, through its environment and its version's folder. Standard library only."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
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

OPTIONS_VARIABLE: Final = "LUCIR_WORKER_OPTIONS"
"""JSON: the fields of ``WorkerOptions``."""


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """The settings of the tree that a worker uses."""

    limits: Limits = field(default_factory=Limits)
    top_k: int = 5
    threads: int = 1
    rules: CopyRules = field(default_factory=CopyRules)
    unsure: UnsureRules = field(default_factory=UnsureRules)

    def to_environment(self) -> dict[str, str]:
        """The variable that ``read_options`` reads."""
        return {OPTIONS_VARIABLE: json.dumps(asdict(self), default=str)}


def read_options(environment: Mapping[str, str]) -> WorkerOptions:
    """What ``WorkerOptions.to_environment`` wrote; the defaults where it is not there."""
    if OPTIONS_VARIABLE not in environment:
        return WorkerOptions()
    told = json.loads(environment[OPTIONS_VARIABLE])
    folder = Path(told["unsure"].pop("folder"))
    return WorkerOptions(
        Limits(**told["limits"]),
        told["top_k"],
        told["threads"],
        CopyRules(**told["rules"]),
        UnsureRules(folder, **told["unsure"]),
    )
