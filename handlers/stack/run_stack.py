"""The whole stack on this machine: checks, start, record, supervision, end."""

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from handlers.child_environment import prepare_folders
from handlers.settings import Settings
from handlers.sockets import LaunchError
from handlers.stack.errors import StackError
from handlers.stack.first_look import check_store
from handlers.stack.folder import StackRecord, claimed, write_record
from handlers.stack.minio import HOST, minio_service, minio_values
from handlers.stack.ports import Listener, check_ports
from handlers.stack.service_list import environment_with, remove_sockets, serving_service, updater_service
from handlers.stack.supervision.service_logs import LogSink
from handlers.stack.supervision.supervised import Service
from handlers.stack.supervision.supervisor import Supervisor
from handlers.web_address import reachable, web_address


def run_stack(
    settings: Settings,
    changes: Mapping[str, str],
    sink: LogSink,
    stop: threading.Event,
    on_ready: Callable[[], None],
) -> None:
    """Run until ``stop`` is set. ``changes`` are the environment variables that give the children these settings.

    Raises ``StackError``: a port in use, a folder that cannot be written, a data folder in use, a service that never
    comes up. Nothing is left running then.
    """
    with claimed(settings):
        check_ports(listeners(settings))
        updater = updater_service(settings, environment_with(settings, changes))
        if settings.minio.enabled:
            storage = minio_service(settings)
            supervise(settings, changes, replace(updater, needs=storage.name), sink, stop, on_ready, storage)
        else:
            check_store(settings, stop)
            supervise(settings, changes, updater, sink, stop, on_ready)


def supervise(
    settings: Settings,
    changes: Mapping[str, str],
    sidecar: Service,
    sink: LogSink,
    stop: threading.Event,
    on_ready: Callable[[], None],
    *others: Service,
) -> None:
    """Run the serving engine, its sidecar and ``others`` until ``stop`` is set; the record says where they are.

    Raises ``StackError``.
    """
    prepare_folders(settings)
    try:
        engine = serving_service(settings, changes)
    except LaunchError as error:
        raise StackError(str(error)) from error
    status_url = settings.follower_url if sidecar.name == "follower" else settings.updater_url
    write_record(settings, describe(settings, status_url, ready=False))

    def ready() -> None:
        write_record(settings, describe(settings, status_url, ready=True))
        on_ready()

    def stopping() -> None:
        write_record(settings, describe(settings, status_url, ready=False))

    try:
        Supervisor([*others, engine, sidecar], sink).run(stop, ready, stopping)
    finally:
        remove_sockets(settings, engine)


def listeners(settings: Settings) -> list[Listener]:
    """The ports that the stack listens on."""
    serving, updater, minio = settings.serving, settings.updater, settings.minio
    storage = [Listener("the MinIO server", HOST, minio.port, "--minio-port")] if minio.enabled else []
    return [
        *storage,
        Listener("predictions", serving.host, serving.port, "--port"),
        Listener("the serving engine's metrics", serving.host, serving.metrics_port, "--metrics-port"),
        Listener("the updater's page and metrics", updater.host, updater.port, "--updater-port"),
    ]


def describe(settings: Settings, status_url: str, *, ready: bool) -> StackRecord:
    """The record of this process's stack. ``status_url``: where the sidecar answers ``/api/status``."""
    keys = settings.serving.api_key_file
    return StackRecord(
        pid=os.getpid(),
        inference_url=settings.inference_url,
        metrics_url=web_address(reachable(settings.serving.host), settings.serving.metrics_port),
        updater_url=status_url,
        store=settings.store_url,
        ready=ready,
        s3={key.removeprefix("s3."): value for key, value in minio_values(settings).items() if key.startswith("s3.")},
        api_key_file=None if keys is None else keys.absolute(),
    )
