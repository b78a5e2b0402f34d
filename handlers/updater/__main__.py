"""``python -m handlers.updater``: the sidecar process. Settings come from the environment and ``--config``."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from handlers.settings import Settings, SettingsError
from handlers.sidecar import process as sidecar
from handlers.sidecar.process import EXIT_CONFIG, EXIT_GAVE_UP, EXIT_UNAVAILABLE, command_line, configure
from handlers.store import open_settings_store
from handlers.updater.context.preset import resolved
from handlers.updater.http.app import make_app
from handlers.updater.leader.data_folder import DataFolderInUseError, own_temporary_folder
from handlers.updater.service import Updater
from handlers.updater.workflow.learn_steps import STEPS
from handlers.updater.workflow.runner import Step
from lucir_core.config.phase_config import load_preset
from model_store.local_files import is_full
from model_store.objects import StoreError
from model_store.versions import VersionStore

logger = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or Ctrl-C, with ``--once`` until nothing is left to learn; return the exit status."""
    parser = command_line("updater", __doc__)
    parser.add_argument("--once", action="store_true", help="learn what is there, then end (for jobs)")
    options = parser.parse_args(arguments)
    settings = configure("updater", options.config)
    try:
        updater = make_updater(settings, once=options.once)
    except (SettingsError, StoreError, ValueError) as error:
        logger.error("the updater cannot start: %s", error)
        return EXIT_CONFIG
    return serve(settings, updater)


def make_updater(settings: Settings, steps: Sequence[Step] = STEPS, *, once: bool = False) -> Updater:
    """Open the store and check it, and the folders. Raises ``StoreError``, ``SettingsError``, ``ValueError``."""
    settings.updater.secret_token()
    objects = open_settings_store(settings)
    if objects.url.startswith("file:"):  # a server may be away for a while; a folder that cannot be written stays so
        with _also_full():
            objects.check()
    try:
        settings = resolved(settings, VersionStore(objects))
        config = load_preset(settings.learning.preset, settings.learning.overrides)
    except StoreError:
        raise
    except ValueError as error:
        raise SettingsError(f"setting learning: {error}") from error
    if settings.learning.imprint_first and not config.frozen and config.head != "cosine":
        raise SettingsError(
            f"setting learning.imprint_first: the method {config.method} has a {config.head} classifier, whose rows "
            "are not mean features: set it to false, or choose a preset of lucir"
        )
    for folder in (settings.work_folder, settings.models_folder, settings.run_folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".probe"
            with _also_full():
                probe.touch()
            probe.unlink(missing_ok=True)
        except OSError as error:
            raise SettingsError(
                f"the folder {folder} cannot be written ({error.strerror}): give this user the right to, "
                "or name another one with LUCIR_DATA"
            ) from error
    return Updater(settings, config, objects, steps, once=once)


@contextmanager
def _also_full() -> Iterator[None]:
    """A disk that is full does not stay so: the updater starts, for its pages and its status to say what is wrong."""
    try:
        yield
    except (StoreError, OSError) as error:
        if not is_full(error) and not is_full(error.__cause__):
            raise
        logger.warning("%s", error)


def serve(settings: Settings, updater: Updater) -> int:
    """Answer HTTP and learn until a signal comes; return the exit status."""
    own_temporary_folder(settings.work_folder)  # the updater has been made: where its server's socket lies is settled
    try:
        status = sidecar.serve(
            updater,
            make_app(updater),
            settings.updater.host,
            settings.updater.port,
            variable="LUCIR_UPDATER__PORT",
            news=f"store {updater.objects.url}",
        )
    except DataFolderInUseError as error:
        logger.error("the updater cannot start: %s", error.strerror)
        return EXIT_UNAVAILABLE
    return EXIT_GAVE_UP if updater.gave_up else status


if __name__ == "__main__":
    sys.exit(main())
