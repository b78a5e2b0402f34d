"""``python -m handlers.follower``: the sidecar of a replica. Settings come from the environment and ``--config``."""

import argparse
import logging
import signal
import sys
from pathlib import Path

from handlers.follower.pages import make_app
from handlers.follower.service import Follower
from handlers.logs import setup_logging
from handlers.settings import Settings, SettingsError, load_settings
from handlers.store import open_existing_store
from handlers.web import WebServer
from model_store.objects import StoreError

logger = logging.getLogger(__name__)

EXIT_CONFIG = 78
"""The settings are wrong: a restart changes nothing."""
EXIT_UNAVAILABLE = 69
"""The port is taken, or the store's folder is not there (yet)."""


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or Ctrl-C; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m handlers.follower", description=__doc__)
    parser.add_argument("--config", type=Path, help="a YAML file of settings")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(options.config)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_CONFIG
    setup_logging(settings.log, "follower")
    try:
        follower = Follower(settings, open_existing_store(settings))
    except SettingsError as error:
        logger.error("the follower cannot start: %s", error)
        return EXIT_CONFIG
    except StoreError as error:
        logger.error("the follower cannot start: %s", error)
        return EXIT_UNAVAILABLE
    return serve(settings, follower)


def serve(settings: Settings, follower: Follower) -> int:
    """Answer HTTP and follow until a signal comes."""
    host, port = settings.follower.host, settings.follower.port
    try:
        web = WebServer(make_app(follower), host, port)
    except OSError as error:
        logger.error(
            "cannot listen on %s:%d (%s): stop what uses it, or set LUCIR_FOLLOWER__PORT", host, port, error.strerror
        )
        return EXIT_UNAVAILABLE
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: follower.stopping.set())
    web.start()
    logger.info("following %s, status on http://%s:%d/api/status", follower.objects.url, host, web.port)
    try:
        follower.run()
    finally:
        web.stop()
    logger.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
