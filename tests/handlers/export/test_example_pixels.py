"""The exported example makes of an image of any mode exactly what the service makes of it."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handlers.export.export_version import export_version
from handlers.inference.preprocess import Limits
from handlers.inference.version_model import VersionModel
from model_store.directory.directory_store import DirectoryStore
from model_store.versions import VersionStore
from tests.support.images import colourful, encoded, png, png_chunk
from tests.support.stores.old_store import OLD
from tests.support.waiting import PATIENCE

VERSION = 4
SIDE, WIDTH = 24, 36
"""Too small for a JPEG to be decoded at a smaller scale, as the service alone does."""
ARRAYS = """
import json, sys
from pathlib import Path
import numpy as np
from classify import prepare
how = json.loads(Path("model.json").read_text(encoding="utf-8"))["preprocessing"]
np.savez(sys.argv[1], *[prepare(Path(name), how)[0] for name in sys.argv[2:]])
"""
LARGE = """
import sys
from PIL import Image
Image.MAX_IMAGE_PIXELS = 1000
import classify
classify.main()
assert Image.MAX_IMAGE_PIXELS == 3600
"""


def grey(depth: int) -> bytes:
    """A PNG of one transparent level among several."""
    levels = np.random.default_rng(depth).integers(0, 1 << depth, (SIDE, SIDE))
    bits = ["".join(f"{level:0{depth}b}" for level in row) for row in levels]
    rows = [int(row, 2).to_bytes(SIDE * depth // 8) for row in bits]
    return png(depth, 0, rows, SIDE, png_chunk(b"tRNS", struct.pack(">H", int(levels[0, 0]))))


def colour(depth: int) -> bytes:
    """A PNG of one transparent colour, which stands in its middle."""
    form = ">u2" if depth == 16 else "u1"
    values = np.random.default_rng(depth).integers(0, 1 << depth, (SIDE, SIDE, 3)).astype(form)
    level = struct.pack(">3H", *values[SIDE // 2, SIDE // 2].tolist())
    return png(depth, 2, [row.tobytes() for row in values], SIDE, png_chunk(b"tRNS", level))


def every_mode() -> dict[str, bytes]:
    """Image files by the name of what is special about them."""
    rgb = colourful(WIDTH, SIDE)
    alpha = Image.fromarray(np.linspace(0, 255, WIDTH * SIDE).reshape(SIDE, WIDTH).astype(np.uint8))
    rgba, la = rgb.copy(), rgb.convert("L")
    rgba.putalpha(alpha)
    la.putalpha(alpha)
    wide = Image.fromarray(np.linspace(0, 65535, SIDE * SIDE).astype(np.uint16).reshape(SIDE, SIDE))
    palette = rgb.quantize(16)
    files = {
        "1": encoded(rgb.convert("1"), "PNG"),
        "L": encoded(rgb.convert("L"), "PNG"),
        "LA": encoded(la, "PNG"),
        "LA TIFF": encoded(la, "TIFF"),
        "P": encoded(palette, "PNG"),
        "P one level": encoded(palette, "PNG", transparency=palette.getpixel((18, 12))),
        "P GIF": encoded(palette, "GIF", transparency=palette.getpixel((18, 12))),
        "P levels": encoded(palette, "PNG", transparency=bytes(range(0, 256, 16))),
        "RGB": encoded(rgb, "PNG"),
        "RGB JPEG": encoded(rgb, "JPEG"),
        "RGBA": encoded(rgba, "PNG"),
        "RGBA WebP": encoded(rgba, "WEBP"),
        "CMYK JPEG": encoded(rgb.convert("CMYK"), "JPEG"),
        "CMYK TIFF": encoded(rgb.convert("CMYK"), "TIFF"),
        "LAB TIFF": encoded(Image.merge("LAB", rgb.split()), "TIFF"),
        "YCbCr TIFF": encoded(rgb.convert("YCbCr"), "TIFF"),
        "I;16": encoded(wide, "PNG"),
        "I;16 TIFF": encoded(wide, "TIFF"),
        "I;16 white is 0": encoded(wide, "TIFF", tiffinfo={262: 0}),
    }
    files |= {f"grey {depth}": grey(depth) for depth in (1, 2, 4, 8, 16)}
    files |= {f"colour {depth}": colour(depth) for depth in (8, 16)}
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        files[f"turned {orientation}"] = encoded(rgb, "JPEG", exif=exif)
        files[f"turned {orientation} I;16"] = encoded(wide, "PNG", exif=exif)
        files[f"turned {orientation} LA TIFF"] = encoded(la, "TIFF", tiffinfo={0x0112: orientation})
    return files


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "model"
    export_version(VersionStore(DirectoryStore(OLD)), VERSION, folder, 3600)
    return folder


def test_pixels_of_every_mode_are_what_the_service_sees(exported: Path, tmp_path: Path) -> None:
    model = VersionModel.load(OLD / "versions" / str(VERSION))
    files = every_mode()
    paths = [tmp_path / f"{number}.image" for number in range(len(files))]
    for path, data in zip(paths, files.values(), strict=True):
        path.write_bytes(data)
    command = [sys.executable, "-E", "-c", ARRAYS, tmp_path / "arrays.npz", *paths]
    subprocess.run(command, check=True, timeout=PATIENCE, cwd=exported)
    found = np.load(tmp_path / "arrays.npz")
    for number, (name, data) in enumerate(files.items()):
        np.testing.assert_array_equal(found[f"arr_{number}"], model.prepare(data, Limits()), err_msg=name)


def test_pillow_neither_refuses_nor_warns_below_the_bound_of_the_service(exported: Path, tmp_path: Path) -> None:
    """1600 pixels are in the range in which Pillow would warn of its bound of 1000; it would refuse 3600."""
    paths = [tmp_path / f"{side}.png" for side in (40, 60)]
    for side, path in zip((40, 60), paths, strict=True):
        path.write_bytes(encoded(colourful(side, side), "PNG"))
    command = [sys.executable, "-E", "-W", "error", "-c", LARGE, *paths]
    told = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=exported)
    assert (told.returncode, len(told.stdout.splitlines())) == (0, 2), told.stderr[-1000:]


def test_the_example_needs_nothing_of_this_service(exported: Path) -> None:
    for name in ("classify.py", "colours.py", "classify.mjs"):
        assert "handlers" not in (exported / name).read_text(encoding="utf-8"), name
    assert json.loads((exported / "model.json").read_text(encoding="utf-8"))["max_pixels"] == 3600
