"""HTTP for the exemplars that look most like an image: ``POST /api/versions/<n>/nearest``.

Alike is what the version's own network finds alike: the cosine of two feature vectors.
"""

import asyncio
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.inference.preprocess import BadImageError, ImageRules, crop, decode_square
from handlers.sidecar.http import json_answer
from handlers.updater.http.changes.access import FILE, check_own_page
from handlers.updater.http.changes.bodies import read_body
from handlers.updater.http.images.network import Network, scaled
from handlers.updater.http.images.thumbnails import read_exemplars
from handlers.updater.http.images.version_files import VerifiedFiles
from handlers.updater.http.query import found_or_404, whole
from handlers.updater.http.source import Source
from lucir_core.memory.feature_memory import read_rows
from lucir_core.memory.image_blobs import decode_image, image_digest
from model_store.layout import EXEMPLARS, FEATURES, MODEL
from model_store.manifest import Manifest
from model_store.versions import VersionStore

CLASSES = 5
"""The exemplars of so many classes are compared: those that the image is most probably of."""
CLASSES_KEPT = 200
"""Feature vectors of the exemplars of so many classes stay in memory: 100 KB each at most."""
SHOWN, MOST = 6, 50


class NearestApi:
    """The call; ``routes`` puts it below ``/api``."""

    def __init__(self, source: Source, files: VerifiedFiles) -> None:
        self._limits = source.settings.images
        self._finder = NearestExemplars(source.versions, files, self._limits)
        self._turns = asyncio.Semaphore(1)

    def routes(self) -> list[Route]:
        """For the application."""
        return [Route("/api/versions/{number:int}/nearest", self.nearest, methods=["POST"])]

    async def nearest(self, request: Request) -> Response:
        """Exemplars like the image in the body, the most alike first; ``?count=`` of them. It changes nothing.

        ``rank`` is that of ``/api/versions/<n>/exemplar``. None for a version of an early release, without features.
        """
        check_own_page(request, FILE)
        count, limit = min(whole(request, "count") or SHOWN, MOST), self._limits.max_bytes
        data = await read_body(request, limit, f"the image is larger than {limit} bytes (images.max_bytes)")
        number = request.path_params["number"]
        try:
            async with self._turns:
                found = await found_or_404(self._finder.find, number, data)
        except BadImageError as error:
            raise HTTPException(400, str(error)) from None
        rows = [{"class": name, "rank": rank, "cosine": round(cosine, 6)} for name, rank, cosine in found[:count]]
        return json_answer({"version": number, "nearest": rows})


class NearestExemplars:
    """The network of one version at a time, and feature vectors of its exemplars. Thread-safe."""

    def __init__(self, versions: VersionStore, files: VerifiedFiles, limits: ImageRules) -> None:
        self._versions = versions
        self._files = files
        self._limits = limits
        self._lock = threading.Lock()
        self._manifest: Manifest | None = None
        self._network: Network | None = None
        self._known: OrderedDict[str, NDArray[np.float32]] = OrderedDict()

    def find(self, number: int, data: bytes) -> list[tuple[str, int, float]]:
        """(class, rank among its exemplars, cosine), the most alike first; data: an image file.

        Raises ``VersionNotFoundError``, ``BadImageError``.
        """
        with self._lock:
            manifest, network = self._open(number)
            shape = manifest.preprocessing
            image = crop(decode_square(data, self._limits, shape.resize, shape.interpolation), shape.size)
            if network is None or not network.tells_features:
                return []
            features, probabilities = network.look(image[None])
            likely = [manifest.classes[label] for label in np.argsort(-probabilities[0], kind="stable")[:CLASSES]]
            found = [
                (name, rank, float(cosine))
                for name in likely
                for rank, cosine in enumerate(self._exemplars(manifest, network, name) @ features[0])
            ]
        return sorted((one for one in found if np.isfinite(one[2])), key=lambda one: -one[2])

    def _open(self, number: int) -> tuple[Manifest, Network | None]:
        if self._manifest is None or self._manifest.version != number:
            self._manifest, self._network = self._versions.manifest(number), None
            self._known.clear()
        if self._network is None:
            self._network = self._files.read(number, MODEL, Network.load)
        return self._manifest, self._network

    def _exemplars(self, manifest: Manifest, network: Network, name: str) -> NDArray[np.float32]:
        """(exemplars, dim), of length one, in herding order."""
        if name not in self._known:
            self._known[name] = self._features(manifest, network, name)
        self._known.move_to_end(name)
        while len(self._known) > CLASSES_KEPT:
            self._known.popitem(last=False)
        return self._known[name]

    def _features(self, manifest: Manifest, network: Network, name: str) -> NDArray[np.float32]:
        """Those that learning kept (a frozen backbone), else what the network makes of the images."""
        number = manifest.version
        pngs = self._files.read(number, EXEMPLARS, lambda path: read_exemplars(path, name)) or []
        images = [decode_image(png) for png in pngs]

        def kept(path: Path) -> NDArray[np.float32]:
            return read_rows(path, [image_digest(image) for image in images])

        rows = self._files.read(number, FEATURES, kept)
        if rows is not None:
            return scaled(rows)  # a row that is not there any more is not a number, and is left out
        return network.features([crop(image, manifest.preprocessing.size) for image in images])
