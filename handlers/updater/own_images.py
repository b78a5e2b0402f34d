"""``evaluation/<class>/``: test images of the user's own, which are never trained on and never moved."""

import logging
from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from handlers.updater.names import EVALUATION, class_name, has_image_suffix
from handlers.updater.reading import Item, Reader
from model_store.objects import ObjectStore

logger = logging.getLogger(__name__)


def own_images(
    objects: ObjectStore, classes: Collection[str], reader: Reader
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """(class, picture) for every usable image of these classes; a file that is none is named in the log."""
    for folder, name in _folders(objects, classes):
        for read in reader.read_all(_items(objects, folder, name)):
            if read.picture is not None:
                yield name, read.picture
            else:
                logger.warning("evaluation image left out", extra={"key": read.item.info.key, "reason": read.reason})


def classes_with_own_images(objects: ObjectStore, classes: Collection[str], reader: Reader) -> frozenset[str]:
    """Those of the classes for which at least one usable image lies there."""
    return frozenset(
        name
        for folder, name in _folders(objects, classes)
        if any(
            read is not None and read.picture is not None
            for read in map(reader.read_one, _items(objects, folder, name))
        )
    )


def _folders(objects: ObjectStore, classes: Collection[str]) -> Iterator[tuple[str, str]]:
    for folder in objects.folders(EVALUATION):
        try:
            name = class_name(folder)
        except ValueError:
            continue
        if name in classes:
            yield folder, name


def _items(objects: ObjectStore, folder: str, name: str) -> Iterator[Item]:
    for info in objects.list(f"{EVALUATION}{folder}/"):
        path = info.key.removeprefix(f"{EVALUATION}{folder}/")
        if has_image_suffix(path):
            yield Item(info, folder, path, name, None)
