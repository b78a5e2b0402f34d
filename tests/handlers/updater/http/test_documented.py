"""``docs/http.md`` names every call that the updater answers, and none that it does not."""

import re
from collections.abc import Iterator
from pathlib import Path

from starlette.routing import BaseRoute, Match, Route

from handlers.updater.http.app import make_app
from handlers.updater.service import Updater

PAGE = Path(__file__).parents[4] / "docs/http.md"
CALL = re.compile(r"`(?:(POST|PUT|DELETE) )?(/[^`\s]*)`")
FILES = "/static/{digest}/{name}"
"""Named as a folder there."""


def documented() -> Iterator[tuple[str, str]]:
    """(method, path) of each call in the first column of a table, with something in place of each ``<name>``."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            for method, path in CALL.findall(line.split("|")[1]):
                yield method or "GET", re.sub(r"<\w+>", "1", path.partition("?")[0])


def match(routes: list[BaseRoute], method: str, path: str) -> str | None:
    """The path of the route that answers; None where none does."""
    scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
    for route in routes:
        if isinstance(route, Route) and route.matches(scope)[0] is Match.FULL:
            return f"{method} {route.path}"
    return None


def test_every_call_is_documented_and_every_documented_call_is_answered(updater: Updater) -> None:
    routes = make_app(updater).routes
    found = {call: match(routes, *call) for call in documented()}
    assert [call for call, route in found.items() if route is None] == []
    every = {
        f"{method} {route.path}"
        for route in routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert every - set(found.values()) == {f"GET {FILES}"}
