"""The operator's page: one document, and the scripts and styles of ``static/`` that it loads.

Their address holds a hash of them all, so that a browser keeps them until another release brings others.
"""

import hashlib
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from handlers.settings import Settings
from handlers.sidecar.http import HEADERS, json_answer
from handlers.templates import render_page
from handlers.updater.http.cached import FOREVER, tagged
from handlers.updater.http.changes.access import check_sender

_FOLDER = Path(__file__).parent
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Page:
    """The page and its files, read once."""

    def __init__(self, settings: Settings) -> None:
        self._token = settings.updater.secret_token()
        self._files = {path.name: path.read_bytes() for path in sorted((_FOLDER / "static").iterdir())}
        content = b"".join(name.encode() + data for name, data in self._files.items())
        self._digest = hashlib.sha256(content).hexdigest()[:16]
        modules = [name for name in self._files if name.endswith(".js")]
        self._page = render_page(_FOLDER / "page.html.j2", digest=self._digest, modules=modules)

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route("/", self.page),
            Route("/static/{digest}/{name}", self.static),
            Route("/api/access", self.access),
        ]

    async def page(self, _: Request) -> Response:
        """The page for people."""
        return HTMLResponse(self._page, headers=HEADERS | {"Content-Security-Policy": POLICY})

    async def static(self, request: Request) -> Response:
        """A script or a style."""
        data = self._files.get(request.path_params["name"])
        if data is None or request.path_params["digest"] != self._digest:
            raise HTTPException(404, "there is no such file in this release: load the page again")
        media_type = _TYPES[Path(request.path_params["name"]).suffix]
        return tagged(request, data, media_type, lifetime=FOREVER)

    async def access(self, request: Request) -> Response:
        """Whether the sender may change something, and if not, why and whether a token would help."""
        try:
            check_sender(request, self._token)
        except HTTPException as error:
            return json_answer({"allowed": False, "token": self._token is not None, "why": error.detail})
        return json_answer({"allowed": True, "token": self._token is not None, "why": ""})
