"""Scikit-learn's handwritten digits (1797 scans of 8 x 8 pixels, UCI) as folders of PNG files, split by class."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

PHASES: tuple[tuple[str, ...], ...] = (("0", "1", "2", "3", "4"), ("5", "6"), ("7", "8", "9"))
TEST_SHARE = 0.2
SIDE = 32
LARGEST_VALUE = 16.0


@dataclass(frozen=True)
class Digits:
    """PNG files by class: those that are dropped, and those that only the demo ever sees."""

    train: dict[str, list[bytes]]
    test: dict[str, list[bytes]]


def split_digits(seed: int) -> Digits:
    """Hold ``TEST_SHARE`` of each class back, chosen by ``seed``."""
    data = load_digits()
    generator = np.random.default_rng(seed)
    train, test = {}, {}
    for label in range(10):
        scans = data.images[data.target == label]
        files = [png(scans[index]) for index in generator.permutation(len(scans))]
        count = round(TEST_SHARE * len(files))
        test[str(label)], train[str(label)] = files[:count], files[count:]
    return Digits(train, test)


def png(image: NDArray[np.float64], side: int = SIDE) -> bytes:
    """A scan of values 0 to 16, (8, 8), as an image of ``side`` pixels that a person can look at."""
    pixels = np.clip(255.0 - image * (255.0 / LARGEST_VALUE), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()
