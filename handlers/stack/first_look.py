"""The first look at the store, before services are started on it: a person may end it, and hears what is waited for."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait

from handlers.settings import Settings
from handlers.stack.errors import StackError
from handlers.store import open_existing_store, open_settings_store
from model_store.documents import CorruptVersionError
from model_store.objects import StoreError, StoreUnavailableError
from model_store.versions import VersionStore

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 3.0
"""After so long it is said what is waited for."""
TICK_SECONDS = 0.1


def check_store(settings: Settings, stop: threading.Event) -> None:
    """Raise ``StackError`` when the store cannot be used; one that does not answer now may do so later."""
    _look(lambda: open_settings_store(settings).check(), settings, stop, "the updater keeps trying")


def check_readable(settings: Settings, stop: threading.Event) -> None:
    """Raise ``StackError`` when the store cannot be read. Nothing is written to it, not even to try."""
    _look(lambda: VersionStore(open_existing_store(settings)).current(), settings, stop, "the follower keeps trying")


def _look(look: Callable[[], object], settings: Settings, stop: threading.Event, afterwards: str) -> None:
    """Until the look has ended or ``stop`` is set: a store that hangs lets it last for a minute."""
    try:
        _until(look, settings, stop)
    except (StoreUnavailableError, CorruptVersionError) as error:
        logger.warning("%s; %s", error, afterwards)
    except StoreError as error:
        raise StackError(f"the store cannot be used: {error} (choose another one with --store)") from error


def _until(look: Callable[[], object], settings: Settings, stop: threading.Event) -> None:
    """Raises what ``look`` raises."""
    found = Future[object]()

    def run() -> None:
        try:
            found.set_result(look())
        except Exception as error:  # noqa: BLE001 (whatever it is: it is raised where it is waited for)
            found.set_exception(error)

    threading.Thread(target=run, name="first-look", daemon=True).start()  # nobody waits for it at the end
    began, said = time.monotonic(), False
    while not stop.is_set():
        if wait([found], TICK_SECONDS).done:
            found.result()
            return
        if not said and time.monotonic() - began > PATIENCE_SECONDS:
            said = True
            where = f" at {settings.s3.endpoint}" if settings.store_url.startswith("s3:") else ""
            logger.info("waiting for an answer of the store %s%s", settings.store_url, where)
