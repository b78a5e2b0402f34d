"""``python -m handlers.updater``: the sidecar process. Settings come from the environment and ``--config``."""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from handlers.logs import setup_logging
from handlers.settings import Settings, SettingsError, load_settings
from handlers.store import open_settings_store
from handlers.updater.holder import DataFolderInUseError
from handlers.updater.service import Updater
from handlers.updater.steps import STEPS, Step
from handlers.updater.web import make_app
from handlers.web import WebServer
from lucir_core.config import load_preset
from model_store.objects import StoreError

logger = logging.getLogger(__name__)

EXIT_CONFIG = 78
"""The settings are wrong, or name something this process may not use: a restart changes nothing."""
EXIT_UNAVAILABLE = 69
"""The port or the data folder is taken."""


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or Ctrl-C; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m handlers.updater", description=__doc__)
    parser.add_argument("--config", type=Path, help="a YAML file of settings")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(options.config)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_CONFIG
    setup_logging(settings.log, "updater")
    try:
        updater = make_updater(settings)
    except (SettingsError, StoreError, ValueError) as error:
        logger.error("the updater cannot start: %s", error)
        return EXIT_CONFIG
    return serve(settings, updater)


def make_updater(settings: Settings, steps: Sequence[Step] = STEPS) -> Updater:
    """Open the store and check it, and the folders. Raises ``StoreError``, ``SettingsError``, ``ValueError``."""
    try:
        config = load_preset(settings.learning.preset, settings.learning.overrides)
    except ValueError as error:
        raise SettingsError(f"setting learning: {error}") from error
    if settings.learning.imprint_first and config.head != "cosine":
        raise SettingsError(
            f"setting learning.imprint_first: the method {config.method} has a {config.head} classifier, whose rows "
            "are no mean features: set it to false, or choose a preset of lucir"
        )
    objects = open_settings_store(settings)
    if objects.url.startswith("file:"):  # a server may be away for a while; a folder that cannot be written stays so
        objects.check()
    for folder in (settings.work_folder, settings.models_folder, settings.run_folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".probe"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise SettingsError(
                f"the folder {folder} cannot be written ({error.strerror}): give this user the right to, "
                "or name another one with LUCIR_DATA"
            ) from error
    return Updater(settings, config, objects, steps)


def serve(settings: Settings, updater: Updater) -> int:
    """Answer HTTP and learn until a signal comes."""
    host, port = settings.updater.host, settings.updater.port
    try:
        web = WebServer(make_app(updater), host, port)
    except OSError as error:
        logger.error(
            "cannot listen on %s:%d (%s): stop what uses it, or set LUCIR_UPDATER__PORT", host, port, error.strerror
        )
        return EXIT_UNAVAILABLE
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: updater.stopping.set())
    web.start()
    logger.info("page on http://%s:%d/, store %s", host, web.port, updater.objects.url)
    try:
        updater.run()
    except DataFolderInUseError as error:
        logger.error("the updater cannot start: %s", error.strerror)
        return EXIT_UNAVAILABLE
    finally:
        web.stop()
    logger.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
