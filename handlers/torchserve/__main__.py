"""``python -m handlers.torchserve``: TorchServe for a container that runs nothing else, drained when it is stopped.

The process is replaced by ``handlers.torchserve.frontend``, whose end is the container's end.
``lucir up`` starts the same command under its supervisor.
"""

import os
import sys

from handlers.child_environment import make_folder
from handlers.setting_values import load_settings
from handlers.settings import SettingsError
from handlers.sockets import LaunchError, check_ports
from handlers.torchserve.launch import prepare_launch


def main() -> int:
    """Does not return, unless TorchServe cannot be started: 1, with a message."""
    try:
        settings = load_settings()
        for folder in (settings.models_folder, settings.run_folder):
            make_folder(folder)
        launch = prepare_launch(settings)
        check_ports(settings)
        os.chdir(launch.folder)
        os.execve(launch.frontend[0], launch.frontend, launch.environment)  # noqa: S606 (a fixed argument list)
    except (SettingsError, LaunchError, OSError) as error:
        sys.stderr.write(f"{error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
