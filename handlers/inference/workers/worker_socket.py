"""The socket of a worker that answers requests: over it, it is asked to hold another version beside, and to try it."""

import logging
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from handlers.inference.workers.held_versions import Calls, HeldVersions
from handlers.inference.workers.slot import socket_of

logger = logging.getLogger(__name__)


def listen(workers: Path, models: Path, held: HeldVersions, served: Callable[[], int]) -> None:
    """Answer calls in threads of their own until this process ends. ``served`` tells which version answers everybody;
    the versions lie in ``models``.

    Where no socket can be made, that is said in the log: new versions get workers of their own then.
    """
    path = socket_of(workers, os.getpid())
    try:
        _remove_dead(workers)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        listener.bind(str(new))
        listener.listen()
        new.replace(path)  # only now: another worker that starts takes a socket without a listener for a dead one
    except OSError as error:
        logger.warning("no version is exchanged inside this worker: %s cannot be made (%s)", path, error)
        return
    threading.Thread(target=_accept, args=(listener, models, held, served), name="calls", daemon=True).start()


def _accept(listener: socket.socket, models: Path, held: HeldVersions, served: Callable[[], int]) -> None:
    with listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection, models, held, served), name="caller", daemon=True).start()


def _serve(connection: socket.socket, models: Path, held: HeldVersions, served: Callable[[], int]) -> None:
    """One caller. What it had loaded and nobody is answered with goes when the caller does."""
    calls = Calls(connection, held, models)
    with connection:
        try:
            calls.run()
        except OSError as error:
            logger.info("who exchanges versions has gone: %s", error)
    for thread in calls.loading:
        thread.join()
    held.keep({served()})


def _remove_dead(workers: Path) -> None:
    """Sockets of workers that were killed: nobody answers there."""
    for path in workers.iterdir():
        if path.name.isdecimal() and path.is_socket():
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
                try:
                    knock.connect(str(path))
                except ConnectionRefusedError:
                    path.unlink(missing_ok=True)
