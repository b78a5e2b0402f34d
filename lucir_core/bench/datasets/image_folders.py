"""Folders of images, one per class: ImageNet-style with `train` and `val`, or any folder with a split of our own.

Images are decoded once into a memory map (shorter side to `resize`, centre-cropped to a square, transparent parts over
white), so that a data set larger than the memory can be trained from. What lies outside of that square is not there for
training: the published pipelines for ImageNet take their random views from the whole image. The cache belongs to the
list of files with their sizes and times. Beside it lies what tells equal files apart from others: a test image that is
a training image too makes an accuracy better than it is.
"""

import fcntl
import hashlib
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lucir_core.bench.datasets.dataset import Dataset, Split
from lucir_core.data.image_source import DECODERS
from lucir_core.errors import ConfigError, DataError
from lucir_core.files import ArrayFile, write_whole
from lucir_core.runtime.distributed import world

logger = logging.getLogger(__name__)

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"})
TEST_FOLDERS = ("val", "test")
PARTS = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing"})
"""What folders are called, in any case of letters, that are parts of a data set and no classes."""

PIXELS = "over white"
"""How pixels are read; a cache that was read in another way is not used."""

SUMS = ".sums"
"""Suffix of the file beside a cache with a hash of each image file, uint64 in the order of the files."""

DECODE_BLOCK = 256
"""Images that are decoded and not yet written at most; 150 kB each at 224 pixels."""

TELL_SECONDS = 10.0
"""Between two lines of the log about how far the decoding is."""


@dataclass(frozen=True)
class FolderOptions:
    """How a folder becomes a data set."""

    resize: int
    """Side of the stored square images, in pixels."""
    test_every: int = 5
    """Without a folder `val` or `test`: every so-many-th file of a class, by name, is a test image."""
    subset: int | None = None
    """Use so many classes, drawn as the official script draws ImageNet-Subset: without replacement, sorted names."""
    subset_seed: int = 1993

    def __post_init__(self) -> None:
        if self.test_every < 2:
            raise ConfigError(f"test_every is {self.test_every}: give 2 or more, or nothing is left to train on")
        if self.resize < 1:
            raise ConfigError(f"resize is {self.resize}: give the side of the images in pixels")


def load_folder(name: str, path: Path, cache: Path, options: FolderOptions) -> Dataset:
    """The images below `path`, decoded into memory maps in `cache`; a warning tells of test images learnt from."""
    train_folder = path / "train"
    test_folder = next((path / part for part in TEST_FOLDERS if (path / part).is_dir()), None)
    separate = train_folder.is_dir() and test_folder is not None
    root = train_folder if separate else path
    classes = _chosen(_class_names(root), options)
    train, test = [], []
    for label, class_name in enumerate(classes):
        files = _files(root / class_name)
        held = (
            _files(test_folder / class_name)
            if separate and test_folder
            else files[options.test_every - 1 :: options.test_every]
        )
        kept = set(held)
        train += [(file, label) for file in files if file not in kept]
        test += [(file, label) for file in held]
    if not train or not test:
        raise DataError(f"{path} has {len(train)} training and {len(test)} test images: give at least one of each")
    (learnt, train_sums), (measured, test_sums) = (_decoded(part, cache, options.resize) for part in (train, test))
    if world().is_main_process:
        _tell_shared([file for file, _ in train], train_sums, [file for file, _ in test], test_sums)
    return Dataset(name, learnt, measured, classes)


def _tell_shared(train: list[Path], train_sums: np.ndarray, test: list[Path], test_sums: np.ndarray) -> None:
    shared = np.flatnonzero(np.isin(test_sums, train_sums))
    if len(shared):
        pairs = [f"{test[i]} = {train[np.flatnonzero(train_sums == test_sums[i])[0]]}" for i in shared[:2]]
        logger.warning(
            "%d of %d test images are training images too, byte for byte (%s), which makes the accuracy better than it "
            "is: keep one file of each",
            len(shared),
            len(test),
            ", ".join(pairs),
        )


def _class_names(root: Path) -> tuple[str, ...]:
    if not root.is_dir():
        raise DataError(f"{root} is not a folder: give one with a folder of images per class")
    names = tuple(sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")))
    if not names:
        raise DataError(f"{root} has no class folders: give one with a folder of images per class")
    for name in names:
        if name.lower() in PARTS and not any(_is_image(entry) for entry in (root / name).iterdir()):
            raise DataError(
                f"{root / name} holds no images of its own: it is a part of a data set, not a class; call the parts "
                "train and val, or give the one that is to be split"
            )
    return names


def _chosen(names: tuple[str, ...], options: FolderOptions) -> tuple[str, ...]:
    if options.subset is None:
        return names
    if not 1 <= options.subset <= len(names):
        raise ConfigError(f"subset is {options.subset}: the folder has {len(names)} classes")
    picked = np.random.RandomState(options.subset_seed).choice(len(names), options.subset, replace=False)
    return tuple(sorted(names[i] for i in picked))


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.rglob("*") if _is_image(path))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _decoded(files: list[tuple[Path, int]], cache: Path, resize: int) -> tuple[Split, np.ndarray]:
    """The images, and the hashes of their files."""
    labels = np.asarray([label for _, label in files], np.int64)
    digest = hashlib.blake2b(json.dumps([resize, PIXELS, SUMS]).encode(), digest_size=12)
    for path, _ in files:
        facts = path.stat()
        digest.update(f"{path.absolute()}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    target = cache / f"images-{digest.hexdigest()}.npy"
    if not target.is_file():
        logger.info("decoding images", extra={"images": len(files), "cache": str(target)})
        _decode_all(files, target, resize)
    return Split(np.load(target, mmap_mode="r"), labels), np.fromfile(target.with_suffix(SUMS), np.uint64)


def _decode_all(files: list[tuple[Path, int]], target: Path, resize: int) -> None:
    """Fill a file under a temporary name, then rename it: a killed run leaves no half cache that looks whole.

    One process at a time: another that wants the same images waits. Several threads decode (Pillow lets others run
    meanwhile), never more than a block of images ahead.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".part")
    with temporary.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("another process is decoding these images", extra={"cache": str(target)})
            fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_file():  # by the one before; what was opened here is a file of this name that came after it
            temporary.unlink(missing_ok=True)
        else:
            write_whole(target.with_suffix(SUMS), _fill(files, temporary, resize))
            temporary.replace(target)


def _fill(files: list[tuple[Path, int]], path: Path, resize: int) -> bytes:
    """Decode into `path`; return a hash of each file, 8 bytes each."""
    sums: list[bytes] = []
    images = ArrayFile(path, (len(files), resize, resize, 3))
    told = time.monotonic()
    with ThreadPoolExecutor(DECODERS, "decode") as pool:
        for start in range(0, len(files), DECODE_BLOCK):
            paths = [path for path, _ in files[start : start + DECODE_BLOCK]]
            for place, (pixels, sum_) in enumerate(pool.map(partial(_decode, resize=resize), paths), start):
                images.write(place, pixels[None])
                sums.append(sum_)
            if time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                logger.info("decoding images", extra={"done": start + len(paths), "images": len(files)})
    images.sync()
    return b"".join(sums)


def _decode(path: Path, resize: int) -> tuple[np.ndarray, bytes]:
    try:
        sum_ = hashlib.blake2b(path.read_bytes(), digest_size=8).digest()
        with Image.open(path) as image:
            if image.mode in ("I", "F") or image.mode.startswith("I;16"):
                raise ValueError(f"pixels of mode {image.mode} would be clipped at 255: save it with 8 bits")
            upright = _over_white(ImageOps.exif_transpose(image))
            return np.asarray(ImageOps.fit(upright, (resize, resize), Image.Resampling.BILINEAR)), sum_
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as an image: {error}; repair or remove it") from error


def _over_white(image: Image.Image) -> Image.Image:
    """As RGB. What colours transparent pixels have is left to chance: a drawing may be black on black there."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
