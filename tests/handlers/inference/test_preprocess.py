import contextlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handlers.inference.preprocess import BadImageError, ImageRules, Limits, crop, decode, to_array
from handlers.settings import ImageLimits
from tests.support.images import colourful, encoded, header_only

LIMITS = Limits()


def test_defaults_agree_with_the_settings_tree() -> None:
    settings: ImageRules = ImageLimits()
    assert (settings.max_bytes, settings.max_pixels, settings.min_side) == (
        LIMITS.max_bytes,
        LIMITS.max_pixels,
        LIMITS.min_side,
    )


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_come_back_exactly(form: str) -> None:
    image = colourful()
    np.testing.assert_array_equal(np.asarray(decode(encoded(image, form), LIMITS)), np.asarray(image))


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "GIF"])
def test_lossy_formats_come_back_nearly(form: str) -> None:
    image = colourful()
    got = np.asarray(decode(encoded(image, form), LIMITS)).astype(int)
    assert abs(got - np.asarray(image).astype(int)).mean() < 8


@pytest.mark.parametrize("data", [b"not an image at all", b"\xff\xd8\xff\xe0 no jpeg", b"GIF89a", b"{}", b"%PDF-1.7"])
def test_no_image(data: bytes) -> None:
    with pytest.raises(BadImageError, match="image"):
        decode(data, LIMITS)


def test_empty_file() -> None:
    with pytest.raises(BadImageError, match="empty"):
        decode(b"", LIMITS)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])
def test_truncated(form: str, share: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, form)
    with pytest.raises(BadImageError):
        decode(data[: int(len(data) * share)], LIMITS)


def test_any_damage_is_a_bad_image_or_an_image() -> None:
    generator = np.random.default_rng(1)
    for form in ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP"):
        data = np.frombuffer(encoded(colourful(), form), dtype=np.uint8)
        for _ in range(60):
            damaged = data.copy()
            damaged[generator.integers(0, len(data), 5)] = generator.integers(0, 256, 5)
            with contextlib.suppress(BadImageError):
                assert decode(damaged.tobytes(), LIMITS).mode == "RGB"


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 3)])
def test_too_small(size: tuple[int, int]) -> None:
    with pytest.raises(BadImageError, match=f"{size[0]}x{size[1]}"):
        decode(encoded(Image.new("RGB", size), "PNG"), LIMITS)


@pytest.mark.parametrize("side", [8000, 11000, 14143, 60000])
def test_bomb_is_refused_from_its_header(side: int) -> None:
    """64 to 3600 megapixels: 200 megapixels lie above Pillow's own bound, 121 in its warning range, 64 below it."""
    with pytest.raises(BadImageError, match="pixels"):
        decode(header_only(side, side), LIMITS)


def test_pillow_keeps_its_own_bound() -> None:
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(BadImageError):
        decode(header_only(20000, 20000), Limits(max_pixels=10**9))
    assert before == Image.MAX_IMAGE_PIXELS


def test_too_many_bytes() -> None:
    data = encoded(colourful(), "BMP")
    with pytest.raises(BadImageError, match=str(len(data))):
        decode(data, Limits(max_bytes=len(data) - 1))
    decode(data, Limits(max_bytes=len(data)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int) -> None:
    """Stored so that undoing the orientation gives the upright image: red above, blue to the lower left."""
    upright = np.zeros((16, 24, 3), dtype=np.uint8)
    upright[:8] = (255, 0, 0)
    upright[8:, :12] = (0, 0, 255)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)
    np.testing.assert_array_equal(np.asarray(decode(data, LIMITS)), upright)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_is_ignored() -> None:
    data = encoded(colourful(), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xffgarbage")
    assert decode(data, LIMITS).size == (40, 30)


def test_cmyk() -> None:
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100)
    red, green, blue = np.asarray(decode(data, LIMITS))[8, 8]
    assert red > 240
    assert green < 20
    assert blue < 20


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(form: str) -> None:
    levels = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    got = np.asarray(decode(encoded(Image.fromarray(levels), form), LIMITS))
    expected = np.round(levels / 65535 * 255).astype(int)
    assert abs(got[..., 0].astype(int) - expected).max() <= 1
    assert got.min() == 0
    assert got.max() == 255


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(BadImageError, match="8 bits"):
        decode(encoded(Image.fromarray(np.zeros((8, 8), dtype=np.float32)), "TIFF"), LIMITS)


def test_palette() -> None:
    data = encoded(colourful().convert("P", palette=Image.Palette.ADAPTIVE, colors=256), "PNG")
    image = decode(data, LIMITS)
    assert image.mode == "RGB"
    assert abs(np.asarray(image).astype(int) - np.asarray(colourful()).astype(int)).mean() < 12


def test_grey_and_bilevel() -> None:
    assert np.asarray(decode(encoded(Image.new("L", (8, 8), 77), "PNG"), LIMITS))[0, 0].tolist() == [77, 77, 77]
    assert np.asarray(decode(encoded(Image.new("1", (8, 8), 1), "PNG"), LIMITS))[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_laid_over_white(mode: str) -> None:
    black = (0, 0, 0) if mode == "RGBA" else (0,)
    transparent = Image.new(mode, (8, 8), (*black, 0))
    half = Image.new(mode, (8, 8), (*black, 128))
    assert np.asarray(decode(encoded(transparent, "PNG"), LIMITS))[0, 0].tolist() == [255, 255, 255]
    assert abs(int(np.asarray(decode(encoded(half, "PNG"), LIMITS))[0, 0, 0]) - 127) <= 1


def test_transparent_palette_entry_is_white() -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    assert np.asarray(decode(encoded(image, "PNG", transparency=0), LIMITS))[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_an_animation(form: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "green", "blue")]
    options = {"lossless": True} if form == "WEBP" else {}
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)
    assert np.asarray(decode(data, LIMITS))[8, 8].tolist() == [255, 0, 0]


def test_array_is_the_central_square() -> None:
    pixels = np.zeros((20, 60, 3), dtype=np.uint8)
    pixels[:, 18:42] = 200  # a little more than the square: resampling looks beyond its edge
    for image in (Image.fromarray(pixels), Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 0, 2)))):
        array = to_array(image, 10)
        assert array.shape == (10, 10, 3)
        assert array.dtype == np.uint8
        assert (array == 200).all()


def test_an_image_of_the_right_size_is_unchanged() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(to_array(Image.fromarray(pixels), 32), pixels)


def test_long_strip_costs_no_memory() -> None:
    assert to_array(Image.new("RGB", (60000, 8), "red"), 512).shape == (512, 512, 3)


def test_interpolation_is_used() -> None:
    image = colourful(64, 64)
    assert (to_array(image, 16, "nearest") != to_array(image, 16, "bilinear")).any()


def test_crop_takes_the_centre() -> None:
    array = np.arange(6 * 6 * 3, dtype=np.uint8).reshape(6, 6, 3)
    np.testing.assert_array_equal(crop(array, 2), array[2:4, 2:4])
    np.testing.assert_array_equal(crop(array, 6), array)
    with pytest.raises(ValueError, match="7x7"):
        crop(array, 7)


def test_name_does_not_matter(tmp_path: Path) -> None:
    """A PNG called .jpg is a PNG."""
    path = tmp_path / "image.jpg"
    path.write_bytes(encoded(colourful(), "PNG"))
    assert decode(path.read_bytes(), LIMITS).size == (40, 30)
