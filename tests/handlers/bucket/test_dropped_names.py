import unicodedata
from pathlib import Path

import pytest

from handlers.bucket.dropped_names import class_name, looks_like_another_kind, why_left_alone
from tests.support.class_names import NO_CLASS_NAMES


@pytest.mark.parametrize(
    "name", ["cat", "großer Hund", "猫", "a" * 100, "100%", "x_", "a.b", "cat.x", "trash-1", "c\u00e9"]
)
def test_good_class_names(name: str) -> None:
    assert class_name(name) == name


def test_class_names_are_composed() -> None:
    decomposed = unicodedata.normalize("NFD", "Löwe")
    assert decomposed != "Löwe"
    assert class_name(decomposed) == "Löwe"


@pytest.mark.parametrize(("name", "words"), NO_CLASS_NAMES.items())
def test_bad_class_names_say_why(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        class_name(name)


@pytest.mark.parametrize("name", ["a" * 100, "猫" * 85, "großer Hund", "x_", "cat.x", "right \u202e left"])
def test_a_class_name_is_the_name_of_a_folder_that_counts(name: str, tmp_path: Path) -> None:
    assert why_left_alone(f"{class_name(name)}/1.jpg") is None
    (tmp_path / class_name(name)).mkdir()


@pytest.mark.parametrize(
    "path",
    [
        ".ipynb_checkpoints/1.png",
        ".Trash-1000/files/1.png",
        "1000/.thumbnails/1.png",
        "__MACOSX/cat/._1.jpg",
        "a/b/__macosx/1.jpg",
        "Thumbs.db",
        "sub/THUMBS.DB",
        "@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg",
        "desktop.ini",
        "lost+found/1.jpg",
        "$RECYCLE.BIN/1.jpg",
        ".DS_Store",
        ".1.jpg.AbC123",
        "1.jpg.part",
        "1.jpg.crdownload",
        "1.jpg~",
        "~$1.docx",
        "1.part/1.jpg",
    ],
)
def test_left_alone_at_any_depth(path: str) -> None:
    assert why_left_alone(path)
    assert why_left_alone(f"class/folder/{path}")


@pytest.mark.parametrize("path", ["1.jpg", "a.b/1", "_x.png", "macosx.jpg", "part.jpg", "trash-1/1.jpg", "1.tmp.jpg"])
def test_what_counts(path: str) -> None:
    assert why_left_alone(path) is None


@pytest.mark.parametrize(
    ("path", "other"),
    [
        *((name, False) for name in ("a.JPG", "a.jpe", "a.jfif", "a", "a.heic", "a.xyz")),
        *((name, True) for name in ("a.txt", "labels.CSV", "a.json", "a.png/readme.html", "a.mp4")),
    ],
)
def test_a_suffix_only_tells_what_is_something_else(path: str, other: bool) -> None:
    assert looks_like_another_kind(path) is other
