"""HTTP for a corrected answer: ``POST /api/corrections?class=<name>``, the image file as a body of octets."""

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.bucket.corrections import put_correction
from handlers.inference.preprocess import BadImageError, file_suffix
from handlers.sidecar.http import json_answer
from handlers.updater.http.changes.access import FILE, check_access
from handlers.updater.http.changes.bodies import read_body
from handlers.updater.http.changes.uploads import checked_class
from handlers.updater.http.source import Source


class CorrectionApi:
    """The call; ``routes`` puts it below ``/api``."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._token = source.settings.updater.secret_token()

    def routes(self) -> list[Route]:
        """For the application."""
        return [Route("/api/corrections", self.correct, methods=["POST"])]

    async def correct(self, request: Request) -> Response:
        """Put the image where it is learnt as the class that ``?class=`` names; 202 with its key."""
        check_access(request, self._token, FILE)
        name = request.query_params.get("class")
        if name is None:
            raise HTTPException(400, "name the right class: POST /api/corrections?class=NAME")
        name = checked_class(name)
        limits = self._source.settings.images
        data = await read_body(
            request, limits.max_bytes, f"the image is larger than {limits.max_bytes} bytes (images.max_bytes)"
        )
        try:
            suffix = await run_in_threadpool(file_suffix, data, limits)
        except BadImageError as error:
            raise HTTPException(400, str(error)) from None
        key = await run_in_threadpool(put_correction, self._source.objects, name, data, suffix)
        return json_answer({"key": key, "class": name}, 202)
