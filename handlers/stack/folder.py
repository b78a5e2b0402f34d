"""The data folder of a stack: writable, used by one stack only, with a record of who that is."""

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, ValidationError

from handlers.settings import Settings
from handlers.stack.errors import StackError

RECORD = "stack.json"
LOCK = "stack.lock"
LONGEST_SOCKET_PATH = 107
"""Bytes that fit into ``sockaddr_un``."""
LONGEST_SOCKET_NAME = 40
"""TorchServe puts its workers' sockets (``.ts.sock.9000``) into its own temporary folder below the one given."""


class StackRecord(BaseModel):
    """``run/stack.json``: the running stack, as the other commands find it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    pid: int
    inference_url: str
    metrics_url: str
    updater_url: str
    store: str
    sockets: Path
    """Folder of the management socket and of TorchServe's temporary files."""
    ready: bool = False


@contextmanager
def claimed(settings: Settings) -> Iterator[Path]:
    """Hold the data folder for one stack; gives the folder for sockets, which is removed at the end if it is private.

    Raises ``StackError`` when the folder cannot be written or another stack holds it.
    """
    run = settings.run_folder
    _make(run, "the data folder", "--data")
    with (run / LOCK).open("a") as lock:
        if not _lock(lock):
            raise StackError(_held(settings))
        _remove_leftovers(run)
        sockets = _socket_folder(run)
        try:
            yield sockets
        finally:
            (run / RECORD).unlink(missing_ok=True)
            shutil.rmtree(sockets, ignore_errors=True)


def check_store_folder(path: Path) -> None:
    """Raise ``StackError`` when a directory store cannot be made or written there."""
    _make(path, "the store", "--store")


def write_record(settings: Settings, record: StackRecord) -> None:
    """Replace ``run/stack.json`` in one step."""
    path = settings.run_folder / RECORD
    temporary = path.with_suffix(".tmp")
    temporary.write_text(record.model_dump_json(indent=2) + "\n")
    temporary.replace(path)


def find_stack(settings: Settings) -> StackRecord | None:
    """The stack that runs on this data folder, or None."""
    run = settings.run_folder
    try:
        record = StackRecord.model_validate(json.loads((run / RECORD).read_text()))
        lock = (run / LOCK).open()
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


def _make(path: Path, what: str, option: str) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise StackError(
            f"{what} {path} cannot be written ({(error.strerror or str(error)).lower()}): "
            f"make it writable for this user, or choose another folder with {option}"
        ) from error


def _socket_folder(run: Path) -> Path:
    """A folder whose paths are short enough for sockets: below ``run``, else in the system's temporary folder."""
    folder = run / "sockets"
    if len(os.fsencode(folder)) + 1 + LONGEST_SOCKET_NAME > LONGEST_SOCKET_PATH:
        return Path(tempfile.mkdtemp(prefix="lucir-"))
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _remove_leftovers(run: Path) -> None:
    """What a stack that was killed could not remove: only folders that this module made itself."""
    shutil.rmtree(run / "sockets", ignore_errors=True)
    try:
        record = StackRecord.model_validate(json.loads((run / RECORD).read_text()))
    except (OSError, ValueError, ValidationError):
        return
    folder = record.sockets
    if folder.parent == Path(tempfile.gettempdir()) and folder.name.startswith("lucir-"):
        shutil.rmtree(folder, ignore_errors=True)
    (run / RECORD).unlink(missing_ok=True)
