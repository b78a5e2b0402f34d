"""Encoded images: the same as decoded ones, within a bound of memory."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from lucir_core.data.image_source import ArrayImages, EncodedImages
from lucir_core.data.phase_data import ImageSet
from lucir_core.errors import DataError
from lucir_core.memory.image_blobs import ImageBlobs

SIDE = 64
IMAGE_BYTES = SIDE * SIDE * 3


def some_images(count: int) -> np.ndarray:
    """Smooth, so that they are small when encoded."""
    steps = np.linspace(0, 255, SIDE)
    grid = np.stack(np.broadcast_arrays(steps[:, None], steps[None, :], 0.0), axis=-1)
    return np.stack([(grid + 7 * number) % 256 for number in range(count)]).astype(np.uint8)


@pytest.fixture(scope="module")
def blobs() -> ImageBlobs:
    return ImageBlobs.from_arrays(some_images(60), np.zeros(60, np.int64), ("a",))


@pytest.mark.parametrize("room", [0, 7, 60])
def test_any_bound_gives_the_same_images(blobs: ImageBlobs, room: int) -> None:
    encoded = EncodedImages(blobs, SIDE, room * IMAGE_BYTES + 5)
    random = np.random.default_rng(0)
    for _ in range(4):
        wanted = random.integers(0, 60, 40)
        assert np.array_equal(encoded.take(wanted), some_images(60)[wanted])
        assert encoded.cached_bytes <= room * IMAGE_BYTES
    assert encoded.cached_bytes == room * IMAGE_BYTES or room == 60


def test_an_image_is_decoded_once_while_there_is_room(blobs: ImageBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    original = ImageBlobs.decode

    def decode(self: ImageBlobs, index: int) -> np.ndarray:
        decoded.append(index)
        return original(self, index)

    monkeypatch.setattr(ImageBlobs, "decode", decode)
    encoded = EncodedImages(blobs, SIDE, 60 * IMAGE_BYTES)
    for _ in range(3):
        encoded.take(np.arange(60))
    assert sorted(decoded) == list(range(60))


def test_the_bound_holds_while_epochs_pass(blobs: ImageBlobs) -> None:
    tracemalloc.start()
    try:
        images = ImageSet([EncodedImages(blobs, SIDE, 10 * IMAGE_BYTES)], [blobs.labels], torch.device("cpu"))
        for _ in range(2):
            for batch in images.batches(torch.arange(60).split(6)):
                assert batch.shape == (6, SIDE, SIDE, 3)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Ten images in the cache, six in each of three batches (at hand, ready, under way), and what decoders use.
    assert 10 * IMAGE_BYTES < peak < 45 * IMAGE_BYTES


def test_a_wrong_size_is_named(blobs: ImageBlobs) -> None:
    with pytest.raises(DataError, match=f"image 3 is {SIDE}x{SIDE}, the configuration says 32x32"):
        EncodedImages(blobs, 32).take(np.array([3]))


def test_loading_holds_the_encoded_bytes_once(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, SIDE, SIDE, 3), dtype=np.uint8)
    ImageBlobs.from_arrays(noise, np.zeros(200, np.int64), ("a",)).save(tmp_path / "file")
    tracemalloc.start()
    try:
        loaded = ImageBlobs.load(tmp_path / "file")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    size = sum(map(len, loaded.pngs))
    assert size > 200 * IMAGE_BYTES
    assert peak < 1.2 * size


def test_batches_of_a_slow_set_come_in_order_and_equal_those_of_a_quick_one(blobs: ImageBlobs, tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", some_images(30))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    labels = [np.zeros(90, np.int64)]
    slow = ImageSet([mapped, EncodedImages(blobs, SIDE)], labels, torch.device("cpu"))
    quick = ImageSet([some_images(30), some_images(60)], labels, torch.device("cpu"))
    assert slow.is_slow
    assert not quick.is_slow
    parts = torch.randperm(90, generator=torch.Generator().manual_seed(1)).split(8)
    for ours, theirs in zip(slow.batches(parts), quick.batches(parts), strict=True):
        assert torch.equal(ours, theirs)


def test_an_error_in_the_thread_reaches_the_caller(blobs: ImageBlobs) -> None:
    images = ImageSet([EncodedImages(blobs, 32)], [blobs.labels], torch.device("cpu"))
    with pytest.raises(DataError, match="the configuration says 32x32"):
        list(images.batches([torch.arange(4), torch.arange(4, 8)]))


def test_a_memory_map_is_not_read_into_memory(tmp_path: Path) -> None:
    count = 4000
    big = np.lib.format.open_memmap(tmp_path / "big.npy", "w+", np.uint8, (count, SIDE, SIDE, 3))
    big[:] = 3
    big.flush()
    del big
    images = ImageSet(
        [ArrayImages(np.load(tmp_path / "big.npy", mmap_mode="r"))], [np.zeros(count)], torch.device("cpu")
    )
    tracemalloc.start()
    try:
        total = sum(int(batch[0, 0, 0, 0]) for batch in images.batches(torch.arange(count).split(50)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 3 * count // 50
    assert peak < 400 * IMAGE_BYTES
