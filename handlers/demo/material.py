"""What a story is told with: scikit-learn's digits, or a folder of the user's own photographs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handlers.bucket.dropped_names import class_name
from handlers.bucket.layout import has_image_suffix
from handlers.demo.digits import PHASES, split_digits
from handlers.demo.errors import DemoError
from handlers.inference.image_file import BadImageError
from handlers.inference.image_limits import Limits
from handlers.inference.preprocess import file_suffix

DROPS = 4
MOST_IMAGES = 100
"""Images of a class that are taken from a folder: the story is to end within minutes."""
LEAST_IMAGES, LEAST_CLASSES = 4, 3
TEST_SHARE = 0.2


@dataclass(frozen=True)
class Material:
    """Image files by class, those that are dropped and those that only the demo ever sees; the classes by drop."""

    title: str
    noun: str
    """What the classes are called."""
    preset: str
    phases: tuple[tuple[str, ...], ...]
    train: dict[str, list[bytes]]
    test: dict[str, list[bytes]]
    compared: str
    """What the service is compared with."""
    least_accuracy: bool
    """Whether these images are known well enough to ask for an accuracy."""


Maker = Callable[[int], Material]
"""From a seed to the material of one story."""


def digits(seed: int) -> Material:
    """Ten digits in drops of five, two and three."""
    split = split_digits(seed)
    return Material(
        "Digits", "digits", "digits", PHASES, split.train, split.test, "plain finetuning", least_accuracy=True
    )


def photographs(folder: Path, seed: int) -> Material:
    """The class folders of ``folder``, in up to four drops, the first of a third of the classes at least.

    A fifth of each class's images is held back, at least one. Raises ``DemoError`` for a folder without enough.
    """
    if not folder.is_dir():
        raise DemoError(f"{folder} is not a folder: give one that has a folder of images for each class")
    generator = np.random.default_rng(seed)
    train, test = {}, {}
    for path in sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith(".")):
        name, files = _class_name(path), sorted(one for one in path.iterdir() if has_image_suffix(one.name))
        images = [files[place].read_bytes() for place in generator.permutation(len(files))[:MOST_IMAGES]]
        good = [image for image in images if _suffix(image) is not None]
        if len(good) < LEAST_IMAGES:
            raise DemoError(
                f"{path} has {len(good)} images that can be read: give at least {LEAST_IMAGES}, or take the folder away"
            )
        count = max(1, round(TEST_SHARE * len(good)))
        # What cannot be read is dropped too, for the service to refuse.
        test[name], train[name] = good[:count], [*good[count:], *(one for one in images if _suffix(one) is None)]
    if len(train) < LEAST_CLASSES:
        raise DemoError(f"{folder} has {len(train)} class folders: give at least {LEAST_CLASSES}")
    names = generator.permutation(sorted(train)).tolist()
    first = max(2, -(-len(names) // 3))
    rest = np.array_split(names[first:], min(DROPS - 1, len(names) - first))
    phases = (tuple(names[:first]), *(tuple(part.tolist()) for part in rest))
    return Material(
        f"The classes of {folder.name}", "classes", "photo", phases, train, test, "HOG + colours, ridge", False
    )


def write_folders(images: dict[str, list[bytes]], names: tuple[str, ...], folder: Path) -> Path:
    """Write ``<folder>/<class>/<number>.<type>`` for the classes ``names``; gives ``folder``."""
    for name in names:
        (folder / name).mkdir(parents=True)
        for number, image in enumerate(images[name]):
            (folder / name / f"{number:04d}{_suffix(image) or '.png'}").write_bytes(image)
    return folder


def _class_name(folder: Path) -> str:
    try:
        return class_name(folder.name)
    except ValueError as error:
        raise DemoError(f"{folder}: {error}; rename the folder") from error


def _suffix(image: bytes) -> str | None:
    """The ending of an image file's name; None where it cannot be read."""
    try:
        return file_suffix(image, Limits())
    except BadImageError:
        return None
