"""``evaluation/<class>/``: test images of the user's own, which are never trained on and never moved."""

import hashlib
import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handlers.bucket.dropped_names import class_name, looks_like_another_kind, why_left_alone
from handlers.bucket.layout import EVALUATION
from handlers.updater.context.decoded_images import DecodedWriter, open_decoded
from handlers.updater.intake.reader import Reader
from handlers.updater.intake.uploaded_file import UploadedFile
from model_store.objects import (
    ObjectNotFoundError,
    ObjectStore,
    ObjectTooLargeError,
    StoreError,
    StoreUnavailableError,
)

logger = logging.getLogger(__name__)


def own_images(
    objects: ObjectStore, classes: Collection[str], reader: Reader, folder: Path, *, keep: bool
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """(class, image) for every usable image of these classes; a file that is none is named in the log.

    The store is read once for all candidates of an update: with ``keep`` the images are kept in ``folder``, and what
    was kept there is given as it is.
    """
    kept = open_decoded(folder, reader.resize)
    if len(kept):
        yield from ((class_name(key.split("/")[1]), image) for key, image in kept.by_key())
        return
    files = [file for place, name in _folders(objects, classes) for file in _files(objects, place, name)]
    writer = DecodedWriter(folder, len(files), reader.resize) if keep and files else None
    for file, image in reader.read_all(files):
        if image is None:
            logger.warning("evaluation image left out", extra={"key": file.key, "reason": file.trouble or file.reason})
            continue
        if writer is not None:
            writer.add(file.key, file.sha256, image)
        yield file.class_name or "", image
    if writer is not None:
        writer.close()


def classes_with_own_images(objects: ObjectStore, classes: Collection[str], reader: Reader) -> frozenset[str]:
    """Those of the classes for which at least one usable image lies there."""
    return frozenset(
        name
        for folder, name in _folders(objects, classes)
        if any(image is not None for _, image in map(reader.read_one, _files(objects, folder, name)))
    )


def evaluation_duplicates(objects: ObjectStore, dropped: Mapping[str, int]) -> dict[str, str]:
    """sha256 -> key for those of the dropped files (sha256 -> size) that lie below ``evaluation/`` as well.

    Only files of a size that was dropped are read.
    """
    sizes = set(dropped.values())
    found: dict[str, str] = {}
    for info in objects.list(EVALUATION):
        if info.size not in sizes:
            continue
        try:
            digest = hashlib.sha256(objects.read(info.key, limit=info.size)).hexdigest()
        except (ObjectNotFoundError, ObjectTooLargeError):
            continue
        except StoreUnavailableError:
            raise
        except StoreError as error:
            logger.warning("evaluation image left out: %s", error, extra={"key": info.key})
            continue
        if digest in dropped:
            found.setdefault(digest, info.key)
    return found


def _folders(objects: ObjectStore, classes: Collection[str]) -> Iterator[tuple[str, str]]:
    for folder in objects.folders(EVALUATION):
        try:
            name = class_name(folder)
        except ValueError:
            continue
        if name in classes:
            yield folder, name


def _files(objects: ObjectStore, folder: str, name: str) -> Iterator[UploadedFile]:
    for info in objects.list(f"{EVALUATION}{folder}/"):
        path = info.key.removeprefix(f"{EVALUATION}{folder}/")
        if why_left_alone(path) is None and not looks_like_another_kind(path):
            yield UploadedFile(info, folder, path, name)
