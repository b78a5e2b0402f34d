import numpy as np
import pytest
from PIL import Image

from handlers.inference.preprocess import BadImageError, ImageRules, Limits, crop, decode, header_pixels, to_array
from handlers.settings import ImageLimits
from tests.support.images import colourful, encoded, header_only

LIMITS = Limits()


def test_defaults_agree_with_the_settings_tree() -> None:
    settings: ImageRules = ImageLimits()
    for name in ("max_bytes", "max_pixels", "min_side"):
        assert getattr(settings, name) == getattr(LIMITS, name), name


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_come_back_exactly(form: str) -> None:
    image = colourful()
    np.testing.assert_array_equal(np.asarray(decode(encoded(image, form), LIMITS)), np.asarray(image))


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "GIF"])
def test_lossy_formats_come_back_nearly(form: str) -> None:
    image = colourful()
    got = np.asarray(decode(encoded(image, form), LIMITS)).astype(int)
    assert abs(got - np.asarray(image).astype(int)).mean() < 8


@pytest.mark.parametrize(
    "data", [b"", b"not an image at all", b"\xff\xd8\xff\xe0 no jpeg", b"GIF89a", b"{}", b"%PDF-1.7"]
)
def test_no_image(data: bytes) -> None:
    with pytest.raises(BadImageError, match="image" if data else "empty"):
        decode(data, LIMITS)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])
def test_truncated(form: str, share: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, form)
    with pytest.raises(BadImageError):
        decode(data[: int(len(data) * share)], LIMITS)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 3)])
def test_too_small(size: tuple[int, int]) -> None:
    with pytest.raises(BadImageError, match=f"{size[0]}x{size[1]}"):
        decode(encoded(Image.new("RGB", size), "PNG"), LIMITS)


@pytest.mark.parametrize("side", [8000, 11000, 14143, 60000])
def test_bomb_is_refused_from_its_header(side: int) -> None:
    """64 to 3600 megapixels: 200 megapixels lie above Pillow's own bound, 121 in its warning range, 64 below it."""
    with pytest.raises(BadImageError, match="pixels"):
        decode(header_only(side, side), LIMITS)


@pytest.mark.parametrize("side", [40, 60])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "TIFF"])
def test_pillows_own_bound_is_raised_to_that_of_the_settings(
    side: int, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1600 pixels are in the range in which Pillow warns, which is an error in tests; it refuses 3600."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    data = encoded(colourful(side, side), form)
    assert header_pixels(data, Limits(max_pixels=3600)) == side * side
    assert decode(data, Limits(max_pixels=3600)).size == (side, side)
    assert Image.MAX_IMAGE_PIXELS == 3600
    with pytest.raises(BadImageError, match="at most 500 are accepted"):
        decode(data, Limits(max_pixels=500))
    assert Image.MAX_IMAGE_PIXELS == 3600  # neither lowered nor taken away


def test_what_pillow_refuses_is_told_in_words_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(BadImageError, match=r"\(3600 pixels\).*at most 500 are accepted"):
        decode(encoded(colourful(60, 60), "PNG"), Limits(max_pixels=500))


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


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(form: str) -> None:
    levels = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    got = np.asarray(decode(encoded(Image.fromarray(levels), form), LIMITS))
    expected = np.round(levels / 65535 * 255).astype(int)
    assert abs(got[..., 0].astype(int) - expected).max() <= 1
    assert got.min() == 0
    assert got.max() == 255


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
