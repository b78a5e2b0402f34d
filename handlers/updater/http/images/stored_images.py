"""HTTP for stored originals: those of a class, and those that were rejected; newest updates first, a page at a time.

Updates are read one after the other until a page is full, so that the cost does not grow with the age of the store.
"""

from collections.abc import Callable, Iterator
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.bucket.layout import ARCHIVE, has_image_suffix
from handlers.bucket.seen_images import FILE as LEARNT
from handlers.bucket.seen_images import Learnt, short
from handlers.bucket.update_documents import Entry
from handlers.parallel import ordered_map
from handlers.updater.http.cached import tagged_json
from handlers.updater.http.images.version_files import VerifiedFiles
from handlers.updater.http.query import whole
from handlers.updater.http.source import Source
from model_store.objects import exists

SHOWN, MOST = 24, 200
UPDATES_READ = 100
"""Updates that one request reads; the next page goes on from there."""
PARALLEL = 8


class StoredImagesApi:
    """The calls; ``routes`` puts them below ``/api``."""

    def __init__(self, source: Source, files: VerifiedFiles) -> None:
        self._source = source
        self._files = files

    def routes(self) -> list[Route]:
        """For the application."""
        return [Route("/api/classes/{name}/images", self.of_class), Route("/api/rejected", self.rejected)]

    async def of_class(self, request: Request) -> Response:
        """Stored originals that the current version learnt as the class; ``next`` is the ``?before=`` of the rest."""
        name = request.path_params["name"]
        number = self._source.status.snapshot()["current_version"]
        learnt = None
        if number is not None:
            learnt = await run_in_threadpool(self._files.read, number, LEARNT, Learnt.load)
        if learnt is None or name not in learnt.classes:
            raise HTTPException(404, f"nothing is known of images of {name[:200]!r}: see /api/classes")
        wanted = learnt.of_class(name)
        return await self._page(
            request,
            lambda entry: entry.role in {"train", "holdout"} and short(entry.sha256) in wanted,
            lambda update, entry: {"key": entry.target, "sha256": entry.sha256, "update": update, "role": entry.role},
        )

    async def rejected(self, request: Request) -> Response:
        """Files below ``rejected/`` with the reason of each; paged as the images of a class."""
        return await self._page(
            request,
            lambda entry: entry.role == "rejected" and not entry.target.startswith(ARCHIVE),
            lambda update, entry: {
                "key": entry.target,
                "file": entry.key,
                "sha256": entry.sha256,
                "class": entry.class_name,
                "reason": entry.reason,
                "update": update,
                "image": has_image_suffix(entry.key),
            },
        )

    async def _page(
        self, request: Request, choose: Callable[[Entry], bool], tell: Callable[[str, Entry], dict[str, Any]]
    ) -> Response:
        limit = min(whole(request, "limit") or SHOWN, MOST)
        start = _cursor(request.query_params.get("before"))
        found, following = await run_in_threadpool(self._collect, choose, start, limit)
        rows = [tell(update, entry) for update, entry in found]
        return await run_in_threadpool(tagged_json, request, {"images": rows, "next": following})

    def _collect(
        self, choose: Callable[[Entry], bool], start: tuple[int, int] | None, limit: int
    ) -> tuple[list[tuple[str, Entry]], str | None]:
        """At most ``limit`` entries whose objects are there, and where to go on, as the next request says it."""
        ids = [each for each in reversed(self._source.records.ids()) if start is None or int(each) <= start[0]]
        found: list[tuple[str, Entry]] = []
        for update in ids[:UPDATES_READ]:
            skipped = start[1] if start is not None and int(update) == start[0] else 0
            for position, entry in self._there(update, choose, skipped):
                found.append((update, entry))
                if len(found) == limit:
                    return found, f"{int(update)}.{position + 1}"
        return found, f"{int(ids[UPDATES_READ])}.0" if len(ids) > UPDATES_READ else None

    def _there(self, update: str, choose: Callable[[Entry], bool], skipped: int) -> Iterator[tuple[int, Entry]]:
        """(place among the plan's entries, entry) of those that are chosen and still where the plan put them."""
        plan = self._source.records.plan(update)
        chosen = [
            (position, entry)
            for position, entry in enumerate(plan.entries if plan is not None else ())
            if position >= skipped and entry.key != entry.target and choose(entry)  # else an earlier update has it
        ]
        for first in range(0, len(chosen), SHOWN):
            block = chosen[first : first + SHOWN]
            there = ordered_map(lambda one: exists(self._source.objects, one[1].target), block, PARALLEL)
            yield from (one for one, is_there in zip(block, there, strict=True) if is_there)


def _cursor(text: str | None) -> tuple[int, int] | None:
    """(update, entries of it that were shown), of ``next`` in an earlier answer."""
    if text is None:
        return None
    update, _, position = text.partition(".")
    if not (update.isdigit() and position.isdigit() and text.isascii() and len(text) < 30):
        raise HTTPException(400, f"before is {text[:40]!r}: take it from the answer before, where it is called next")
    return int(update), int(position)
