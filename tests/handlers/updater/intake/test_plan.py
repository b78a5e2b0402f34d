"""Real files of every kind through the reader, the rules and the plan."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handlers.settings import Settings
from handlers.updater.context.decoded_images import open_decoded
from handlers.updater.intake.originals import move_all, write_reasons
from model_store.directory.directory_store import DirectoryStore
from tests.handlers.conftest import DigitFiles, Drop
from tests.handlers.updater.intake.conftest import SIDE, MakePlan, put, reasons
from tests.support.images import encoded, header_only
from tests.support.present import present


def contents(store: DirectoryStore, *prefixes: str) -> list[str]:
    """Hashes of everything that was uploaded and lies below these prefixes."""
    return sorted(
        hashlib.sha256(store.read(info.key, limit=info.size)).hexdigest()
        for prefix in prefixes
        for info in store.list(prefix)
        if not info.key.endswith(".reason.json")
    )


def small(side: int) -> bytes:
    return encoded(Image.new("RGB", (side, side), "red"), "PNG")


def test_a_plan_names_every_object_once(store: DirectoryStore, drop: Drop, make_plan: MakePlan) -> None:
    drop("zero", 0, 12)
    drop("one", 1, 12, marked=True)
    plan = make_plan()
    assert plan.classes == plan.new_classes == ("one", "zero")
    assert (plan.version, plan.parent) == (1, None)
    assert len(plan.of_role("train")) == 20
    assert len(plan.of_role("holdout")) == 4
    assert [entry.key for entry in plan.of_role("marker")] == ["incoming/one/_READY"]
    assert sorted(entry.key for entry in plan.entries) == sorted(info.key for info in store.list("incoming/"))
    for entry in plan.entries:
        assert entry.sha256 == hashlib.sha256(store.read(entry.key)).hexdigest()
        assert entry.target == entry.key.replace("incoming/", "archive/000001/")


def test_decoded_images_are_those_of_the_files(
    store: DirectoryStore, drop: Drop, make_plan: MakePlan, tmp_path: Path
) -> None:
    drop("zero", 0, 5)
    drop("one", 1, 5)
    plan = make_plan()
    decoded = open_decoded(tmp_path / "work", SIDE)
    for entry in plan.entries:
        expected = Image.open(io.BytesIO(store.read(entry.key))).convert("RGB")
        np.testing.assert_array_equal(present(decoded.find(entry.key, entry.sha256)), np.asarray(expected))
    assert len(decoded) == 10


def test_every_bad_file_is_rejected_with_its_reason_and_nothing_is_lost(
    store: DirectoryStore, settings: Settings, root: Path, drop: Drop, digit_files: DigitFiles, make_plan: MakePlan
) -> None:
    zero = drop("zero", 0, 6)
    drop("one", 1, 6)
    good = digit_files[2][0]
    bad = {
        "incoming/zero/text.png": (b"hello", "not an image"),
        "incoming/zero/empty.png": (b"", "empty"),
        "incoming/zero/truncated.png": (good[:60], "damaged"),
        "incoming/zero/dot.png": (small(1), "1x1"),
        "incoming/zero/bomb.png": (header_only(20000, 10000), "200000000 pixels"),
        "incoming/zero/readme.txt": (b"hello", "does not end as an image's"),
        "incoming/zero/same.png": ((zero / "0-000.png").read_bytes(), "duplicate"),
        "incoming/zero/huge.png": (b"\0" * (settings.images.max_bytes + 1), "at most"),
        "incoming/loose.png": (good, "directly in incoming/"),
        "incoming/_mine/a.png": (digit_files[2][1], "underscore"),
        "incoming/tab\there/a.png": (digit_files[2][2], "control character"),
        f"incoming/{'x' * 150}/a.png": (digit_files[2][3], "150 characters"),
        "incoming/one/both.png": (digit_files[3][0], "more than one class"),
        "incoming/zero/both.png": (digit_files[3][0], "more than one class"),
    }
    put(root, {key: data for key, (data, _) in bad.items()}, folder="")
    before = contents(store, "incoming/")
    plan = make_plan()
    found = reasons(plan)
    assert set(found) == set(bad)
    for key, (_, words) in bad.items():
        assert words in found[key], (key, found[key])
    rejected = plan.of_role("rejected")
    write_reasons(store, plan.id, rejected)
    for _ in range(2):  # repeating it changes nothing
        _, left = move_all(store, rejected)
        assert left == []
    for entry in rejected:
        assert entry.target.startswith("rejected/000001/")
        reason = json.loads(store.read(f"{entry.target}.reason.json"))
        assert (reason["key"], reason["sha256"], reason["reason"]) == (entry.key, entry.sha256, entry.reason)
        assert entry.sha256 == hashlib.sha256(bad[entry.key][0]).hexdigest()
    assert contents(store, "incoming/", "rejected/") == before


def odd_images() -> dict[str, tuple[bytes, tuple[int, int, int]]]:
    """Files of unusual kinds, all of one colour (or with it at the top left), and that colour."""
    red, blue = (255, 0, 0), (0, 0, 255)
    turned = Image.Exif()
    turned[0x0112] = 6  # stored lying on its left side: the stored lower left is what is seen at the upper left
    lying = Image.new("RGB", (16, 16), "blue")
    lying.paste("red", (0, 8, 16, 16))
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([0, 0, 0, *blue])
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    deep = Image.fromarray(np.full((16, 16), 65535, np.uint16))
    return {
        "cmyk.jpg": (encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100), red),
        "deep.png": (encoded(deep, "PNG"), (255, 255, 255)),
        "deep.tif": (encoded(deep, "TIFF"), (255, 255, 255)),
        "palette.gif": (encoded(palette, "GIF"), blue),
        "see-through.png": (encoded(Image.new("RGBA", (16, 16), (0, 0, 0, 0)), "PNG"), (255, 255, 255)),
        "animated.gif": (encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), red),
        "animated.webp": (encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True), red),
        "turned.jpg": (encoded(lying, "JPEG", quality=100, subsampling=0, exif=turned), red),
        "really-a-png.jpg": (encoded(Image.new("RGB", (17, 17), "blue"), "PNG"), blue),
        "really-a-jpeg.PNG": (encoded(Image.new("RGB", (18, 18), "red"), "JPEG", quality=100), red),
        "UPPER.BMP": (encoded(Image.new("RGB", (19, 19), "blue"), "BMP"), blue),
    }


def test_images_of_unusual_kinds_are_learnt_as_they_are_seen(
    root: Path, drop: Drop, make_plan: MakePlan, tmp_path: Path
) -> None:
    drop("zero", 0, 6)
    images = odd_images()
    put(root, {f"odd/{name}": data for name, (data, _) in images.items()})
    plan = make_plan()
    assert reasons(plan) == {}
    decoded = open_decoded(tmp_path / "work", SIDE)
    for name, (data, colour) in images.items():
        got = present(decoded.find(f"incoming/odd/{name}", hashlib.sha256(data).hexdigest()))
        assert abs(got[1, 1].astype(int) - colour).max() <= 12, name
        (entry,) = [entry for entry in plan.entries if entry.key == f"incoming/odd/{name}"]
        assert entry.sha256 == hashlib.sha256(data).hexdigest()


def test_what_measures_accuracy_is_not_learnt(
    root: Path, drop: Drop, digit_files: DigitFiles, make_plan: MakePlan
) -> None:
    drop("zero", 0, 10)
    drop("one", 1, 10)
    put(root, {"null/x.png": digit_files[0][4]}, "evaluation")  # under another name, even
    found = reasons(make_plan())
    assert list(found) == ["incoming/zero/0-004.png"]
    assert "evaluation/null/x.png" in found["incoming/zero/0-004.png"]


def test_one_class_spelt_in_two_ways_is_one_class(
    root: Path, drop: Drop, digit_files: DigitFiles, make_plan: MakePlan
) -> None:
    drop("zero", 0, 6)
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    for name, first in ((composed, 0), (decomposed, 3)):
        put(root, {f"{name}/{index}.png": digit_files[1][index] for index in range(first, first + 4)})
    plan = make_plan()
    assert plan.classes == (composed, "zero")
    assert [entry.reason for entry in plan.of_role("rejected")] == [
        f"an exact duplicate of incoming/{decomposed}/3.png"
    ]
    assert len({entry.target for entry in plan.entries}) == len(plan.entries)


def test_one_usable_class_is_no_first_phase(root: Path, drop: Drop, make_plan: MakePlan) -> None:
    drop("zero", 0, 6)
    put(root, {f"one/{index}.png": b"no image %d" % index for index in range(5)})
    plan = make_plan()
    assert plan.version is None
    assert {entry.role for entry in plan.entries} == {"rejected"}
    assert len(plan.entries) == 5


def test_own_test_images_replace_the_held_out_share(
    root: Path, drop: Drop, digit_files: DigitFiles, make_plan: MakePlan
) -> None:
    drop("zero", 0, 10)
    drop("one", 1, 10)
    own = {"zero/bad.png": b"no image", "zero/good.png": digit_files[0][50], "one/bad.png": b"no image"}
    put(root, own, "evaluation")
    plan = make_plan()
    assert plan.own_evaluation == ("zero",)
    assert {entry.class_name for entry in plan.of_role("holdout")} == {"one"}


def test_an_original_that_was_replaced_is_left_alone(
    store: DirectoryStore, drop: Drop, digit_files: DigitFiles, make_plan: MakePlan
) -> None:
    folder = drop("zero", 0, 5)
    drop("one", 1, 5)
    plan = make_plan()
    (folder / "0-000.png").write_bytes(digit_files[0][40])
    (folder / "0-001.png").unlink()
    (folder / "0-002.png").chmod(0o600)  # its tag changes, its content does not
    moved, left = move_all(store, plan.of_role("train", "holdout"))
    assert left == ["incoming/zero/0-000.png", "incoming/zero/0-001.png"]
    assert len(moved) == 8
    assert store.read("incoming/zero/0-000.png") == digit_files[0][40]


@pytest.mark.parametrize("limit", [3, 7])
def test_a_large_folder_is_taken_in_parts(drop: Drop, make_plan: MakePlan, limit: int) -> None:
    drop("zero", 0, 10, marked=True)
    drop("one", 1, 10, marked=True)
    plan = make_plan(limit=2 * limit)
    assert len(plan.of_role("train", "holdout")) == 2 * limit
    assert not plan.of_role("marker")  # the rest is still marked
