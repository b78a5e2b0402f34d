"""HTTP for going back: ``POST /api/rollback {"to": N}``, as ``lucir rollback N`` does it."""

from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.bucket.pointer_move import RefusedVersionError, move_pointer
from handlers.sidecar.http import json_answer
from handlers.updater.http.changes.access import check_access
from handlers.updater.http.changes.bodies import Body, read_json
from handlers.updater.http.source import Source
from model_store.documents import CorruptVersionError, VersionNotFoundError
from model_store.objects import PreconditionFailedError


class _RollbackBody(Body):
    to: int = Field(ge=1)
    force: bool = False


class RollbackApi:
    """The call; ``routes`` puts it below ``/api``."""

    def __init__(self, source: Source) -> None:
        self._objects = source.objects
        self._token = source.settings.updater.secret_token()

    def routes(self) -> list[Route]:
        """For the application."""
        return [Route("/api/rollback", self.rollback, methods=["POST"])]

    async def rollback(self, request: Request) -> Response:
        """``{"to": 3, "force": false}``: every server goes to version 3 once its files are verified.

        409 where the gate refused the version and ``force`` is not set, or somebody else moved the pointer meanwhile.
        """
        check_access(request, self._token)
        body = await read_json(request, _RollbackBody)
        try:
            moved = await run_in_threadpool(move_pointer, self._objects, body.to, force=body.force)
        except VersionNotFoundError as error:
            raise HTTPException(404, str(error)) from None
        except RefusedVersionError as error:
            raise HTTPException(409, f'{error}; to serve it all the same send "force": true') from None
        except CorruptVersionError as error:
            raise HTTPException(409, str(error)) from None
        except PreconditionFailedError as error:
            raise HTTPException(409, f"{error}: look at the versions and ask again") from None
        return json_answer({"version": moved.version, "previous": moved.previous, "forced": moved.forced})
