"""Reading data sets: official pickles, strips, folders; and files that are not what they seem."""

import hashlib
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import CIFAR100

from lucir_core.bench.datasets import dataset as dataset_module
from lucir_core.bench.datasets import image_folders
from lucir_core.bench.datasets.cifar import load_cifar
from lucir_core.bench.datasets.dataset import Dataset, Split, carved, choose
from lucir_core.bench.datasets.image_folders import FolderOptions, load_folder
from lucir_core.errors import ConfigError, DataError
from tests.support.learning.strips import write_strips

LABELS = {"train": np.array([1, 0, 1, 2, 0], np.uint8), "test": np.array([2, 1, 0], np.uint8)}
NAMES = ["apple", "bear", "can"]


def some_images(split: str) -> np.ndarray:
    seed = sorted(LABELS).index(split)
    return np.random.default_rng(seed).integers(0, 256, (len(LABELS[split]), 32, 32, 3), np.uint8)


@pytest.fixture
def strips(tmp_path: Path) -> Path:
    """One tar a split, one lossless WebP a class, its images top to bottom."""
    root = tmp_path / "cifar100"
    for split, labels in LABELS.items():
        write_strips(root, split, NAMES, some_images(split), labels)
    return root


@pytest.fixture
def pickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The layout of the official files, with the checksums that torchvision demands set to those of this fixture."""
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()

    def write(name: str, content: dict[str, Any]) -> str:
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        return hashlib.md5(data).hexdigest()

    sums = {}
    for split, labels in LABELS.items():
        planes = some_images(split).transpose(0, 3, 1, 2).reshape(len(labels), -1)
        sums[split] = write(split, {"data": planes, "fine_labels": labels.tolist()})
    monkeypatch.setattr(CIFAR100, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", sums["test"]]])
    meta = {**CIFAR100.meta, "md5": write("meta", {"fine_label_names": NAMES})}
    monkeypatch.setattr(CIFAR100, "meta", meta)
    return tmp_path


def assert_is_the_set(dataset: Dataset) -> None:
    assert dataset.classes == tuple(NAMES)
    for split, part in (("train", dataset.train), ("test", dataset.test)):
        np.testing.assert_array_equal(part.labels, LABELS[split])
        np.testing.assert_array_equal(part.images, some_images(split))


def test_strips_give_the_official_order(strips: Path) -> None:
    assert_is_the_set(load_cifar("cifar100", strips))
    assert_is_the_set(load_cifar("cifar100", strips.parent))


def test_validation_images_are_the_last_training_images_of_each_class() -> None:
    images = np.arange(8 * 12, dtype=np.uint8).reshape(8, 2, 2, 3)
    train = Split(images, np.array([0, 1, 0, 1, 0, 1, 1, 0]))
    whole = Dataset("set", train, Split(train.images[:1], train.labels[:1]), ("a", "b"))
    part = carved(whole, 1)
    assert part.name == "set-validation1"
    np.testing.assert_array_equal(part.test.images, train.images[[6, 7]])
    np.testing.assert_array_equal(part.test.labels, [1, 0])
    np.testing.assert_array_equal(part.train.images, train.images[:6])
    assert part.digest() != whole.digest()
    for held_out in (0, 4):
        with pytest.raises(DataError, match=f"'a' has 4 training images, {held_out} are to be held out"):
            carved(whole, held_out)


def test_pickles(pickles: Path) -> None:
    assert_is_the_set(load_cifar("cifar100", pickles))
    assert_is_the_set(load_cifar("cifar100", pickles / "cifar-100-python"))


def test_a_pickle_of_someone_else_is_never_opened(pickles: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (pickles / "harmed",))

    (pickles / "cifar-100-python" / "train").write_bytes(pickle.dumps({"data": Evil()}))
    with pytest.raises(DataError, match="differs from the official files"):
        load_cifar("cifar100", pickles)
    assert not (pickles / "harmed").exists()


def test_no_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no cifar100 in"):
        load_cifar("cifar100", tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda root: np.save(root / "train_labels.npy", np.array([1, 0, 1, 2], np.uint8)),
            r"train-000\.webp is 32x64: 1 labels need 32x32",
        ),
        (lambda root: (root / "test-000-002.tar").write_bytes(b"no tar"), "damaged"),
        (lambda root: (root / "test-000-002.tar").unlink(), r"no test strip of classes \[0, 1, 2\]"),
    ],
    ids=["other labels", "a damaged tar", "no tar"],
)
def test_damaged_strips(strips: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(strips)
    with pytest.raises(DataError, match=message):
        load_cifar("cifar100", strips)


def save_images(folder: Path, *colours: int, side: int = 20) -> None:
    """0.png, 1.png, ... of one grey each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, colour in enumerate(colours):
        Image.new("RGB", (side, 12), (colour, colour, colour)).save(folder / f"{number}.png")


def test_folders_with_train_and_val(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("val", 2)):
        save_images(tmp_path / "data" / part / "b", *range(count))
        save_images(tmp_path / "data" / part / "a", *range(100, 100 + count))
    loaded = load_folder("photos", tmp_path / "data", tmp_path / "cache", FolderOptions(8))
    assert loaded.classes == ("a", "b")
    assert loaded.train.images.shape == (6, 8, 8, 3)
    assert loaded.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert loaded.test.images[:, 0, 0, 0].tolist() == [100, 101, 0, 1]
    assert isinstance(loaded.train.images, np.memmap)


def test_any_folder_is_split_by_name(tmp_path: Path) -> None:
    save_images(tmp_path / "data" / "a", *range(7))
    loaded = load_folder("photos", tmp_path / "data", tmp_path / "cache", FolderOptions(8, test_every=3))
    assert loaded.test.images[:, 0, 0, 0].tolist() == [2, 5]
    assert loaded.train.images[:, 0, 0, 0].tolist() == [0, 1, 3, 4, 6]


def test_the_cache_follows_the_files(tmp_path: Path) -> None:
    save_images(tmp_path / "data" / "a", 10, 10)
    options = FolderOptions(8, test_every=2)
    load_folder("photos", tmp_path / "data", tmp_path / "cache", options)
    before = sorted((tmp_path / "cache").iterdir())
    load_folder("photos", tmp_path / "data", tmp_path / "cache", options)
    assert sorted((tmp_path / "cache").iterdir()) == before
    save_images(tmp_path / "data" / "a", 200, side=30)
    loaded = load_folder("photos", tmp_path / "data", tmp_path / "cache", options)
    assert loaded.train.images[0, 0, 0, 0] == 200


def test_test_images_that_are_training_images_too_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_images(tmp_path / "data" / "a", *range(6))
    save_images(tmp_path / "data" / "b", *range(100, 106))
    for twin, original in (("a/1.png", "a/4.png"), ("a/3.png", "b/0.png"), ("b/5.png", "b/2.png")):
        shutil.copyfile(tmp_path / "data" / original, tmp_path / "data" / twin)
    shutil.copyfile(tmp_path / "data" / "b" / "0.png", tmp_path / "data" / "b" / "4.png")  # both are learnt from
    for _ in ("decoded", "from the cache"):
        caplog.clear()
        load_folder("photos", tmp_path / "data", tmp_path / "cache", FolderOptions(8, test_every=2))
        (told,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
        assert told.startswith("3 of 6 test images are training images too, byte for byte")
        assert f"({tmp_path}/data/a/1.png = {tmp_path}/data/a/4.png, " in told
        assert f", {tmp_path}/data/a/3.png = {tmp_path}/data/b/0.png), " in told
        assert "b/5.png" not in told


def test_a_folder_without_twins_is_learnt_in_silence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_images(tmp_path / "data" / "a", *range(6))
    load_folder("photos", tmp_path / "data", tmp_path / "cache", FolderOptions(8, test_every=2))
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_an_image_that_is_none_is_named(tmp_path: Path) -> None:
    save_images(tmp_path / "data" / "a", 10, 10)
    (tmp_path / "data" / "a" / "0.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"0\.png cannot be read as an image"):
        load_folder("photos", tmp_path / "data", tmp_path / "cache", FolderOptions(8, test_every=2))


@pytest.mark.parametrize("parts", [("train",), ("train", "validation"), ("Train", "Test")])
def test_parts_of_a_data_set_are_not_taken_for_classes(parts: tuple[str, ...], tmp_path: Path) -> None:
    for part in parts:
        save_images(tmp_path / part / "cat", 0, 1)
        save_images(tmp_path / part / "dog", 100, 101)
    with pytest.raises(DataError, match="is a part of a data set, not a class; call the parts train and val"):
        load_folder("photos", tmp_path, tmp_path / "cache", FolderOptions(8))


def test_a_class_may_have_the_name_of_a_part(tmp_path: Path) -> None:
    for name in ("train", "tram"):
        save_images(tmp_path / "data" / name, 0, 1)
    loaded = load_folder("vehicles", tmp_path / "data", tmp_path / "cache", FolderOptions(8, test_every=2))
    assert loaded.classes == ("train", "tram")


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_pixels_beyond_8_bits_are_refused_instead_of_clipped_to_white(kind: type[np.generic], tmp_path: Path) -> None:
    folder = tmp_path / "data" / "a"
    folder.mkdir(parents=True)
    for number in range(2):
        Image.fromarray(np.full((12, 20), 9000, kind)).save(folder / f"{number}.tif")
    with pytest.raises(DataError, match=r"tif cannot be read as an image: pixels of mode .* would be clipped at 255"):
        load_folder("photos", tmp_path / "data", tmp_path / "cache", FolderOptions(8, test_every=2))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_are_seen_over_white(mode: str, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "a"
    folder.mkdir(parents=True)
    for number in range(2):
        drawing = Image.new("RGBA", (12, 12), (0, 0, 0, 0))
        drawing.paste((0, 0, 0, 255), (0, 0, 12, 6))
        drawing.convert(mode).save(folder / f"{number}.png")
    loaded = load_folder("photos", tmp_path / "data", tmp_path / "cache", FolderOptions(12, test_every=2))
    assert loaded.train.images[0, :, :, 0].mean(axis=1).tolist() == [0] * 6 + [255] * 6


def test_two_loads_at_once_decode_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They fill the same file: with both at it one read black images, and the other found its file gone."""
    save_images(tmp_path / "data" / "a", *range(10, 20))
    monkeypatch.setattr(image_folders, "DECODE_BLOCK", 1)
    begun, waits, real = Event(), Event(), Image.open

    def opened(path: Path) -> Image.Image:
        if path.name == "2.png" and not begun.is_set():
            begun.set()
            waits.wait(5)
        return real(path)

    monkeypatch.setattr(Image, "open", opened)
    monkeypatch.setattr(image_folders.logger, "info", lambda text, **_: text.startswith("another") and waits.set())

    def load() -> list[int]:
        loaded = load_folder("photos", tmp_path / "data", tmp_path / "cache", FolderOptions(8, test_every=5))
        return [int(image[0, 0, 0]) for image in loaded.train.images]

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(load)
        assert begun.wait(5)
        second = pool.submit(load)
        assert first.result() == second.result() == [10, 11, 12, 13, 15, 16, 17, 18]
    assert sorted(path.suffix for path in (tmp_path / "cache").iterdir()) == [".npy", ".npy", ".sums", ".sums"]


def test_a_subset_of_classes(tmp_path: Path) -> None:
    for name in "abcdef":
        save_images(tmp_path / "data" / name, 0, 1)
    options = FolderOptions(8, test_every=2, subset=3)
    loaded = load_folder("photos", tmp_path / "data", tmp_path / "cache", options)
    drawn = np.random.RandomState(1993).choice(["a", "b", "c", "d", "e", "f"], 3, replace=False)
    assert loaded.classes == tuple(sorted(drawn))
    with pytest.raises(ConfigError, match="subset is 7"):
        load_folder("photos", tmp_path / "data", tmp_path / "cache", FolderOptions(8, subset=7))


def test_choosing_keeps_the_order_and_counts_places() -> None:
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    split = Split(images, np.array([5, 3, 5, 1, 3, 5]))
    chosen, labels = choose(split, order=(3, 5), wanted=(5, 3), scratch=Path("unused"), limit=2)
    assert chosen[:, 0, 0, 0].tolist() == [0, 1, 2, 4]
    assert labels.tolist() == [1, 0, 1, 0]


def test_a_large_choice_goes_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_module, "IN_MEMORY_BYTES", 10)
    images = np.lib.format.open_memmap(tmp_path / "all.npy", "w+", np.uint8, (5, 2, 2, 3))
    images[:] = np.arange(5, dtype=np.uint8)[:, None, None, None]
    split = Split(images, np.array([0, 1, 0, 1, 0]))
    chosen, _ = choose(split, (0, 1), (0,), tmp_path / "scratch.npy")
    assert isinstance(chosen, np.memmap)
    assert chosen[:, 0, 0, 0].tolist() == [0, 2, 4]


def test_a_class_without_images() -> None:
    split = Split(np.zeros((2, 4, 4, 3), np.uint8), np.array([0, 1]))
    short = Split(np.zeros((1, 4, 4, 3), np.uint8), np.array([0]))
    with pytest.raises(DataError, match="'b' has no test image"):
        Dataset("set", split, short, ("a", "b")).check((0, 1))
    with pytest.raises(DataError, match="labels run from 0 to 1: 1 classes"):
        Dataset("set", split, short, ("a",))
    with pytest.raises(DataError, match="has classes 0 to 1: the order names 9"):
        Dataset("set", split, split, ("a", "b")).check((0, 9))
