from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from lucir_core.errors import DataError, StateError
from lucir_core.memory.image_blobs import ImageBlobs

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 12, 12, 3), np.uint8)
LABELS = np.array([0, 0, 1, 2, 2])
CLASSES = ("kitten", "Käse", "z")


@pytest.fixture
def blobs() -> ImageBlobs:
    return ImageBlobs.from_arrays(IMAGES, LABELS, CLASSES)


def test_round_trip_without_loss(blobs: ImageBlobs, tmp_path: Path) -> None:
    blobs.save(tmp_path / "b.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["b.safetensors"]
    loaded = ImageBlobs.load(tmp_path / "b.safetensors")
    assert loaded.classes == CLASSES
    assert loaded.labels.tolist() == LABELS.tolist()
    assert np.array_equal(loaded.decode_all(12), IMAGES)
    assert np.array_equal(loaded.decode(3), IMAGES[3])


def test_file_has_the_form_of_the_contract(blobs: ImageBlobs, tmp_path: Path) -> None:
    blobs.save(tmp_path / "b.safetensors")
    tensors = load_file(tmp_path / "b.safetensors")
    assert {name: str(value.dtype) for name, value in tensors.items()} == {
        "data": "uint8",
        "offsets": "int64",
        "labels": "int64",
    }
    start, end = tensors["offsets"][2:4]
    assert tensors["data"][start:end].tobytes().startswith(b"\x89PNG")
    assert tensors["offsets"].tolist()[0] == 0
    assert len(tensors["offsets"]) == 6


def test_counts_and_positions(blobs: ImageBlobs) -> None:
    assert blobs.counts().tolist() == [2, 1, 2]
    assert blobs.indices_of(2).tolist() == [3, 4]
    assert len(blobs) == 5


def test_empty_round_trip(tmp_path: Path) -> None:
    ImageBlobs.empty(("a",)).save(tmp_path / "b.safetensors")
    loaded = ImageBlobs.load(tmp_path / "b.safetensors")
    assert (len(loaded), loaded.classes) == (0, ("a",))
    assert loaded.decode_all(8).shape == (0, 8, 8, 3)


def test_damaged_and_absent_files(blobs: ImageBlobs, tmp_path: Path) -> None:
    path = tmp_path / "b.safetensors"
    with pytest.raises(StateError, match="damaged"):
        ImageBlobs.load(path)
    blobs.save(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StateError, match="damaged"):
        ImageBlobs.load(path)


def test_labels_and_sizes_are_checked(blobs: ImageBlobs) -> None:
    with pytest.raises(DataError, match="5 images have 4 labels"):
        ImageBlobs.from_arrays(IMAGES, LABELS[:4], CLASSES)
    with pytest.raises(DataError, match="do not fit 2 classes"):
        ImageBlobs.from_arrays(IMAGES, LABELS, CLASSES[:2])
    with pytest.raises(DataError, match="12x12, the configuration says 16x16"):
        blobs.decode_all(16)
