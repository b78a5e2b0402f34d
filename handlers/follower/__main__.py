"""``python -m handlers.follower``: the sidecar of a replica. Settings come from the environment and ``--config``."""

import logging
import sys

from handlers.child_environment import make_folder
from handlers.follower.pages import make_app
from handlers.follower.replica import Follower
from handlers.settings import SettingsError
from handlers.sidecar.process import EXIT_CONFIG, EXIT_UNAVAILABLE, command_line, configure, serve
from handlers.store import open_existing_store
from model_store.objects import StoreError

logger = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or Ctrl-C; return the exit status."""
    settings = configure("follower", command_line("follower", __doc__).parse_args(arguments).config)
    try:
        make_folder(settings.models_folder)
        follower = Follower(settings, open_existing_store(settings))
    except SettingsError as error:
        logger.error("the follower cannot start: %s", error)
        return EXIT_CONFIG
    except StoreError as error:
        logger.error("the follower cannot start: %s", error)
        return EXIT_UNAVAILABLE
    return serve(
        follower,
        make_app(follower),
        settings.follower.host,
        settings.follower.port,
        variable="LUCIR_FOLLOWER__PORT",
        news=f"following {follower.objects.url}",
    )


if __name__ == "__main__":
    sys.exit(main())
