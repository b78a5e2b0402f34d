"""CIFAR-100 as a folder of strips: one tar a split, one lossless WebP a class, its images top to bottom."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image


def write_strips(root: Path, split: str, names: list[str], images: np.ndarray, labels: np.ndarray) -> None:
    """Write one split; images: (n, 32, 32, 3) uint8, labels: (n,)."""
    root.mkdir(exist_ok=True)
    (root / "classes.json").write_text(json.dumps({"fine": names}))
    np.save(root / f"{split}_labels.npy", labels)
    with tarfile.open(root / f"{split}-000-{len(names) - 1:03d}.tar", "w") as tar:
        for label in range(len(names)):
            file = io.BytesIO()
            Image.fromarray(images[labels == label].reshape(-1, 32, 3)).save(file, "WEBP", lossless=True)
            info = tarfile.TarInfo(f"{split}-{label:03d}.webp")
            info.size = file.tell()
            file.seek(0)
            tar.addfile(info, file)
