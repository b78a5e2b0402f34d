"""The inference port: predictions, the open inference protocol, health; every answer is JSON."""

import asyncio
import logging
import re
from dataclasses import dataclass
from typing import Any, Final

from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from handlers.inference.open_inference import MODEL_NAME
from handlers.inference.replies import RawRequest, Reply, encode
from handlers.server.batches import Batcher, QueueFullError
from handlers.server.description import openapi_json, software_version
from handlers.server.loaded_versions import LoadedVersion, LoadedVersions
from handlers.server.request_body import WHOLE_BODY, read_body, read_fields

logger = logging.getLogger(__name__)

SEND: Final = ["POST", "PUT"]
"""``curl -T`` sends PUT."""
DIRECT: Final = frozenset({f"/predictions/{MODEL_NAME}", f"/v2/models/{MODEL_NAME}/infer"})
OPTIONS: Final = frozenset({"top_k"})
"""What may stand in the query instead of a header."""


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What a client may cost: bytes of a body, seconds of its arrival, seconds until its answer."""

    body_bytes: int
    body_seconds: float
    answer_seconds: float


def make_inference_app(versions: LoadedVersions, batcher: Batcher, limits: RequestLimits) -> "InferenceApp":
    """The ASGI application; ``handlers.server.gateway`` stands before it."""
    pages = _Pages(versions, batcher, limits)
    name = MODEL_NAME
    routes = [
        Route(f"/predictions/{name}", pages.predict, methods=SEND),
        Route(f"/predictions/{name}/{{version}}", pages.predict, methods=SEND),
        Route(f"/{name}/predict", pages.predict, methods=SEND),
        Route(f"/{name}/{{version}}/predict", pages.predict, methods=SEND),
        Route(f"/models/{name}/invoke", pages.predict, methods=SEND),
        Route("/invocations", pages.predict, methods=SEND),
        Route(f"/v2/models/{name}/infer", pages.predict, methods=SEND),
        Route(f"/v2/models/{name}/versions/{{version}}/infer", pages.predict, methods=SEND),
        Route("/v2", pages.server_metadata),
        Route("/v2/health/live", pages.live),
        Route("/v2/health/ready", pages.ready),
        Route(f"/v2/models/{name}", pages.model_metadata),
        Route(f"/v2/models/{name}/ready", pages.model_ready),
        Route(f"/v2/models/{name}/versions/{{version}}", pages.model_metadata),
        Route(f"/v2/models/{name}/versions/{{version}}/ready", pages.model_ready),
        Route(f"/models/{name}", pages.model),
        Route("/ping", pages.ping),
        Route("/openapi.json", pages.description),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refused, Exception: _bug})
    app.router.redirect_slashes = False  # the gateway takes a slash at the end away
    return InferenceApp(app, pages)


class InferenceApp:
    """The addresses that nearly all requests name, past the routes and what Starlette wraps around them: a tenth of a
    millisecond; everything else to ``app``.
    """

    def __init__(self, app: Starlette, pages: "_Pages") -> None:
        self._app = app
        self._pages = pages
        self.routes = app.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["path"] not in DIRECT or scope["method"] not in SEND:
            await self._app(scope, receive, send)
            return
        try:
            reply = await self._pages.classify(scope, receive, None)
        except Exception as error:  # noqa: BLE001 (nobody foresaw it: it is logged, the client gets an answer)
            page = _refused if isinstance(error, HTTPException) else _bug
            response = await page(Request(scope, receive), error)
            await response(scope, receive, send)
            return
        headers = [(b"content-length", b"%d" % len(reply.body)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})


class _Pages:
    def __init__(self, versions: LoadedVersions, batcher: Batcher, limits: RequestLimits) -> None:
        self._versions = versions
        self._batcher = batcher
        self._limits = limits

    async def predict(self, request: Request) -> Response:
        """Classify the image of a request: 200, or what is wrong with it."""
        reply = await self.classify(request.scope, request.receive, self._asked_for(request))
        return _json(reply.body, reply.status)

    async def classify(self, scope: Scope, receive: Receive, version: LoadedVersion | None) -> Reply:
        """The answer of ``version``, or of the one that answers everybody. Raises ``HTTPException``."""
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
        limits, whole = self._limits, WHOLE_BODY in scope.get("state", ())
        body = await read_body(receive, headers, limits.body_bytes, limits.body_seconds, whole=whole)
        fields = await read_fields(headers, body)
        if scope["query_string"]:  # it comes before a header that says the same
            query = QueryParams(scope["query_string"])
            headers = {**{name: value for name, value in query.items() if name in OPTIONS}, **headers}
        return await self._reply(RawRequest(fields, headers), version)

    async def _reply(self, raw: RawRequest, version: LoadedVersion | None) -> Reply:
        try:
            waiting = self._batcher.submit(raw, None if version is None else version.number)
        except QueueFullError as error:
            raise HTTPException(429, str(error), {"Retry-After": "1"}) from error
        limit = asyncio.get_running_loop().call_later(self._limits.answer_seconds, _give_up, waiting)
        try:
            return await waiting
        except TimeoutError:
            raise HTTPException(
                503, f"no answer within {self._limits.answer_seconds:g} s: try again in a moment", {"Retry-After": "1"}
            ) from None
        finally:
            limit.cancel()

    async def description(self, _: Request) -> Response:
        """All of this in the words of OpenAPI."""
        return _json(openapi_json(), 200)

    async def ping(self, _: Request) -> Response:
        """The process answers; whether a version does is ``/v2/health/ready``."""
        return _answer({"status": "Healthy"})

    async def live(self, _: Request) -> Response:
        return _answer({"live": True})

    async def ready(self, _: Request) -> Response:
        """Whether requests are answered by a version, be it that nothing has been learnt."""
        ready = self._versions.default is not None
        return _answer({"ready": ready}, 200 if ready else 503)

    async def server_metadata(self, _: Request) -> Response:
        return _answer({"name": MODEL_NAME, "version": software_version(), "extensions": []})

    async def model(self, _: Request) -> Response:
        """The version that answers everybody, its classes in the order of the model's outputs, what it wants to see."""
        model = self._model(self._versions.default)
        return _answer(
            {
                "model_name": MODEL_NAME,
                "model_version": model.version,
                "classes": list(model.classes),
                "input": {"size": model.size, "resize": model.resize, "interpolation": model.interpolation},
            }
        )

    async def model_metadata(self, request: Request) -> Response:
        """As the open inference protocol has it."""
        model = self._model(self._asked_for(request) or self._versions.default)
        outputs = [("class", "BYTES"), ("probability", "FP32"), ("cosine", "FP32")]
        return _answer(
            {
                "name": MODEL_NAME,
                "versions": [str(number) for number, each in sorted(self._versions.known.items()) if each.model],
                "platform": "onnxruntime_onnx",
                "inputs": [{"name": "image", "datatype": "BYTES", "shape": [-1]}],
                "outputs": [{"name": name, "datatype": kind, "shape": [-1, -1]} for name, kind in outputs],
                "parameters": {"model_version": str(model.version), "classes": list(model.classes)},
            }
        )

    async def model_ready(self, request: Request) -> Response:
        version = self._asked_for(request) or self._versions.default
        ready = version is not None and version.model is not None
        return _answer({"name": MODEL_NAME, "ready": ready}, 200 if ready else 503)

    def _asked_for(self, request: Request) -> LoadedVersion | None:
        """The version in the path; None without one. Raises ``HTTPException`` 404 for one that is not loaded."""
        name = request.path_params.get("version")
        if name is None:
            return None
        number = int(name) if re.fullmatch(r"[0-9]{1,9}", name) else -1
        version = self._versions.known.get(number)
        if version is None or version.state != "ready":
            loaded = [str(number) for number, each in sorted(self._versions.known.items()) if each.state == "ready"]
            raise HTTPException(404, f"version {name[:20]} is not served here; loaded: {', '.join(loaded) or 'none'}")
        return version

    def _model(self, version: LoadedVersion | None) -> Any:
        if version is None or version.model is None:
            raise HTTPException(503, (version.notice if version is not None else "") or "no version is loaded yet")
        return version.model


def _give_up(waiting: asyncio.Future[Reply]) -> None:
    """Cheaper than ``asyncio.timeout``, which every request would pay for."""
    if not waiting.done():
        waiting.set_exception(TimeoutError())


def _answer(document: dict[str, Any], status: int = 200) -> Response:
    return _json(encode(document), status)


def _json(body: bytes, status: int) -> Response:
    return Response(body, status, media_type="application/json")


async def _refused(request: Request, error: Exception) -> Response:
    status, detail, headers = 500, str(error), None
    if isinstance(error, HTTPException):
        status, detail, headers = error.status_code, error.detail, error.headers
    if status == 404 and detail == "Not Found":
        detail = f"there is nothing at {request.url.path[:200]}: POST images to /predictions/{MODEL_NAME}"
    if status == 405:
        allowed = ", ".join(sorted([*(headers or {})["Allow"].split(", "), "OPTIONS"]))
        headers = {"Allow": allowed}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
        detail = f"{request.method} is not possible at {request.url.path[:200]}: see the header Allow"
    answer = _answer({"error": detail}, status)
    answer.headers.update(headers or {})
    return answer


async def _bug(request: Request, error: Exception) -> Response:
    logger.error("a request for %s failed", request.url.path, exc_info=error)
    return _answer({"error": "internal error; the server's log has the details"}, 500)
