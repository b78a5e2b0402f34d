"""Dropping into a real directory store: what is found, what is refused before anything is copied, what arrives."""

import json
import os
from pathlib import Path

import pytest

from handlers.client.class_folders import read_layout
from handlers.client.drop_upload import plan_uploads, upload
from handlers.client.errors import ClientError
from model_store.directory.directory_store import DirectoryStore
from tests.handlers.cli.conftest import Run, refusal
from tests.support.images import colourful, encoded


def make(folder: Path, *files: str) -> Path:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode(errors="surrogateescape"))
    return folder


def keys(root: Path) -> dict[str, bytes]:
    """Every object below incoming/, the drop's own folder replaced by ``*``."""
    found = {}
    for info in DirectoryStore(root).list("incoming/"):
        parts = info.key.split("/")
        name = "/".join([*parts[:2], "*", *parts[3:]]) if len(parts) > 3 else info.key
        found[name] = DirectoryStore(root).read(info.key)
    return found


def test_a_folder_of_class_folders(tmp_path: Path) -> None:
    folder = make(tmp_path, "cat/1.jpg", "cat/more/2.PNG", "cat/notes.txt", "dog/3.webp", ".git/x.png", "readme.md")
    cat, dog = read_layout(folder).classes
    assert (cat.name, [str(path) for path in cat.images], len(cat.others)) == ("cat", ["1.jpg", "more/2.PNG"], 1)
    assert (dog.name, len(dog.images)) == ("dog", 1)


def test_a_class_folder_and_a_named_class(tmp_path: Path) -> None:
    folder = make(tmp_path / "cat", "1.jpg", "sub/2.jpg")
    assert [(each.name, len(each.images)) for each in read_layout(folder).classes] == [("cat", 2)]
    assert [(each.name, len(each.images)) for each in read_layout(tmp_path, "feline").classes] == [("feline", 2)]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "neither images nor class folders"),
        (["cat/notes.txt", "dog/1.png"], "no image in the class folder 'cat'"),
        (["x" * 200 + "/1.png", "dog/1.png"], "200 characters; at most 100"),
        (["a\nb/1.png", "dog/1.png"], r"holds the control character '\\n'"),
        (["_private/1.png"], "starts with an underscore"),
        (["caf\u00e9/1.png", "cafe\u0301/1.png"], "are the same class"),
    ],
)
def test_what_cannot_be_learnt_is_refused_before_anything_is_copied(
    files: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ClientError, match=message) as caught:
        read_layout(make(tmp_path, *files))
    assert "\n" not in str(caught.value)


IMAGE = encoded(colourful(), "PNG")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["cat/1.jpg", "dog/1.jpg", "loose.jpg"], ["--class NAME", "cat, dog", "loose.jpg"]),
        (["train/cat/1.jpg", "train/dog/1.jpg", "val/cat/2.jpg", "val/dog/2.jpg"], ["train, val", "--class train"]),
        (["Training/a/1.jpg", "Training/b/1.jpg", "extra/1.jpg"], ["Training", "--class Training"]),
        (["train/1.jpg", "test/2.jpg"], ["parts of a data set"]),
        (["photos/cat/1.jpg", "photos/dog/1.jpg"], ["lucir drop", "--class photos", "cat, dog"]),
    ],
)
def test_a_layout_with_two_readings_stops_and_names_both(files: list[str], words: list[str], tmp_path: Path) -> None:
    with pytest.raises(ClientError) as caught:
        read_layout(make(tmp_path, *files))
    for word in words:
        assert word in str(caught.value)
    (one,) = read_layout(tmp_path, "all").classes
    assert len(one.images) == len(files)


@pytest.mark.parametrize(
    "files",
    [
        ["cat/1.jpg", "dog/1.jpg", ".hidden.jpg"],
        ["cat/1.jpg", "dog/1.jpg", "readme.md", "labels.csv"],
        ["cat/1.jpg", "dog/sub/1.jpg", "__MACOSX/cat/._1.jpg", ".ipynb_checkpoints/x.png", "Thumbs.db"],
        ["cat/1.jpg", "dog/1.jpg", "dog/.thumbnails/1.jpg", "cat/@eaDir/1.jpg", "cat/2.jpg.part"],
        ["cat/train/1.jpg", "cat/val/2.jpg", "dog/1.jpg"],
        ["train/1.jpg", "bus/1.jpg"],
    ],
)
def test_what_is_not_an_image_does_not_change_the_reading(files: list[str], tmp_path: Path) -> None:
    layout = read_layout(make(tmp_path, *files))
    images = [name for name in files if name.endswith(".jpg") and "/." not in f"/{name}" and "MACOSX/" not in name]
    kept = [name for name in images if "@" not in name]
    found = [f"{each.folder.name}/{image}" for each in layout.classes for image in each.images]
    assert sorted(found) == sorted(kept)
    dropped = {str(one.path) for one in layout.left}
    for name in set(files) - set(kept):
        assert any(name == left or name.startswith(f"{left}/") for left in dropped), name
    assert all(one.reason for one in layout.left)


def test_the_content_decides_what_an_image_is(tmp_path: Path) -> None:
    names = ["1.jpe", "2.jfif", "noname", "3.dat", "4.txt", "5.heic"]
    for name in names:
        make(tmp_path / "cat", name)
        (tmp_path / "cat" / name).write_bytes(IMAGE)
    make(tmp_path / "cat", "notes.txt", "damaged.png")
    (cat,) = read_layout(tmp_path / "cat").classes
    assert sorted(map(str, cat.images)) == sorted([*names, "damaged.png"])
    assert cat.others == (Path("notes.txt"),)


def test_links_are_followed_or_named(tmp_path: Path) -> None:
    make(tmp_path / "elsewhere", "1.jpg", "more/2.jpg")
    drop = make(tmp_path / "drop", "dog/1.jpg")
    (drop / "cat").symlink_to(tmp_path / "elsewhere")
    (drop / "dog" / "2.jpg").symlink_to(tmp_path / "elsewhere" / "1.jpg")
    (drop / "dog" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    (drop / "dog" / "self").symlink_to(drop / "dog")
    (drop / "dog" / "circle.jpg").symlink_to(drop / "dog" / "circle.jpg")
    os.mkfifo(drop / "dog" / "pipe.jpg")
    layout = read_layout(drop)
    assert {each.name: [str(path) for path in each.images] for each in layout.classes} == {
        "cat": ["1.jpg", "more/2.jpg"],
        "dog": ["1.jpg", "2.jpg"],
    }
    reasons = {str(one.path): one.reason for one in layout.left}
    assert set(reasons) == {"dog/gone.jpg", "dog/self", "dog/circle.jpg", "dog/pipe.jpg"}
    assert "nowhere" in reasons["dog/gone.jpg"]
    store = DirectoryStore(tmp_path / "store")
    list(upload(store, layout.classes, plan_uploads(layout.classes, "one")))
    assert len([info for info in store.list("incoming/") if "_READY" not in info.key]) == 4


def test_a_class_has_the_name_that_its_link_has(tmp_path: Path) -> None:
    make(tmp_path / "n02123045", "1.jpg")
    (tmp_path / "cat").symlink_to(tmp_path / "n02123045")
    assert [each.name for each in read_layout(tmp_path / "cat").classes] == ["cat"]


def test_what_is_left_out_is_said(lucir: Run, tmp_path: Path) -> None:
    make(tmp_path / "animals", "cat/1.jpg", "cat/notes.txt", "dog/1.jpg", "readme.md", ".DS_Store")
    (tmp_path / "animals" / "cat" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    document = json.loads(lucir("drop", "animals", "--json").stdout)
    assert set(document["left_out"]) == {"readme.md", ".DS_Store", "cat/gone.jpg"}
    assert document["skipped_files"] == 4
    told = lucir("drop", "animals").stdout
    assert "left out cat/gone.jpg: a link that leads nowhere" in told
    assert "dropped cat: 1 image (left out: notes.txt)" in told


def test_a_name_of_300_characters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="300 characters; at most 100"):
        read_layout(make(tmp_path, "1.png"), "x" * 300)


def test_a_file_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=r"there is no folder .*missing here: name a class folder"):
        read_layout(tmp_path / "missing")
    with pytest.raises(ClientError, match=r"is not a folder: .*lucir correct .*1\.png --class NAME"):
        read_layout(make(tmp_path, "1.png") / "1.png")


def test_markers_come_after_all_images_and_earlier_drops_are_not_replaced(tmp_path: Path) -> None:
    classes = read_layout(make(tmp_path / "drop", "cat/1.jpg", "dog/sub/2.png", "dog/3%.png")).classes
    store = DirectoryStore(tmp_path / "store")
    uploads = plan_uploads(classes, "first")
    order = [one.key for one in upload(store, classes, uploads)]
    assert len(list(upload(store, classes, plan_uploads(classes, "second")))) == 3
    assert sorted(order) == [
        "incoming/cat/first/1.jpg",
        "incoming/dog/first/3%25.png",
        "incoming/dog/first/sub/2.png",
    ]
    assert len([info for info in store.list("incoming/") if "_READY" not in info.key]) == 6
    marker, image = (store.stat(key).modified for key in ("incoming/cat/_READY", "incoming/dog/first/sub/2.png"))
    assert marker >= image


def test_lucir_drop_copies_and_reports(lucir: Run, tmp_path: Path) -> None:
    make(tmp_path / "animals", "cat/1.jpg", "cat/2.jpg", "cat/x.txt", "dog/1.jpg")
    answer = lucir("drop", "animals", "--json")
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) == {"classes": {"cat": 2, "dog": 1}, "images": 3, "skipped_files": 1}
    assert keys(tmp_path / "lucir-data" / "store") == {
        "incoming/cat/*/1.jpg": b"cat/1.jpg",
        "incoming/cat/*/2.jpg": b"cat/2.jpg",
        "incoming/cat/_READY": b"",
        "incoming/dog/*/1.jpg": b"dog/1.jpg",
        "incoming/dog/_READY": b"",
    }
    assert "will be learnt when `lucir up` runs" in lucir("drop", "animals").stdout
    elsewhere = (tmp_path / "elsewhere").as_uri()  # beside a container, say: no stack is missing
    said = lucir("drop", "animals", "--store", elsewhere).stdout
    assert f"will be learnt by the updater of {elsewhere}: no stack here works on that store" in " ".join(said.split())


def test_waiting_for_nobody_is_refused_before_anything_is_copied(lucir: Run, tmp_path: Path) -> None:
    make(tmp_path / "animals", "cat/1.jpg")
    assert "no stack answers" in refusal(lucir("drop", "animals", "--wait", LUCIR_UPDATER__PORT="1"))
    assert not (tmp_path / "lucir-data").exists()
