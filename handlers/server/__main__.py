"""``python -m handlers.server``: answer requests until SIGTERM or Ctrl-C. Settings come from the environment."""

import logging
import os
import sys
from pathlib import Path
from typing import Final

import uvloop

from handlers.child_environment import make_folder
from handlers.exposure import check_exposure
from handlers.inference.workers.worker_options import worker_options
from handlers.logs import setup_logging
from handlers.server.frames import model_environment
from handlers.server.model_pool import PoolRules, Started, usual_processes
from handlers.setting_values import load_settings
from handlers.settings import Settings, SettingsError
from handlers.sockets import LaunchError, check_ports

logger = logging.getLogger("handlers.server")

_GPU: Final = Path("/dev/nvidia0")


def pool_rules(settings: Settings) -> PoolRules:
    """Of the model processes that the settings ask for."""
    serving = settings.serving
    gpu = 0 if _GPU.exists() else None
    return PoolRules(
        serving.workers or usual_processes(gpu=gpu is not None),
        model_environment(worker_options(settings), settings.log, gpu),
        float(serving.response_timeout_seconds),
        gpu=gpu is not None,
    )


def main() -> int:
    """Run until a signal; the exit status tells why it ended."""
    try:
        settings = load_settings()
        check_exposure(settings)
        for folder in (settings.models_folder, settings.run_folder):
            make_folder(folder)
    except (SettingsError, LaunchError) as error:
        sys.stderr.write(f"{error}\n")
        return os.EX_CONFIG
    setup_logging(settings.log, "server")
    try:
        check_ports(settings)
        rules = pool_rules(settings)
        started = [Started.new(rules.environment) for _ in range(rules.processes)]
        # Imported here: while uvicorn and Starlette are read, the model processes read ONNX Runtime.
        from handlers.server.engine import Server

        return uvloop.run(Server(settings, rules, started).run())
    except (LaunchError, OSError) as error:
        logger.error("the server cannot start: %s", error)
        return os.EX_UNAVAILABLE


if __name__ == "__main__":
    sys.exit(main())
