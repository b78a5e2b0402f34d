"""HTTP for taking a model along: ``/api/versions/<n>/model.zip``, with its class names and an example that runs it."""

import json
import shutil
import tempfile
import zipfile
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from handlers.sidecar.http import HEADERS
from handlers.templates import render_page
from handlers.updater.http.query import found_or_404
from model_store.layout import MODEL
from model_store.manifest import Manifest
from model_store.versions import VersionStore

LABELS, EXAMPLE = "labels.json", "example.py"
_TEMPLATE = Path(__file__).parent / "example.py.j2"


class ModelFiles:
    """The calls; ``routes`` puts them below ``/api``."""

    def __init__(self, versions: VersionStore) -> None:
        self._versions = versions

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route("/api/versions/{number:int}/model.zip", self.archive),
            Route("/api/versions/{number:int}/example.py", self.example),
        ]

    async def archive(self, request: Request) -> Response:
        """The verified ``model.onnx``, its labels in the order of its outputs, an example."""
        number = request.path_params["number"]
        folder = Path(tempfile.mkdtemp(prefix="lucir-"))
        try:
            await found_or_404(self._pack, number, folder)
        except BaseException:
            shutil.rmtree(folder)
            raise
        return FileResponse(
            folder / "model.zip",
            media_type="application/zip",
            filename=f"lucir-version-{number}.zip",
            headers=HEADERS,
            background=BackgroundTask(shutil.rmtree, folder),
        )

    async def example(self, request: Request) -> Response:
        """The example alone, to be read."""
        manifest = await found_or_404(self._versions.manifest, request.path_params["number"])
        return Response(example(manifest), media_type="text/plain", headers=HEADERS)

    def _pack(self, number: int, folder: Path) -> None:
        manifest = self._versions.fetch(number, folder, [MODEL])
        with zipfile.ZipFile(folder / "model.zip", "w", zipfile.ZIP_STORED) as archive:  # weights do not compress
            archive.write(folder / MODEL, MODEL)
            archive.writestr(LABELS, json.dumps(manifest.classes, ensure_ascii=False, indent=1))
            archive.writestr(EXAMPLE, example(manifest))
        (folder / MODEL).unlink()


def example(manifest: Manifest) -> str:
    """A short program that classifies an image with the model, as the service prepares and reads it."""
    shape = manifest.preprocessing
    return render_page(
        _TEMPLATE,
        version=manifest.version,
        resize=shape.resize,
        first=(shape.resize - shape.size) // 2,
        last=(shape.resize - shape.size) // 2 + shape.size,
        filter=shape.interpolation.upper(),
        output="probabilities" if manifest.readout == "cnn" else "prototype_cosines",
    )
