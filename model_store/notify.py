"""Being told of changes: a hint that makes looking happen sooner, never the truth.

A hint may come late, twice or never, and nothing is said of what happened while nobody listened; so the caller lists.
"""

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Protocol, runtime_checkable

import watchfiles

from model_store.keys import check_folder
from model_store.local_files import lost, make_folders, os_errors
from model_store.objects import StoreError


@runtime_checkable
class Notifies(Protocol):
    """A store that can be listened to."""

    def listen(self, prefix: str, stop: Event) -> Iterator[None]:
        """Yield after something below ``prefix`` (which ends in ``/``) changed, until ``stop`` or the connection ends.

        Raises ``StoreError``: ``StoreUnavailableError`` where it may work later. A store that cannot do this at all
        ends, or raises, within seconds and without having yielded.
        """


def folder_events(root: Path, prefix: str, stop: Event) -> Iterator[None]:
    """``listen`` for the folder of a directory store: the file system's own events."""
    folder = root / check_folder(prefix)
    if not root.is_dir():
        raise lost(root)
    with os_errors(f"watch {folder}"):
        make_folders(folder, below=root)
        try:
            for _ in watchfiles.watch(
                folder, stop_event=stop, debounce=200, step=50, rust_timeout=1000, raise_interrupt=False
            ):
                yield
                if not folder.is_dir():
                    return
        except RuntimeError as error:  # what the library makes of most errors, no inotify watch left among them
            raise StoreError(f"cannot watch {folder}: {error}; raise fs.inotify.max_user_watches") from error
