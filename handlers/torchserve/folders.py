"""Folders of TorchServe's model store: one per version, registered as they are, without an archive."""

import json
from pathlib import Path
from typing import Final

from handlers.inference.open_inference import MODEL_NAME
from handlers.inference.workers.worker import NOTHING_LEARNT_FILE
from handlers.settings import Settings
from handlers.store import incoming_place
from model_store.manifest import Manifest

HANDLER: Final = "handlers.classifier"
"""The module in which TorchServe's workers find the classifier."""
NOTHING_LEARNT: Final = 0
"""The version that answers while there is none."""


def folder_name(version: int) -> str:
    """The folder of a version in the model store, which is also the address it is registered by."""
    return f"{MODEL_NAME}-{version}"


def version_of(folder: Path) -> int | None:
    """The version whose folder this is; None for other folders."""
    prefix, _, number = folder.name.rpartition("-")
    return int(number) if prefix == MODEL_NAME and number.isdecimal() else None


def prepare_version_folder(folder: Path) -> None:
    """Add what TorchServe reads to a mirrored version: ``MAR-INF/MANIFEST.json``."""
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    _write_description(folder, manifest.version, manifest.created_at.isoformat())


def prepare_nothing_learnt(settings: Settings) -> Path:
    """Write the folder of version 0, which answers every request with where to drop images; returns it."""
    folder = settings.models_folder / folder_name(NOTHING_LEARNT)
    folder.mkdir(parents=True, exist_ok=True)
    error = f"nothing learnt yet: drop at least two class folders into {incoming_place(settings)}"
    (folder / NOTHING_LEARNT_FILE).write_text(json.dumps({"error": error}, ensure_ascii=False), encoding="utf-8")
    _write_description(folder, NOTHING_LEARNT, "1970-01-01T00:00:00+00:00")
    return folder


def _write_description(folder: Path, version: int, created: str) -> None:
    description = {
        "createdOn": created,
        "runtime": "python",
        "model": {"modelName": MODEL_NAME, "handler": HANDLER, "modelVersion": str(version)},
        "archiverVersion": "0.12.0",
    }
    (folder / "MAR-INF").mkdir(exist_ok=True)
    (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(description), encoding="utf-8")
