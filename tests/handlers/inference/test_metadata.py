"""What stands beside the pixels decides nothing about them."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from handlers.inference.bare_image import without_metadata
from handlers.inference.preprocess import BadImageError, Limits, decode
from tests.support.images import colourful, encoded, png_chunk, with_chunks, with_segments
from tests.support.present import present

LIMITS = Limits()
RANDOM = np.random.default_rng(5)
NOISE = RANDOM.integers(0, 256, 2 << 20, dtype=np.uint8).tobytes()
TEXT = bytes(byte % 94 + 32 for byte in NOISE)
PLAIN = encoded(colourful(), "PNG")

PNG_CHUNKS = {
    "2 MB of text": png_chunk(b"tEXt", b"Comment\0" + TEXT),
    "2 MB of packed text": png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(TEXT)),
    "2 MB of packed international text": png_chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(TEXT)),
    "2 MB of profile": png_chunk(b"iCCP", b"profile\0\0" + zlib.compress(NOISE)),
    "text with a bad checksum": png_chunk(b"tEXt", b"Comment\0hello", crc=7),
    "time with a bad checksum": png_chunk(b"tIME", b"\x07\xe8\1\1\1\1\1", crc=7),
    "unknown compression of text": png_chunk(b"zTXt", b"Comment\0\7xxxx"),
    "unknown compression of a profile": png_chunk(b"iCCP", b"profile\0\7xxxx"),
    "empty profile": png_chunk(b"iCCP", b""),
    "short gamma": png_chunk(b"gAMA", b"\1"),
    "short chromaticities": png_chunk(b"cHRM", b"\1\2"),
    "short intent": png_chunk(b"sRGB", b""),
    "short size": png_chunk(b"pHYs", b"\1"),
    "short animation": png_chunk(b"acTL", b"\1"),
    "frames out of order": png_chunk(b"acTL", struct.pack(">II", 3, 0)) + png_chunk(b"fcTL", b"\0\0\0\7" + bytes(22)),
    "no EXIF": png_chunk(b"eXIf", b"nothing"),
    "unknown": png_chunk(b"prVt", b"private", crc=1),
}


@pytest.mark.parametrize("name", PNG_CHUNKS)
@pytest.mark.parametrize("at_end", [False, True], ids=["before", "after"])
def test_png(name: str, at_end: bool) -> None:
    data = with_chunks(PLAIN, PNG_CHUNKS[name], at_end=at_end)
    np.testing.assert_array_equal(np.asarray(decode(data, LIMITS)), np.asarray(colourful()))


def test_many_comments() -> None:
    """Pillow's own limit is 64 MB of text in all."""
    text = bytes(1 << 20)
    chunk = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(text))
    data = with_chunks(PLAIN, *[chunk] * 100)
    np.testing.assert_array_equal(np.asarray(decode(data, LIMITS)), np.asarray(colourful()))


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_comment_that_unpacks_to_128_megabytes_is_refused(kind: bytes) -> None:
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(1 << 24)) for _ in range(8)) + packer.flush()
    head = b"Comment\0\1\0\0\0" if kind == b"iTXt" else b"Comment\0\0"
    with pytest.raises(BadImageError, match="too large"):
        decode(with_chunks(PLAIN, png_chunk(kind, head + packed)), LIMITS)


@pytest.mark.parametrize("kind", [b"PLTE", b"tRNS"])
def test_a_bad_checksum_of_pixels_is_damage(kind: bytes) -> None:
    palette = colourful().convert("P", palette=Image.Palette.ADAPTIVE)
    data = bytearray(encoded(palette, "PNG", transparency=bytes(range(100))))
    place = data.index(kind)
    end = place + 4 + int.from_bytes(data[place - 4 : place])
    data[end] ^= 0xFF
    with pytest.raises(BadImageError):
        decode(bytes(data), LIMITS)


SEGMENTS = {
    "comment": (0xFE, TEXT[:60000]),
    "no EXIF": (0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"),
    "EXIF of nothing": (0xE1, b"Exif\0\0"),
    "several images that are not there": (0xE2, b"MPF\0II*\0\x08\0\0\0\xff\xff\xff\xff"),
    "part 9 of 2 of a profile": (0xE2, b"ICC_PROFILE\0\x09\x02" + NOISE[:100]),
    "cut block of Photoshop": (0xED, b"Photoshop 3.0\08BIM\x04\x04\x00\x00\xff\xff\xff\xff"),
    "noise": (0xEC, NOISE[:50000]),
}


@pytest.mark.parametrize("name", SEGMENTS)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Image appears to be a malformed MPO")
def test_jpeg(name: str) -> None:
    data = encoded(colourful(), "JPEG")
    expected = np.asarray(decode(data, LIMITS))
    np.testing.assert_array_equal(np.asarray(decode(with_segments(data, SEGMENTS[name]), LIMITS)), expected)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
def test_the_rest_decodes_to_the_same_pixels(form: str) -> None:
    """Adobe's and JFIF's segments, palettes and TIFF's tags of storage are no metadata."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    images = {
        "JPEG": [colourful().convert(mode) for mode in ("RGB", "L", "CMYK")],
        "PNG": [colourful().convert(mode) for mode in ("RGB", "L", "P", "1", "RGBA", "LA")],
        "TIFF": [colourful().convert(mode) for mode in ("RGB", "L", "P", "1", "RGBA", "CMYK")],
    }[form]
    for image in images:
        for options in [{}, {"compression": "tiff_lzw"}] if form == "TIFF" else [{}]:
            data = encoded(image, form, exif=exif, icc_profile=NOISE[:3000], **options)
            bare = present(without_metadata(data))
            assert NOISE[:64] not in bare.data or form == "TIFF"
            with Image.open(io.BytesIO(bare.data)) as shorn, Image.open(io.BytesIO(data)) as whole:
                assert (shorn.mode, "icc_profile" in shorn.info) == (whole.mode, False)
                np.testing.assert_array_equal(np.asarray(shorn.convert("RGBA")), np.asarray(whole.convert("RGBA")))


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_orientation_stays_when_other_metadata_is_damaged(form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(colourful(), form, exif=exif)
    damaged = (
        with_segments(data, SEGMENTS["several images that are not there"])
        if form == "JPEG"
        else with_chunks(data, PNG_CHUNKS["unknown compression of a profile"])
    )
    assert decode(damaged, LIMITS).size == decode(data, LIMITS).size == (30, 40)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tiff_with_tags_that_lead_nowhere(order: str) -> None:
    """A resolution, a profile and a description whose values lie outside of the file or are of an unfit type."""
    header = b"II*\0" if order == "<" else b"MM\0*"
    pixels = np.asarray(colourful()).tobytes()
    tags = [
        *((256, 3, 1, 40), (257, 3, 1, 30), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 2), (270, 2, 1 << 30, 1 << 31)),
        *((273, 4, 1, 8), (277, 3, 1, 3), (278, 3, 1, 30), (279, 4, 1, len(pixels)), (282, 5, 1, 1 << 31)),
        *((283, 2, 4, 0), (34665, 4, 1, 1 << 31), (34675, 7, 1 << 31, 1 << 30)),
    ]
    directory = struct.pack(order + "H", len(tags))
    for tag, kind, count, value in tags:
        short = kind == 3
        packed = struct.pack(order + ("HH" if short else "I"), *((value, 0) if short else (value,)))
        directory += struct.pack(order + "HHI", tag, kind, count) + packed
    # The samples have 8 bits each; one value stands for all three as Pillow reads it.
    data = header + struct.pack(order + "I", 8 + len(pixels)) + pixels + directory + bytes(4)
    np.testing.assert_array_equal(np.asarray(decode(data, LIMITS)), np.asarray(colourful()))


def test_changed_metadata_never_changes_pixels() -> None:
    """Random bytes over the places of metadata, in every format that has such places."""
    generator = np.random.default_rng(11)
    exif = Image.Exif()
    exif[0x010E], exif[0x010F] = "a description of some length", "maker"
    words = b"a comment that is long enough to be hit " * 4
    files = {
        "JPEG": encoded(colourful(), "JPEG", exif=exif, icc_profile=words, comment=words),
        "PNG": with_chunks(PLAIN, png_chunk(b"tEXt", b"Comment\0" + words), png_chunk(b"iCCP", b"x\0\0" + words)),
        "GIF": encoded(colourful(), "GIF", comment=words),
        "WEBP": encoded(colourful(), "WEBP", lossless=True, exif=exif, icc_profile=words, xmp=words),
    }
    for form, data in files.items():
        expected = np.asarray(decode(data, LIMITS))
        start = data.index(words)
        for _ in range(40):
            changed = bytearray(data)
            for place in generator.integers(start, start + len(words), 8):
                # A zero would end a comment of GIF, and what follows would be something else.
                changed[place] = generator.integers(1, 256)
            np.testing.assert_array_equal(np.asarray(decode(bytes(changed), LIMITS)), expected, err_msg=form)


def test_tags_of_pixels_are_those_that_pillow_decodes_with() -> None:
    needed = [
        "STRIPOFFSETS",
        "STRIPBYTECOUNTS",
        "ROWSPERSTRIP",
        "TILEOFFSETS",
        "TILEBYTECOUNTS",
        "JPEGTABLES",
        "COLORMAP",
    ]
    data = encoded(colourful(), "TIFF")
    start = int.from_bytes(data[4:8], "little")
    for name in needed:
        entry = struct.pack("<HHII", getattr(TiffImagePlugin, name), 4, 1, 0)
        one = data[:start] + struct.pack("<H", 1) + entry + bytes(4)
        assert without_metadata(one) is None, name
