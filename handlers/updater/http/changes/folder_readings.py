"""HTTP for what the paths of a folder mean, before anything of it is sent: ``POST /api/layout``.

The page cannot look into files and knows no rule of its own; the rules are those of ``lucir drop``.
"""

from collections.abc import Iterable

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.bucket.dropped_names import (
    TwoReadingsError,
    class_folders,
    class_name,
    looks_like_an_image,
    why_left_alone,
)
from handlers.sidecar.http import json_answer
from handlers.updater.http.changes.access import check_access
from handlers.updater.http.changes.bodies import Body, read_json
from handlers.updater.http.source import Source

MOST_FILES = 200_000
LARGEST_BODY = 64 * 1024 * 1024
"""Of so many paths, in bytes."""


class _LayoutBody(Body):
    paths: list[str] = Field(max_length=MOST_FILES)


class LayoutApi:
    """The call; ``routes`` puts it below ``/api``."""

    def __init__(self, source: Source) -> None:
        self._token = source.settings.updater.secret_token()

    def routes(self) -> list[Route]:
        """For the application."""
        return [Route("/api/layout", self.read, methods=["POST"])]

    async def read(self, request: Request) -> Response:
        """Places in ``paths`` of what is left out, the classes with the folder of each, and what is unclear."""
        check_access(request, self._token)
        paths = (await read_json(request, _LayoutBody, LARGEST_BODY)).paths
        hidden = [place for place, path in enumerate(paths) if why_left_alone(path) is not None]
        left = set(hidden)
        others = [place for place, path in enumerate(paths) if place not in left and not looks_like_an_image(path)]
        left.update(others)
        classes, unclear = read_folders(path for place, path in enumerate(paths) if place not in left)
        return json_answer({"classes": classes, "unclear": unclear, "hidden": hidden, "others": others})


def read_folders(images: Iterable[str]) -> tuple[list[dict[str, str]], list[str]]:
    """([{"class", "folder"}], what is unclear in words): each folder at the top is a class, or holds classes."""
    roots: dict[str, list[list[str]]] = {}
    loose = 0
    for image in images:
        root, *below = image.split("/")
        if below:
            roots.setdefault(root, []).append(below)
        else:
            loose += 1
    found: list[dict[str, str]] = []
    unclear = (
        [f"{loose} of the files {'lies' if loose == 1 else 'lie'} in no folder: type the class that they are of"]
        if loose
        else []
    )
    for root, inside in roots.items():
        try:
            names = class_folders(inside)
            folders = [(root, f"{root}/")] if names is None else [(name, f"{root}/{name}/") for name in names]
            found += [{"class": class_name(name), "folder": folder} for name, folder in folders]
        except TwoReadingsError as two:
            unclear.append(_both_readings(root, two))
        except ValueError as error:
            unclear.append(f"{root}: {error}; rename the folder")
    return found, unclear


def _both_readings(root: str, two: TwoReadingsError) -> str:
    if two.why == "loose images":
        beside = "type the class if all are one, or choose the folders alone"
        return f"{root} holds images beside folders with images: {beside}"
    if two.why == "parts":
        return f"{root} holds parts of a data set ({', '.join(two.names[:5])}): choose one of them, or type the class"
    return f"{root} holds {two.names[0]}, which holds folders: choose {two.names[0]}, or type the class"
