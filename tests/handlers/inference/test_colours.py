"""Every mode with every way of saying what is transparent: the value that a person sees on white paper."""

import struct

import numpy as np
import pytest
from PIL import Image

from handlers.inference.colours import UnusableColoursError, to_rgb
from handlers.inference.preprocess import BadImageError, Limits, decode
from tests.support.images import encoded, png, png_chunk

LIMITS = Limits()
WHITE = [255, 255, 255]


def seen(data: bytes) -> list[list[int]]:
    """The first row's pixels, one of each pair of columns."""
    return np.asarray(decode(data, LIMITS))[0, ::2].tolist()


def grey_png(depth: int, levels: list[int], transparent: int) -> bytes:
    """Each level two pixels wide, four rows; a level of the file is transparent."""
    bits = "".join(f"{level:0{depth}b}" * 2 for level in levels)
    row = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8))
    return png(depth, 0, [row] * 4, 2 * len(levels), png_chunk(b"tRNS", struct.pack(">H", transparent)))


@pytest.mark.parametrize(
    ("depth", "levels", "transparent", "expected"),
    [
        (1, [0, 1, 0], 0, [255, 255, 255]),
        (1, [0, 1, 0], 1, [0, 255, 0]),
        (2, [0, 1, 2, 3], 1, [0, 255, 170, 255]),
        (2, [0, 1, 2, 3], 0, [255, 85, 170, 255]),
        (4, [0, 5, 10], 5, [0, 255, 170]),
        (8, [0, 7, 128], 7, [0, 255, 128]),
        (8, [0, 7, 128], 0, [255, 7, 128]),
        (16, [0, 257, 32896], 0, [255, 1, 128]),
        (16, [0, 257, 65535], 257, [0, 255, 255]),
        (16, [256, 257, 258], 257, [1, 255, 1]),
    ],
)
def test_a_transparent_grey_level(depth: int, levels: list[int], transparent: int, expected: list[int]) -> None:
    assert seen(grey_png(depth, levels, transparent)) == [[level] * 3 for level in expected]


@pytest.mark.parametrize("depth", [8, 16])
def test_a_transparent_colour(depth: int) -> None:
    """Of 16 bits the upper 8 are kept: a colour is transparent when those agree."""
    form = ">3B" if depth == 8 else ">3H"
    scale = 1 if depth == 8 else 257
    colours = [(0, 0, 0), (1, 2, 3), (1, 2, 4)]
    row = b"".join(struct.pack(form, *(value * scale for value in colour)) * 2 for colour in colours)
    level = png_chunk(b"tRNS", struct.pack(">3H", *(value * scale for value in colours[1])))
    assert seen(png(depth, 2, [row] * 4, 6, level)) == [[0, 0, 0], WHITE, [1, 2, 4]]


@pytest.mark.parametrize(
    ("form", "transparency", "expected"),
    [
        ("PNG", 0, [WHITE, [0, 0, 255]]),
        ("PNG", 1, [[0, 255, 0], WHITE]),
        ("GIF", 0, [WHITE, [0, 0, 255]]),
        ("GIF", 1, [[0, 255, 0], WHITE]),
        ("PNG", b"\0\xff", [WHITE, [0, 0, 255]]),
        ("PNG", b"\x80\xff", [[127, 255, 127], [0, 0, 255]]),
        ("PNG", b"\x80", [[127, 255, 127], [0, 0, 255]]),
    ],
)
def test_a_palette(form: str, transparency: int | bytes, expected: list[list[int]]) -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 255, 0, 0, 0, 255])
    image.paste(1, (2, 0, 4, 4))
    assert seen(encoded(image, form, transparency=transparency)) == expected


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, WHITE),
        ("L", 77, [77, 77, 77]),
        ("LA", (0, 0), WHITE),
        ("LA", (0, 128), [127, 127, 127]),
        ("La", (64, 128), [191, 191, 191]),
        ("RGB", (1, 2, 3), [1, 2, 3]),
        ("RGBA", (255, 0, 0, 0), WHITE),
        ("RGBA", (255, 0, 0, 128), [255, 127, 127]),
        ("RGBa", (128, 0, 0, 128), [255, 127, 127]),
        ("RGBX", (1, 2, 3, 0), [1, 2, 3]),
        ("CMYK", (0, 255, 255, 0), [255, 0, 0]),
        ("CMYK", (0, 0, 0, 255), [0, 0, 0]),
        ("YCbCr", (76, 85, 255), [254, 0, 0]),
        ("HSV", (0, 255, 255), [255, 0, 0]),
        ("LAB", (255, 128, 128), WHITE),
        ("I;16", 32896, [128, 128, 128]),
    ],
)
def test_a_mode(mode: str, colour: object, expected: list[int]) -> None:
    got = np.asarray(to_rgb(Image.new(mode, (4, 4), colour), ""))[0, 0]
    assert abs(got.astype(int) - expected).max() <= 1, got


def test_a_palette_with_alpha() -> None:
    image = Image.new("PA", (4, 4))
    image.putpalette([0, 255, 0], "RGB")
    assert np.asarray(to_rgb(image, ""))[0, 0].tolist() == WHITE


@pytest.mark.parametrize("mode", ["I", "F"])
def test_modes_without_a_way_to_rgb_say_what_helps(mode: str) -> None:
    with pytest.raises(UnusableColoursError, match=r"save the image.* 8 bits"):
        to_rgb(Image.new(mode, (4, 4)), "")
    with pytest.raises(BadImageError, match=r"save the image.* 8 bits"):
        decode(encoded(Image.new(mode, (8, 8)), "TIFF"), LIMITS)


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk_with_and_without_adobes_inversion(form: str) -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    red, green, blue = np.asarray(decode(encoded(image, form, quality=100), LIMITS))[8, 8]
    assert (red > 240, green < 20, blue < 20) == (True, True, True)


@pytest.mark.parametrize(
    ("bits", "photometric", "order", "expected"),
    [(16, 1, "<", 128), (16, 1, ">", 128), (16, 0, "<", 127), (12, 1, "<", 128)],
)
def test_wide_grey_of_tiff(bits: int, photometric: int, order: str, expected: int) -> None:
    """Half of white, in 16 bits of either byte order, in 12, and where 0 is white."""
    pixels = struct.pack(order + "16H", *[32896] * 16) if bits == 16 else bytes.fromhex("808808") * 8
    tags = [
        *((256, 4), (257, 4), (258, bits), (259, 1), (262, photometric)),
        *((273, 8), (277, 1), (278, 4), (279, len(pixels))),
    ]
    directory = struct.pack(order + "H", len(tags))
    directory += b"".join(struct.pack(order + "HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(pixels))
    assert seen(header + pixels + directory + bytes(4))[0] == [expected] * 3
