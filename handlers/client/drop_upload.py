"""Copying class folders into ``incoming/``: images first, the markers that say "complete" last."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from handlers.bucket.corrections import correction_key
from handlers.bucket.layout import INCOMING, READY_MARKER, safe_segment
from handlers.client.class_folders import ClassFolder
from handlers.client.errors import ClientError
from handlers.client.visible import visible
from handlers.inference.preprocess import ImageRules, file_suffix
from handlers.parallel import ordered_map
from model_store.objects import ObjectStore

PARALLEL = 8


@dataclass(frozen=True)
class Upload:
    """One image and the key it gets."""

    key: str
    path: Path


def drop_id() -> str:
    """A folder name of this drop's own, so that it replaces no image of an earlier drop that still waits."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def plan_uploads(classes: Sequence[ClassFolder], drop: str) -> list[Upload]:
    """Every image with its key: ``incoming/<class>/<drop>/<path>``."""
    return [
        Upload(f"{INCOMING}{each.name}/{drop}/{'/'.join(map(safe_segment, image.parts))}", each.folder / image)
        for each in classes
        for image in each.images
    ]


def prepare_correction(image: Path, name: str, rules: ImageRules) -> Upload:
    """An image and the key it gets as a correction. Raises ``ClientError`` for what cannot be one."""
    try:
        data = image.read_bytes()
        return Upload(correction_key(name, data, file_suffix(data, rules)), image)
    except OSError as error:
        raise ClientError(f"{visible(str(image))} cannot be read: {error.strerror}") from error
    except ValueError as error:  # BadImageError is one, and so is an impossible class name
        raise ClientError(f"{visible(str(image))} cannot be learnt as {name!r}: {error}") from error


def upload(store: ObjectStore, classes: Sequence[ClassFolder], uploads: Sequence[Upload]) -> Iterator[Upload]:
    """Copy all images, then mark every class as complete, so that all of them are learnt in one phase.

    Gives each image when it has been copied; the iterator has to be taken to its end. Raises ``StoreError``; what was
    copied then stays and is learnt when it has settled.
    """

    def put(one: Upload) -> Upload:
        store.upload(one.key, one.path)
        return one

    def mark(each: ClassFolder) -> None:
        store.write(f"{INCOMING}{each.name}/{READY_MARKER}", b"")

    yield from ordered_map(put, uploads, PARALLEL)
    for _ in ordered_map(mark, classes, PARALLEL):
        pass
