"""Large JPEGs are decoded at a scale of their own: how far that is from Pillow's whole decode, and what it costs."""

import hashlib
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_images

from handlers.bucket.edit_documents import StoredFile
from handlers.inference.preprocess import Limits, decode_square
from handlers.updater.edits.find_images import decoded_digests
from handlers.updater.intake.reader import Reader
from lucir_core.memory.image_blobs import image_digest
from model_store.directory.directory_store import DirectoryStore
from tests.support.images import encoded

MEAN_BOUND = 1.0
"""Levels of 255 that pixels differ by on average from a whole decode of the same file."""
P99_BOUND = 5
"""The same for 99 of 100 values."""
CPU_SHARE = 0.4
"""Of what the whole decode of 12 megapixels costs; measured 9 to 15 ms of 80."""


def photograph(index: int, width: int, height: int) -> Image.Image:
    """A real photograph at this size, with grain such as sensors leave."""
    enlarged = Image.fromarray(load_sample_images().images[index]).resize((width, height), Image.Resampling.LANCZOS)
    grain = np.random.default_rng(index).normal(0, 6, (height, width, 1))
    return Image.fromarray(np.clip(np.asarray(enlarged) + grain, 0, 255).astype(np.uint8))


def jpeg(image: Image.Image, **options: object) -> bytes:
    return encoded(image, "JPEG", quality=90, **options)


def plainly(data: bytes, resize: int) -> NDArray[np.int64]:
    """What Pillow alone makes of it: the whole image, upright, RGB, its central square resampled."""
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    side = min(upright.size)
    left, top = (upright.width - side) // 2, (upright.height - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(upright.resize((resize, resize), Image.Resampling.BILINEAR, box=box)).astype(int)


def ours(data: bytes, resize: int) -> NDArray[np.int64]:
    return decode_square(data, Limits(), resize).astype(int)


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize(("width", "height"), [(1601, 1203), (900, 1350)])
@pytest.mark.parametrize("resize", [32, 64, 224, 256])
def test_scaled_decoding_stays_near_the_whole_one(index: int, width: int, height: int, resize: int) -> None:
    data = jpeg(photograph(index, width, height))
    difference = np.abs(ours(data, resize) - plainly(data, resize))
    assert difference.mean() <= MEAN_BOUND
    assert np.percentile(difference, 99) <= P99_BOUND


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_colours_are_scaled_too(mode: str) -> None:
    data = jpeg(photograph(0, 1600, 1200).convert(mode))
    assert np.abs(ours(data, 64) - plainly(data, 64)).mean() <= MEAN_BOUND


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_kept(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = jpeg(photograph(1, 1400, 1000), exif=exif)
    assert np.abs(ours(data, 96) - plainly(data, 96)).mean() <= MEAN_BOUND


@pytest.mark.parametrize("side", [300, 512, 1023])
def test_an_image_that_is_not_much_larger_is_decoded_as_before(side: int) -> None:
    """Below four times the input nothing may change: images that a version has learnt are found by their pixels."""
    data = jpeg(photograph(0, side, side))
    np.testing.assert_array_equal(ours(data, 256), plainly(data, 256))


def test_an_original_is_found_by_the_pixels_that_an_earlier_release_made_of_it(tmp_path: Path) -> None:
    data = jpeg(photograph(0, 1600, 1200))
    store = DirectoryStore(tmp_path / "store")
    store.write("archive/1/cat/a.jpg", data)
    reader = Reader(store, Limits(), 64, tmp_path)
    file = StoredFile(key="archive/1/cat/a.jpg", sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    digests = decoded_digests(store, [file], reader, lambda: None)
    assert digests == {image_digest(ours(data, 64)), image_digest(plainly(data, 64))}


@pytest.mark.parametrize("whole", [False, True])
def test_drops_are_read_up_to_the_bound_of_the_settings(
    whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow's own, lowered here, would refuse."""
    data = jpeg(photograph(0, 80, 60))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    reader = Reader(DirectoryStore(tmp_path / "store"), Limits(max_pixels=4800), 32, tmp_path)
    assert reader.decoded(data, whole=whole).shape == (32, 32, 3)


def test_other_formats_are_decoded_as_before() -> None:
    data = encoded(photograph(0, 600, 400), "PNG")
    np.testing.assert_array_equal(ours(data, 32), plainly(data, 32))


def test_twelve_megapixels_cost_little() -> None:
    data = jpeg(Image.fromarray(load_sample_images().images[0]).resize((4000, 3000)))
    assert cpu_seconds(lambda: ours(data, 256)) <= CPU_SHARE * cpu_seconds(lambda: plainly(data, 256))


def cpu_seconds(work: Callable[[], object]) -> float:
    """Of this thread, whatever else the machine does; the least of five times."""
    costs = []
    for _ in range(5):
        start = time.thread_time()
        work()
        costs.append(time.thread_time() - start)
    return min(costs)
