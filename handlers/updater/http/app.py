"""The updater's HTTP: the operator's page, metrics, health, status, which only read; and requests for changes."""

import logging

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from handlers.sidecar.http import answer_bug, answer_missing, json_answer
from handlers.updater.http.cached import tagged_json
from handlers.updater.http.changes.correct import CorrectionApi
from handlers.updater.http.changes.edits import EditApi
from handlers.updater.http.changes.folder_readings import LayoutApi
from handlers.updater.http.changes.labels import LabelApi
from handlers.updater.http.changes.retries import RetryApi
from handlers.updater.http.changes.rollbacks import RollbackApi
from handlers.updater.http.changes.uploads import UploadApi
from handlers.updater.http.images.class_cards import ClassApi
from handlers.updater.http.images.nearest import NearestApi
from handlers.updater.http.images.stored_images import StoredImagesApi
from handlers.updater.http.images.thumbnails import ThumbnailApi
from handlers.updater.http.images.version_files import VerifiedFiles
from handlers.updater.http.model_files import ModelFiles
from handlers.updater.http.page import Page
from handlers.updater.http.probes import Probes
from handlers.updater.http.reports import ReportApi
from handlers.updater.http.source import Source
from handlers.updater.http.try_image import TryApi
from handlers.updater.http.version_answers import VersionApi
from model_store.objects import InvalidKeyError, StoreError

logger = logging.getLogger(__name__)


def make_app(source: Source) -> Starlette:
    """The ASGI application."""
    return Starlette(
        routes=[*_reading(source), *_changing(source)],
        middleware=[Middleware(GZipMiddleware, minimum_size=1024, compresslevel=6)],
        exception_handlers={
            HTTPException: answer_missing(
                "/, /api/status, /api/versions, /metrics, /healthz, /readyz",
                "most is read with GET, classes are changed below /api/classes",
            ),
            InvalidKeyError: _bad_key,
            StoreError: _store_error,
            ClientDisconnect: _gone,
            Exception: answer_bug,
        },
    )


def _reading(source: Source) -> list[BaseRoute]:
    files = VerifiedFiles(source.versions, source.settings.work_folder)

    async def status(request: Request) -> Response:
        """See ``Status.snapshot``."""
        return tagged_json(request, source.status.snapshot())

    return [
        *Page(source.settings).routes(),
        *Probes(source).routes(),
        Route("/api/status", status),
        *VersionApi(source).routes(),
        *ModelFiles(source.versions).routes(),
        *ReportApi(source.versions).routes(),
        *ClassApi(source).routes(),
        *StoredImagesApi(source, files).routes(),
        *ThumbnailApi(source, files).routes(),
        *TryApi(source.settings).routes(),
        *NearestApi(source, files).routes(),
    ]


def _changing(source: Source) -> list[BaseRoute]:
    return [
        *EditApi(source).routes(),
        *CorrectionApi(source).routes(),
        *LabelApi(source).routes(),
        *LayoutApi(source).routes(),
        *UploadApi(source).routes(),
        *RetryApi(source).routes(),
        *RollbackApi(source).routes(),
    ]


async def _store_error(_: Request, error: Exception) -> Response:
    return json_answer({"error": str(error)}, 503)


async def _bad_key(_: Request, error: Exception) -> Response:
    """A name in the request, which no object can have."""
    return json_answer({"error": str(error)}, 400)


async def _gone(request: Request, _: Exception) -> Response:
    """The client closed the connection while sending: what had arrived is dropped, and nobody reads this answer."""
    logger.info("the sender of %s %s went away", request.method, request.url.path)
    return json_answer({"error": "the body of the request was cut short"}, 400)
