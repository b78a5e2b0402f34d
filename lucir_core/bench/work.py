"""The folder of a run under way: `run.json` with what is done, the state after the last phase, the resume file.

It is all that a continuation needs, on this machine or another one. Of several processes the first one writes.
"""

import fcntl
import shutil
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from lucir_core.bench.result_file import read_json, with_full_config, write_json
from lucir_core.errors import StateError
from lucir_core.phase import Progress
from lucir_core.runtime.distributed import world
from lucir_core.state import CHECKPOINT, LearnerState, load_state, save_state

SAVE_SECONDS = 5.0
"""Least time between two notes of the time alone: with the confusion matrices of 23 phases, writing and syncing the
file took 0.16 s on a machine with a GPU, longer than an epoch."""


class Work:
    """Opens or begins the folder; raises StateError where it belongs to another run or another process works on it."""

    def __init__(self, folder: Path, identity: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
        self.folder = folder
        self._path = folder / "run.json"
        self._world = world()
        self._lock = _locked(folder / "lock") if self._world.is_main_process else None
        if not self._world.broadcast(self._lock is not None):
            raise StateError(
                f"another process works on {folder}: wait for it, or choose another --output, or end that process"
            )
        try:
            self._open(identity, environment)
        except BaseException:
            self.close()
            raise

    def _open(self, identity: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
        self._facts: dict[str, Any] = {"identity": dict(identity), "phases": [], "pieces": []}
        self._facts |= {"open_seconds": 0.0, "open_flops": {}}
        if self._path.is_file():
            self._facts = read_json(self._path)
            require_same(self._facts["identity"], identity, self.folder)
            # An earlier version did not count: then the phase under way stays without a count.
            self._facts.setdefault("open_flops", None if self._facts["open_seconds"] else {})
        self._facts["pieces"].append(
            {"started": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": 0.0, **environment}
        )
        self._tick = self._saved = time.monotonic()
        # Nobody writes before everybody has read.
        self._world.wait()
        self._save()

    @property
    def phases(self) -> list[dict[str, Any]]:
        """Records of the phases that are done."""
        return list(self._facts["phases"])

    @property
    def pieces(self) -> list[dict[str, Any]]:
        """When, where and how long the run was worked on; a piece that was killed counts up to its last note."""
        return list(self._facts["pieces"])

    @property
    def resume_file(self) -> Path:
        """For `run_phase`."""
        return self.folder / "resume.safetensors"

    @property
    def scratch(self) -> Path:
        """For images that are too many for the memory."""
        return self.folder / f"images{self._suffix}.npy"

    @property
    def test_scratch(self) -> Path:
        """The same for test images."""
        return self.folder / f"test{self._suffix}.npy"

    @property
    def _suffix(self) -> str:
        """Processes do not share files that they write."""
        return f"-{self._world.rank}" if self._world.size > 1 else ""

    @property
    def flops(self) -> float | None:
        """Of the phase under way, as far as its stages have begun; None where they were not counted."""
        stages = self._facts["open_flops"]
        return None if stages is None else sum(stages.values())

    def tick(self, progress: Progress) -> None:
        """Count the time that has passed; called after every epoch. Written down every few seconds."""
        self._count()
        stages = self._facts["open_flops"]
        begins = stages is not None and progress.flops is not None and progress.stage not in stages
        if begins:
            stages[progress.stage] = progress.flops * progress.epochs  # type: ignore[operator]  # not None where it begins
        if begins or self._tick - self._saved >= SAVE_SECONDS:
            self._save()

    def note_time(self) -> None:
        """Write the counted time down: the run stops here for now."""
        self._save()

    def close(self) -> None:
        """Let another process go on with the run, or the same one with another call."""
        if self._lock is not None:
            self._lock.close()

    def leave_out(self) -> None:
        """The time since the last tick was spent waiting, and is not the run's."""
        self._tick = time.monotonic()

    def _count(self) -> None:
        now = time.monotonic()
        passed, self._tick = now - self._tick, now
        self._facts["open_seconds"] += passed
        self._facts["pieces"][-1]["seconds"] += passed

    def state(self, phase: int) -> LearnerState | None:
        """The state after `phase`, where it was saved in full."""
        folder = self._state_folder(phase)
        # The checkpoint is written last.
        return load_state(folder) if (folder / CHECKPOINT).is_file() else None

    def keep(self, state: LearnerState) -> None:
        """Save the state after a phase, before it is measured."""
        if self._world.is_main_process:
            save_state(state, self._state_folder(state.phase))

    def finish_phase(self, record: Mapping[str, Any]) -> None:
        """Note a measured phase; the state before it is not needed any more."""
        self._count()
        self._facts["phases"].append({**record, "seconds": self._facts["open_seconds"], "flops": self.flops})
        self._facts |= {"open_seconds": 0.0, "open_flops": {}}
        self._save()
        self.scratch.unlink(missing_ok=True)
        if record["phase"] and self._world.is_main_process:
            shutil.rmtree(self._state_folder(record["phase"] - 1), ignore_errors=True)

    def _state_folder(self, phase: int) -> Path:
        return self.folder / f"phase-{phase}"

    def _save(self) -> None:
        self._saved = time.monotonic()
        if self._world.is_main_process:
            write_json(self._path, self._facts)


def _locked(path: Path) -> IO[bytes] | None:
    """The file, open and locked until it is closed or the process ends; None where another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


WRITTEN = ("preset", "settings")
"""How a configuration was written down. The same one may be written in two ways, also by an older preset."""


def require_same(kept: Mapping[str, Any], wanted: Mapping[str, Any], folder: Path) -> None:
    """Raise StateError naming the settings in which a run that was begun in `folder` differs from the wanted one."""
    one, two = ({key: facts[key] for key in facts if key not in WRITTEN} for facts in (with_full_config(kept), wanted))
    different = _differences(one, two)
    if different:
        raise StateError(
            f"{folder} belongs to a run with other settings ({', '.join(different[:5])}): choose another --label or "
            "--output, or remove it"
        )


def _differences(kept: Any, wanted: Any, where: str = "") -> list[str]:
    if isinstance(kept, Mapping) and isinstance(wanted, Mapping):
        names = sorted(set(kept) | set(wanted))
        return [
            found
            for name in names
            for found in _differences(kept.get(name), wanted.get(name), f"{where}.{name}" if where else name)
        ]
    return [] if kept == wanted else [where]
