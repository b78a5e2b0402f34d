"""TorchServe's management API over its Unix socket, typed.

The calls are chosen so that none blocks a network thread of the server: no synchronous registration, no archive.
"""

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from handlers.inference.open_inference import MODEL_NAME
from handlers.torchserve.model_status import MODEL_PATH, READY, model_items

TIMEOUT_SECONDS = 10.0


class ManagementError(RuntimeError):
    """TorchServe refused a call, or answered something unknown; the message holds its words."""


class ManagementUnavailableError(ManagementError):
    """Nobody answers on the socket now."""


class VersionMissingError(ManagementError):
    """TorchServe does not know this version (any more)."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process as TorchServe reports it. ``pid`` is None while it has none."""

    pid: int | None
    ready: bool
    gpu: bool


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """A version that TorchServe knows. ``pending`` counts queued requests, not those that a worker holds."""

    number: int
    default: bool
    target_workers: int
    workers: tuple[Worker, ...]
    pending: int
    problem: str = ""
    """Why it will never be ready, where the engine can tell."""

    @property
    def ready_workers(self) -> int:
        """Workers that have loaded the version and answer."""
        return sum(worker.ready for worker in self.workers)


class ManagementClient:
    """One client per thread of use. Every failure is a ``ManagementError``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(path)), base_url="http://torchserve", timeout=TIMEOUT_SECONDS
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def versions(self) -> dict[int, RegisteredVersion]:
        """Every registered version by number. Versions with other names than numbers are not ours and left out."""
        try:
            default = _items(self._call("GET", MODEL_PATH))
            everything = _items(self._call("GET", f"{MODEL_PATH}/all"))
        except VersionMissingError:
            return {}
        defaults = {str(item.get("modelVersion")) for item in default}
        found = (_registered(item, defaults) for item in everything if str(item.get("modelVersion")).isdecimal())
        return {version.number: version for version in found}

    def register(self, folder: str, *, batch_size: int, batch_delay_ms: int, response_timeout: int) -> None:
        """Make the folder ``folder`` of the model store known, without workers. Repeating it changes nothing."""
        parameters = {
            "url": folder,
            "model_name": MODEL_NAME,
            "initial_workers": "0",
            "synchronous": "false",
            "batch_size": str(batch_size),
            "max_batch_delay": str(batch_delay_ms),
            "response_timeout": str(response_timeout),
        }
        self._call("POST", "/models", parameters, allowed=(httpx.codes.CONFLICT,))

    def scale(self, version: int, workers: int) -> None:
        """Ask for ``workers`` processes; returns at once, before they are there."""
        count = str(workers)
        self._call(
            "PUT",
            f"{MODEL_PATH}/{version}",
            {"min_worker": count, "max_worker": count, "synchronous": "false"},
        )

    def set_default(self, version: int) -> None:
        """Requests without a version go to ``version`` from now on."""
        self._call("PUT", f"{MODEL_PATH}/{version}/set-default")

    def unregister(self, version: int) -> None:
        """Forget a version and kill its workers, with whatever they hold. An unknown version is not an error."""
        self._call("DELETE", f"{MODEL_PATH}/{version}", allowed=(httpx.codes.NOT_FOUND,))

    def _call(
        self, method: str, address: str, parameters: dict[str, str] | None = None, allowed: tuple[int, ...] = ()
    ) -> Any:
        try:
            self._knock()
            response = self._client.request(method, address, params=parameters)
        except (httpx.TransportError, OSError) as error:
            raise ManagementUnavailableError(f"the serving engine does not answer on {self._path}: {error}") from error
        if response.is_success or response.status_code in allowed:
            try:
                return response.json()
            except ValueError as error:
                message = f"the serving engine answered {method} {address} with no JSON: {error}"
                raise ManagementError(message) from error
        kind = VersionMissingError if response.status_code == httpx.codes.NOT_FOUND else ManagementError
        raise kind(f"the serving engine refused {method} {address}: {response.status_code} {_message(response)}")

    def _knock(self) -> None:
        """Raise ``OSError`` when nobody listens: httpx would leave a socket open whose connection was refused."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            connection.connect(str(self._path))


def _items(answer: Any) -> list[dict[str, Any]]:
    try:
        return model_items(answer)
    except ValueError as error:
        raise ManagementError(str(error)) from None


def _registered(item: dict[str, Any], defaults: set[str]) -> RegisteredVersion:
    version = str(item["modelVersion"])
    return RegisteredVersion(
        number=int(version),
        default=version in defaults,
        target_workers=int(item.get("minWorkers", 0)),
        workers=tuple(
            Worker(worker.get("pid"), worker.get("status") == READY, bool(worker.get("gpu")))
            for worker in item["workers"]
        ),
        pending=int(item.get("jobQueueStatus", {}).get("pendingRequests", 0)),
        problem=str(item.get("problem", "")),
    )


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]
