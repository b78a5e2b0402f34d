"""The management socket: the calls of TorchServe's API that ``handlers.torchserve.management`` makes, and its answers.

Each returns at once; loading goes on in the model processes, and ``GET`` tells how far it is.
"""

import re
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from handlers.inference.open_inference import MODEL_NAME
from handlers.server.batches import Batcher
from handlers.server.loaded_versions import LoadedVersion, LoadedVersions
from handlers.server.model_pool import ModelPool
from handlers.torchserve.model_status import MODEL_PATH, READY

_WORDS = {"known": "STOPPED", "loading": "LOADING", "ready": READY, "failed": "FAILED"}


def make_management_app(
    versions: LoadedVersions, batcher: Batcher, pool: ModelPool, models: Path, *, gpu: bool
) -> Starlette:
    """The ASGI application; ``models`` is the folder whose folders may be registered."""
    calls = _Calls(versions, batcher, pool, models, gpu)
    routes = [
        Route("/models", calls.register, methods=["POST"]),
        Route(MODEL_PATH, calls.default, methods=["GET"]),
        Route(f"{MODEL_PATH}/all", calls.everything, methods=["GET"]),
        Route(f"{MODEL_PATH}/{{version:int}}", calls.scale, methods=["PUT"]),
        Route(f"{MODEL_PATH}/{{version:int}}", calls.unregister, methods=["DELETE"]),
        Route(f"{MODEL_PATH}/{{version:int}}/set-default", calls.set_default, methods=["PUT"]),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _refused})


class _Calls:
    def __init__(self, versions: LoadedVersions, batcher: Batcher, pool: ModelPool, models: Path, gpu: bool) -> None:
        self._versions = versions
        self._batcher = batcher
        self._pool = pool
        self._models = models
        self._gpu = gpu

    async def register(self, request: Request) -> Response:
        """``url`` is the name of a folder of the model store."""
        name = request.query_params.get("url", "")
        match = re.fullmatch(rf"{MODEL_NAME}-(\d{{1,9}})", name, re.ASCII)
        folder = self._models / name
        if match is None or not folder.is_dir():
            raise HTTPException(404, f"there is no folder {name[:100]!r} of a version in {self._models}")
        if not self._versions.register(int(match[1]), folder):
            raise HTTPException(409, f"version {int(match[1])} is registered already")
        return _done(f"version {int(match[1])} is registered")

    async def default(self, _: Request) -> Response:
        """The version that answers everybody; an empty list while versions are registered and none of them does."""
        if not self._versions.known:
            raise HTTPException(404, "no version is registered")
        version = self._versions.default
        return JSONResponse([] if version is None else [self._describe(version)])

    async def everything(self, _: Request) -> Response:
        if not self._versions.known:
            raise HTTPException(404, "no version is registered")
        return JSONResponse([self._describe(version) for version in self._versions.known.values()])

    async def scale(self, request: Request) -> Response:
        """``min_worker``: how many workers the caller wants to see."""
        workers = request.query_params.get("min_worker", "1")
        if not workers.isdecimal():
            raise HTTPException(400, f"min_worker is {workers[:20]!r}: send a whole number")
        version = self._named(request)
        self._versions.start(version, int(workers))
        return _done(f"version {version.number} is being loaded", 202)

    async def set_default(self, request: Request) -> Response:
        version = self._named(request)
        if version.state != "ready":
            raise HTTPException(400, f"version {version.number} is {version.state}: only a ready one can answer")
        self._versions.make_default(version)
        return _done(f"version {version.number} answers now")

    async def unregister(self, request: Request) -> Response:
        number = int(request.path_params["version"])
        if not self._versions.forget(number):
            raise HTTPException(404, f"version {number} is not registered")
        return _done(f"version {number} is unregistered")

    def _named(self, request: Request) -> LoadedVersion:
        number = int(request.path_params["version"])
        version = self._versions.known.get(number)
        if version is None:
            raise HTTPException(404, f"version {number} is not registered")
        return version

    def _describe(self, version: LoadedVersion) -> dict[str, Any]:
        status = _WORDS[version.state]
        pids = [process.pid for process in self._pool.processes]
        workers = [{"pid": pid, "status": status if pid is not None else "LOADING", "gpu": self._gpu} for pid in pids]
        return {
            "modelName": MODEL_NAME,
            "modelVersion": str(version.number),
            "minWorkers": version.workers,
            "workers": workers if version.workers else [],
            "jobQueueStatus": {"pendingRequests": self._batcher.waiting_for(version.number)},
            "problem": version.problem,
        }


def _done(text: str, status: int = 200) -> Response:
    return JSONResponse({"status": text}, status)


async def _refused(_: Request, error: Exception) -> Response:
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, str(error))
    return JSONResponse({"code": status, "message": detail}, status)
