"""The data folder of a stack: writable, used by one stack only, with a record of who that is."""

import fcntl
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, ValidationError

from handlers.settings import Settings
from handlers.stack.errors import StackError
from model_store.local_files import write_whole

RECORD = "stack.json"
LOCK = "stack.lock"


class StackRecord(BaseModel):
    """``run/stack.json``: the running stack, as the other commands find it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    pid: int
    inference_url: str
    metrics_url: str
    updater_url: str
    """Where the sidecar answers ``/api/status``: the updater, or a follower in its place."""
    store: str
    ready: bool
    """Whether it has been ready to accept drops and requests since it started."""
    s3: dict[str, str] = {}
    """How to reach a store that the stack itself runs: settings of ``s3``, with the files of its key."""
    api_key_file: Path | None = None
    """Where the keys of predictions are, for whoever may read them; never a key itself."""


@contextmanager
def claimed(settings: Settings) -> Iterator[None]:
    """Hold the data folder for one stack.

    Raises ``StackError`` when the folder cannot be written or another stack holds it.
    """
    run = settings.run_folder
    _make_writable(run)
    with (run / LOCK).open("a", encoding="utf-8") as lock:
        if not _lock(lock):
            raise StackError(_held(settings))
        (run / RECORD).unlink(missing_ok=True)  # of a stack that was killed
        try:
            yield
        finally:
            (run / RECORD).unlink(missing_ok=True)


def write_record(settings: Settings, record: StackRecord) -> None:
    """Replace ``run/stack.json`` in one step."""
    write_whole(settings.run_folder / RECORD, record.model_dump_json(indent=2) + "\n")


def find_stack(settings: Settings) -> StackRecord | None:
    """The stack that runs on this data folder, or None."""
    run = settings.run_folder
    try:
        record = StackRecord.model_validate(json.loads((run / RECORD).read_text(encoding="utf-8")))
        lock = (run / LOCK).open(encoding="utf-8")
    except (OSError, ValueError, ValidationError):
        return None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return record
    return None  # nobody holds the lock: the record is what a killed stack left


def _lock(file: IO[str]) -> bool:
    """Take the lock; a command that looks who holds it (``find_stack``) may have it for a moment."""
    for _ in range(10):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def _held(settings: Settings) -> str:
    record = find_stack(settings)
    who = f" (process {record.pid}, {record.inference_url})" if record is not None else ""
    return (
        f"another stack uses the data folder {settings.data.absolute()}{who}: stop it, or give this one its own --data"
    )


def _make_writable(run: Path) -> None:
    try:
        run.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=run):
            pass
    except OSError as error:
        raise StackError(
            f"the data folder {run.parent} cannot be written ({(error.strerror or str(error)).lower()}): "
            "make it writable for this user, or choose another folder with --data"
        ) from error
