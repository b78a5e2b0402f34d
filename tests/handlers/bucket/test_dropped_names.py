import pytest

from handlers.bucket.dropped_names import looks_like_another_kind, why_left_alone


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
