"""The socket of a worker that answers requests: over it, it is asked to hold another version beside, and to try it."""

import logging
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from handlers.inference.workers.held_versions import Calls, HeldVersions
from handlers.inference.workers.priority import give_way
from handlers.inference.workers.slot import socket_of

logger = logging.getLogger(__name__)


class WorkerSocket:
    """Answers calls in threads of their own until this process ends. The versions lie in ``models``; ``served`` tells
    which one answers everybody.
    """

    def __init__(self, workers: Path, models: Path, held: HeldVersions, served: Callable[[], int]) -> None:
        self._workers = workers
        self._models = models
        self._held = held
        self._served = served
        self._callers: list[Calls] = []
        self._lock = threading.Lock()

    def listen(self) -> None:
        """Begin. Where no socket can be made, that is said in the log: new versions get workers of their own then."""
        path = socket_of(self._workers, os.getpid())
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _remove_dead(self._workers)
            new = path.with_suffix(".new")
            new.unlink(missing_ok=True)
            listener.bind(str(new))
            listener.listen()
            new.replace(path)  # only now: another worker that starts takes a socket without a listener for a dead one
        except OSError as error:
            listener.close()
            logger.warning("no version is exchanged inside this worker: %s cannot be made (%s)", path, error)
            return
        threading.Thread(target=self._accept, args=(listener,), name="calls", daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._serve, args=(connection,), name="caller", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """One caller. When it goes, so do versions that nobody is answered with and no other caller asked for."""
        give_way()
        calls = Calls(connection, self._held, self._models)
        with self._lock:
            self._callers.append(calls)
        with connection:
            try:
                calls.run()
            except OSError as error:
                logger.info("who exchanges versions has gone: %s", error)
            except Exception:  # a caller of another release may send what cannot be read
                logger.exception("what exchanges versions cannot be understood")
        for thread in calls.loading:
            thread.join()
        with self._lock:
            self._callers.remove(calls)
            self._held.keep({self._served(), *(number for other in self._callers for number in other.asked)})


def _remove_dead(workers: Path) -> None:
    """Sockets of workers that were killed: nobody answers there."""
    for path in workers.iterdir():
        if path.name.isdecimal() and path.is_socket():
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
                try:
                    knock.connect(str(path))
                except (ConnectionRefusedError, FileNotFoundError):  # dead, or gone: another worker starts just now too
                    path.unlink(missing_ok=True)
