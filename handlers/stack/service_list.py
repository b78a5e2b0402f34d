"""The services of a stack, made from the settings: a serving engine and its sidecar, the updater or a follower."""

import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from handlers.child_environment import child_environment, with_secrets_of
from handlers.exposure import check_exposure
from handlers.settings import Settings
from handlers.sockets import management_socket, private_folder, workers_folder
from handlers.stack.health import EngineProbe, SidecarProbe
from handlers.stack.supervision.supervised import Service
from handlers.torchserve.launch import drain_limit, prepare_launch, sockets


def serving_service(settings: Settings, changes: Mapping[str, str]) -> Service:
    """The engine that the settings choose; ``changes`` carries the command line's values. Raises ``LaunchError``."""
    if settings.serving.engine == "uvicorn":
        return _server_service(settings, environment_with(settings, changes))
    return _torchserve_service(settings)


def _server_service(settings: Settings, environment: Mapping[str, str]) -> Service:
    """Our own server, which starts its own processes. Raises ``LaunchError``."""
    check_exposure(settings)
    socket = management_socket(settings)
    private_folder(socket.parent)
    extra = {"PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": str(settings.serving.threads)}
    return Service(
        "server",
        (sys.executable, "-m", "handlers.server"),
        EngineProbe(settings.inference_url, socket),
        {**with_secrets_of(("serving",), environment), **extra},
        unready_seconds=180.0,
        grace_seconds=settings.serving.drain_seconds + 6.0,
    )


def _torchserve_service(settings: Settings) -> Service:
    """The Java frontend, which starts its own workers, stopped without cutting requests. Raises ``LaunchError``."""
    launch = prepare_launch(settings)
    return Service(
        "torchserve",
        launch.frontend,
        EngineProbe(settings.inference_url, management_socket(settings)),
        launch.environment,
        launch.folder,
        unready_seconds=180.0,
        grace_seconds=drain_limit(settings) + 2.0,
    )


def updater_service(settings: Settings, environment: Mapping[str, str]) -> Service:
    """The sidecar; ``environment`` carries the command line's values."""
    return _python_service("updater", settings.updater_url, environment)


def follower_service(settings: Settings, environment: Mapping[str, str]) -> Service:
    """The sidecar of a replica, which has the same pages of health."""
    return _python_service("follower", settings.follower_url, with_secrets_of(("serving", "s3"), environment))


def _python_service(name: str, url: str, environment: Mapping[str, str]) -> Service:
    # Safe path: a folder "handlers" where the user happens to stand must not be imported.
    extra = {"PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}
    return Service(name, (sys.executable, "-m", f"handlers.{name}"), SidecarProbe(url), {**environment, **extra})


def remove_sockets(settings: Settings, engine: Service) -> None:
    """After the stop: remove the engine's sockets and temporary files, also those of a worker that was killed."""
    for path in sockets(settings):
        path.unlink(missing_ok=True)
    if settings.serving.engine == "uvicorn":
        return
    shutil.rmtree(workers_folder(settings), ignore_errors=True)
    temporary = Path(engine.environment["TMPDIR"])
    shutil.rmtree(temporary, ignore_errors=True)
    with suppress(OSError):  # not empty: it is the run folder, not a short one in the system's temporary folder
        temporary.parent.rmdir()


def environment_with(settings: Settings, changes: Mapping[str, str]) -> dict[str, str]:
    """``child_environment`` with ``changes``, over those that name the same setting or what is in it, in any case."""
    branches = tuple(f"{name}__" for name in changes)
    kept = {
        name: value
        for name, value in child_environment(settings).items()
        if name.upper() not in changes and not name.upper().startswith(branches)
    }
    return {**kept, **changes}
