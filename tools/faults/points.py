"""I/O calls of a process, counted, so that it can kill itself at any one of them.

Counted are the operations on files below one folder that the interpreter tells its audit hooks (open, rename, remove,
mkdir, rmdir, link, truncate, listing, locks, memory maps), every fsync, and every call of the object store, before and
after it. Native writers (safetensors, ONNX Runtime, memory maps) write unseen between two of these: a kill that comes
some milliseconds after a call falls into them.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model_store.objects import ObjectInfo, ObjectStore, StoreUnavailableError

EVENTS = frozenset(
    {
        "open",
        "os.rename",
        "os.remove",
        "os.mkdir",
        "os.rmdir",
        "os.link",
        "os.truncate",
        "os.listdir",
        "os.scandir",
        "os.utime",
        "fcntl.flock",
        "mmap.__new__",
    }
)
IDLE_THREADS = frozenset({"watch", "hints", "events", "reconcile", "web", "observer"})
"""They only look, again and again: their calls would make every count another."""


@dataclass(frozen=True)
class Kill:
    """Kill ``role`` (updater or learner) at its ``number``-th call, or so many seconds after it.

    ``role`` "store" kills nobody: the updater's ``number``-th call of the store is carried out and its answer lost.
    """

    role: str
    number: int
    delay: float = 0.0


class Points:
    """Counts the calls of this process, and kills it where ``kill`` says. Writes what it saw to ``notes``."""

    def __init__(self, folder: Path, role: str, kill: Kill | None, notes: Path) -> None:
        self._folder = str(folder)
        self._kill = kill if kill is not None and kill.role == role else None
        self._role = role
        self._notes = notes
        self._lock = threading.Lock()
        self._inside = threading.local()
        self._forked = False
        self.count = 0

    def install(self) -> None:
        """Begin to count. An audit hook stays for the life of the process, but not of its forks."""
        sys.addaudithook(self._audit)
        os.register_at_fork(after_in_child=self._leave)
        synced = os.fsync

        def fsync(fd: Any) -> None:
            self.passed("os.fsync")
            synced(fd)

        os.fsync = fsync

    def passed(self, what: str) -> None:
        """One call more."""
        if self._forked or threading.current_thread().name in IDLE_THREADS:
            return
        with self._lock:
            self.count += 1
            number = self.count
        if self._kill is not None and number == self._kill.number:
            self.note({**asdict(self._kill), "at": what})
            if self._kill.delay:
                threading.Thread(target=self._die_later, args=(self._kill.delay,), daemon=True).start()
            else:
                os.kill(os.getpid(), signal.SIGKILL)

    def note(self, fact: dict[str, Any]) -> None:
        """Append a line to the notes; it is there when the process dies in the next moment."""
        self._inside.now = True
        try:
            with self._notes.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"role": self._role, **fact}) + "\n")
        finally:
            self._inside.now = False

    def _leave(self) -> None:
        """In a fork, whose calls are not this process's: it would count on, and die of the kill that is meant here."""
        self._forked = True

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._forked or event not in EVENTS or getattr(self._inside, "now", False):
            return
        self._inside.now = True
        try:
            first = arguments[0] if arguments else None
            path = os.fsdecode(first) if isinstance(first, str | bytes | os.PathLike) else None
            if path is None or path.startswith(self._folder):
                self.passed(f"{event} {path.removeprefix(self._folder)}" if path is not None else event)
        finally:
            self._inside.now = False

    @staticmethod
    def _die_later(delay: float) -> None:
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGKILL)


class WatchedStore:
    """A store each of whose calls is told of before and after it; each object listed is a call."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def before(self, what: str) -> None:
        """A call is about to be made."""

    def after(self, what: str) -> None:
        """A call has been carried out, and has not been answered yet."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._objects, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            what = f"store.{name} {arguments[0] if arguments else ''}"
            self.before(what)
            result = found(*arguments, **options)
            self.after(what)
            return result

        return call

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Lazily, as every store does."""
        for info in self._objects.list(prefix):
            self.after(f"store.list {prefix}")
            yield info


class CountedStore(WatchedStore):
    """Each call is a point before it and a point after it."""

    def __init__(self, objects: ObjectStore, points: Points) -> None:
        super().__init__(objects)
        self._points = points

    def before(self, what: str) -> None:
        """A point."""
        self._points.passed(f"before {what}")

    def after(self, what: str) -> None:
        """A point."""
        self._points.passed(f"after {what}")


class SleepyStore:
    """A store before whose ``number``-th call the process stops itself, until somebody lets it go on.

    Counted are calls of threads that work, one for each listing. One call comes after the other, so that the process
    never stops while another of its threads is within the store and may hold a lock there.
    """

    def __init__(self, objects: ObjectStore, number: int, points: Points) -> None:
        self._objects = objects
        self._number = number
        self._points = points
        self._one_at_a_time = threading.RLock()
        self.calls: list[str] = []
        self.woken = threading.Event()
        """Set when the call before which the process stopped has been carried out, or has failed."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._objects, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            with self._one_at_a_time:
                slept = self._may_sleep(f"store.{name} {arguments[0] if arguments else ''}")
                try:
                    result = found(*arguments, **options)
                    return list(result) if isinstance(result, Iterator) and name != "listen" else result
                finally:
                    if slept:
                        self.woken.set()

        return call

    def _may_sleep(self, what: str) -> bool:
        if threading.current_thread().name in IDLE_THREADS | {"lease"}:
            return False
        self.calls.append(what)
        if len(self.calls) != self._number:
            return False
        self._points.note({"at": what})
        os.kill(os.getpid(), signal.SIGSTOP)
        return True


class ForgetfulStore(WatchedStore):
    """Loses the answer to its ``number``-th call, if any; threads that only look do not count, as in ``Points``."""

    def __init__(self, objects: ObjectStore, number: int | None, points: Points) -> None:
        super().__init__(objects)
        self._number = number
        self._points = points
        self._lock = threading.Lock()
        self._count = 0

    def note_calls(self) -> None:
        """Write down how many calls there were."""
        self._points.note({"calls": self._count})

    def after(self, what: str) -> None:
        """Raise ``StoreUnavailableError`` instead of the answer, where it is to be lost."""
        if threading.current_thread().name in IDLE_THREADS:
            return
        with self._lock:
            self._count += 1
            number = self._count
        if number == self._number:
            self._points.note({"number": number, "at": what})
            raise StoreUnavailableError(f"the answer to {what} was lost")
