"""One JSON file per finished run: written compactly enough to be read and committed, read back with a check."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lucir_core.bench.phase_accuracy import READOUTS
from lucir_core.config.phase_config import config_from_dict
from lucir_core.errors import StateError
from lucir_core.evaluate import average_incremental_accuracy
from lucir_core.files import write_whole
from lucir_core.methods import METHODS

FORMAT = "lucir-bench/1"
NEEDED = (
    "dataset",
    "protocol",
    "method",
    "label",
    "preset",
    "settings",
    "seed",
    "config",
    "data",
    *READOUTS,
    "phases",
)
"""What every result holds, whichever release wrote it."""


def run_result(
    facts: Mapping[str, Any], phases: Sequence[Mapping[str, Any]], pieces: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The content of a result file. facts: the run's settings; pieces: when and where it was carried out."""
    kept = [{**phase, **{readout: _without(phase[readout], "confusion") for readout in READOUTS}} for phase in phases]
    return {
        "format": FORMAT,
        **facts,
        **{readout: _summary([phase[readout] for phase in phases]) for readout in READOUTS},
        "seconds": sum(phase["seconds"] for phase in phases),
        "flops": _total_flops(phases),
        "phases": kept,
        "pieces": list(pieces),
    }


def _total_flops(phases: Sequence[Mapping[str, Any]]) -> float | None:
    """None where a phase has no count."""
    counts = [phase.get("flops") for phase in phases]
    return None if any(count is None for count in counts) else float(sum(counts))  # type: ignore[arg-type]  # no None left


def write_json(path: Path, value: Any) -> None:
    """Write as `write_whole` does, readable for all; lists of plain values stand on one line."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    # No text of JSON holds a line break, so only lists are folded.
    text = re.sub(r"\[\n[^\[\]{}]*?\n\s*\]", lambda match: re.sub(r"\n\s*", " ", match[0]), text)
    write_whole(path, f"{text}\n".encode())
    path.chmod(0o644)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; raises StateError with the reason."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StateError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise StateError(f"{path} is not a JSON object")
    return value


def read_result(path: Path) -> dict[str, Any]:
    """A result as it was written; raises StateError where the file is none, or a part of one."""
    value = read_json(path)
    missing = [key for key in NEEDED if key not in value]
    if value.get("format") != FORMAT or missing:
        raise StateError(
            f"{path} is no whole result of a run ({', '.join(missing) or 'of another format'}): remove it, and "
            "the same command makes it again"
        )
    return value


def read_results(folder: Path) -> list[dict[str, Any]]:
    """All results of `folder`, sorted by file name; other files are left alone. Configurations are completed."""
    if not folder.is_dir():
        raise StateError(f"{folder} is not a folder: give the --output of finished runs")
    paths = [path for path in sorted(folder.glob("*.json")) if read_json(path).get("format") == FORMAT]
    return [with_full_config(read_result(path)) for path in paths]


def with_full_config(facts: Mapping[str, Any]) -> dict[str, Any]:
    """`facts` with the present defaults for settings that its configuration does not name.

    A setting that came after a run was made has the value then that the run was made with. The configuration stays as
    it is where the method's module was not imported. Raises ConfigError where it holds what this version does not know.
    """
    if facts.get("method") not in METHODS.names():
        return dict(facts)
    return {**facts, "config": config_from_dict(facts["config"]).to_dict()}


def _summary(phases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    curve = [phase["all"] for phase in phases]
    counts = np.asarray([len(phase["confusion"]) for phase in phases])
    return {
        "curve": curve,
        "average": average_incremental_accuracy(curve),
        "average_without_first": average_incremental_accuracy(curve[1:]) if len(curve) > 1 else None,
        "average_by_classes": float(np.average(curve, weights=counts)),
        "last": curve[-1],
        "forgetting": phases[-1]["forgetting"],
        "confusion": phases[-1]["confusion"],
    }


def _without(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != key}
