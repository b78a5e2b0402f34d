"""HTTP for the classes of a version: ``/api/classes``, a page of them at a time."""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.updater.http.cached import tagged_json
from handlers.updater.http.query import found_or_404, whole
from handlers.updater.http.source import Source

SHOWN, MOST = 24, 500
ORDERS = ("name", "accuracy", "images", "newest")


class ClassApi:
    """The call; ``routes`` puts it below ``/api``."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def routes(self) -> list[Route]:
        """For the application."""
        return [Route("/api/classes", self.list)]

    async def list(self, request: Request) -> Response:
        """Classes of the current version, or of ``?version=``, with counts, accuracy and its 95 % interval.

        ``?search=`` takes names that hold these letters, ``?name=`` (repeated) just these names; ``?order=``: ``name``,
        ``accuracy`` (worst first), ``images`` (fewest first), ``newest``; ``?limit=`` and ``?offset=`` give a page.
        """
        query = request.query_params
        limit, offset = min(whole(request, "limit") or SHOWN, MOST), whole(request, "offset", least=0) or 0
        order = query.get("order", "name")
        if order not in ORDERS:
            raise HTTPException(400, f"order is {order[:40]!r}: choose of {', '.join(ORDERS)}")
        number = whole(request, "version") or self._source.status.snapshot()["current_version"]
        if number is None:
            return tagged_json(request, {"version": None, "total": 0, "found": 0, "classes": []})
        version = await found_or_404(self._source.view.one, number)
        if "error" in version:
            raise HTTPException(503, version["error"])
        names = _matching(version["classes"], query.get("search", ""), query.getlist("name"))
        cards = _sorted([_card(version, name) for name in names], order, version)
        content = {
            "version": number,
            "total": len(version["classes"]),
            "found": len(cards),
            "classes": cards[offset : offset + limit],
        }
        return tagged_json(request, content)


def _matching(classes: list[str], search: str, names: list[str]) -> list[str]:
    wanted = search.casefold().strip()
    return [name for name in classes if wanted in name.casefold() and (not names or name in names)]


def _card(version: dict[str, Any], name: str) -> dict[str, Any]:
    """One class; ``accuracy`` is null where none was measured, and ``interval`` then is null as well."""
    counts, accuracy = version["counts"], version["class_accuracy"].get(name)
    measured = version["class_images"].get(name, 0)
    return {
        "name": name,
        "images": counts["train"].get(name, 0) + counts["holdout"].get(name, 0),
        "exemplars": counts["exemplars"].get(name, 0),
        "accuracy": accuracy,
        "measured": measured,
        "interval": version["class_intervals"].get(name),
        "is_new": name in version["new_classes"],
    }


def _sorted(cards: list[dict[str, Any]], order: str, version: dict[str, Any]) -> list[dict[str, Any]]:
    if order == "accuracy":
        return sorted(cards, key=lambda card: (card["accuracy"] is None, card["accuracy"]))
    if order == "images":
        return sorted(cards, key=lambda card: card["images"])
    if order == "newest":
        place = {name: -position for position, name in enumerate(version["classes"])}
        return sorted(cards, key=lambda card: place[card["name"]])
    return sorted(cards, key=lambda card: card["name"].casefold())
