"""CIFAR-100 and CIFAR-10, from the official python pickles or from a folder of tars of lossless WebP strips."""

import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from torchvision import datasets as torchvision_datasets

from lucir_core.bench.datasets.dataset import Dataset, Split
from lucir_core.errors import ConfigError, DataError

SIDE = 32
OFFICIAL = {
    "cifar100": ("cifar-100-python", torchvision_datasets.CIFAR100),
    "cifar10": ("cifar-10-batches-py", torchvision_datasets.CIFAR10),
}


def load_cifar(name: str, path: Path) -> Dataset:
    """`cifar100` or `cifar10` from `path`: the folder of the pickles, the folder above it, or a folder of strips.

    The pickles are read by torchvision, which opens them only after their MD5 has been checked.
    """
    if name not in OFFICIAL:
        raise ConfigError(f"unknown data set {name!r}: choose {' or '.join(OFFICIAL)}")
    folder, _ = OFFICIAL[name]
    if (path / folder).is_dir():
        return _from_pickles(name, path)
    if path.name == folder and path.is_dir():
        return _from_pickles(name, path.parent)
    for candidate in (path, path / name):
        if (candidate / "classes.json").is_file():
            return _from_strips(name, candidate)
    raise DataError(
        f"no {name} in {path}: give the folder that holds {folder}/ (the official python version, unpacked), "
        "or a folder with classes.json, *_labels.npy and tars of WebP strips"
    )


def _from_pickles(name: str, root: Path) -> Dataset:
    folder, kind = OFFICIAL[name]
    try:
        train, test = kind(root, train=True), kind(root, train=False)
    except RuntimeError as error:
        raise DataError(f"{root / folder} is incomplete or differs from the official files: {error}") from error
    splits = [Split(part.data, np.asarray(part.targets, np.int64)) for part in (train, test)]
    return Dataset(name, splits[0], splits[1], tuple(train.classes))


def _from_strips(name: str, root: Path) -> Dataset:
    try:
        described = json.loads((root / "classes.json").read_text(encoding="utf-8"))
        classes = tuple(described["fine"] if isinstance(described, dict) else described)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{root / 'classes.json'} must hold the class names, as a list or under 'fine'") from error
    return Dataset(name, _strips(root, "train", len(classes)), _strips(root, "test", len(classes)), classes)


def _strips(root: Path, split: str, class_count: int) -> Split:
    """Put every strip's images, top to bottom, at the places where its label stands in `<split>_labels.npy`."""
    try:
        labels = np.load(root / f"{split}_labels.npy", allow_pickle=False).astype(np.int64)
    except (OSError, ValueError) as error:
        raise DataError(f"{root / f'{split}_labels.npy'} cannot be read: {error}") from error
    images = np.zeros((len(labels), SIDE, SIDE, 3), np.uint8)
    found = set()
    for archive in sorted(root.glob(f"{split}-*.tar")):
        try:
            with tarfile.open(archive) as tar:
                for member in tar:
                    label = _label_of(member.name, archive)
                    images[labels == label] = _images(tar, member, int((labels == label).sum()))
                    found.add(label)
        except (OSError, tarfile.TarError, UnidentifiedImageError) as error:
            raise DataError(f"{archive} is damaged: {error}") from error
    missing = sorted(set(range(class_count)) - found)
    if missing:
        raise DataError(f"{root} has no {split} strip of classes {missing[:10]}")
    return Split(images, labels)


def _label_of(name: str, archive: Path) -> int:
    label = Path(name).stem.rpartition("-")[2]
    if not label.isdecimal():
        raise DataError(f"{archive} holds {name!r}: strips are called <split>-<label>.webp")
    return int(label)


def _images(tar: tarfile.TarFile, member: tarfile.TarInfo, count: int) -> np.ndarray:
    file = tar.extractfile(member)
    if file is None:
        raise DataError(f"{member.name} in {tar.name!s} is not a file")
    with file, Image.open(file) as strip:
        pixels = np.asarray(strip.convert("RGB"))
    if pixels.shape != (count * SIDE, SIDE, 3):
        raise DataError(
            f"{member.name} is {pixels.shape[1]}x{pixels.shape[0]}: {count} labels need {SIDE}x{count * SIDE}"
        )
    return pixels.reshape(-1, SIDE, SIDE, 3)
