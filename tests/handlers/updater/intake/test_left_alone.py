"""Copies into ``incoming/`` follow the rule of ``lucir drop``: what is not meant to be learnt stays, and is named."""

from pathlib import Path

from handlers.settings import UpdaterSettings
from handlers.updater.intake.listing import scan
from handlers.updater.intake.readiness import FolderState, Readiness
from model_store.directory.directory_store import DirectoryStore
from tests.handlers.conftest import DigitFiles
from tests.handlers.updater.intake.conftest import MakePlan, put, reasons

LEFT = [".ipynb_checkpoints/1.png", ".Trash-1000/files/2.png", "__MACOSX/zero/._3.png", "zero/.thumbnails/4.png"]
LEFT += ["zero/sub/@eaDir/5.png", "zero/Thumbs.db", "one/6.png.part", ".DS_Store"]


def judged(store: DirectoryStore) -> dict[str, FolderState]:
    readiness = Readiness(UpdaterSettings(settle_seconds=0, min_images=3))
    readiness.judge(scan(store), frozenset(), {}, frozenset(), wall=10.0**10, monotonic=0)
    states = readiness.judge(scan(store), frozenset(), {}, frozenset(), wall=10.0**10, monotonic=100)
    return {state.folder.name: state for state in states}


def test_what_is_left_alone_is_not_learnt_and_is_named(
    store: DirectoryStore, root: Path, digit_files: DigitFiles, make_plan: MakePlan
) -> None:
    for digit, name in enumerate(("zero", "one")):
        put(root, {f"{name}/{index}.png": digit_files[digit][index] for index in range(6)})
    put(root, {name: digit_files[2][index] for index, name in enumerate(LEFT)})
    states = judged(store)
    assert [states[name].state for name in ("zero", "one")] == ["ready", "ready"]
    assert [states[name].folder.images for name in ("zero", "one")] == [6, 6]
    for name in (".ipynb_checkpoints", ".Trash-1000", "__MACOSX", ""):
        assert states[name].state == "waiting"
        assert "left alone" in states[name].reason
    plan = make_plan()
    assert plan.classes == ("one", "zero")
    assert {entry.key for entry in plan.entries}.isdisjoint(f"incoming/{name}" for name in LEFT)
    assert len(plan.entries) == 12
    assert reasons(plan) == {}


def test_the_content_decides_what_an_image_is(
    store: DirectoryStore, root: Path, digit_files: DigitFiles, make_plan: MakePlan
) -> None:
    names = ["a.jpe", "b.jfif", "c", "d.dat", "e.png", "f.txt"]
    put(root, {f"zero/{name}": digit_files[0][index] for index, name in enumerate(names)})
    put(root, {f"one/{name}": digit_files[1][index] for index, name in enumerate(names)})
    put(root, {"zero/notes.txt": b"hello", "zero/noname": b"hello"})
    assert scan(store)["zero"].images == 6
    plan = make_plan()
    assert set(reasons(plan)) == {"incoming/zero/notes.txt", "incoming/zero/noname"}
    assert len(plan.of_role("train", "holdout")) == 12


def test_parts_of_a_data_set_are_not_learnt_as_classes(
    store: DirectoryStore, root: Path, digit_files: DigitFiles
) -> None:
    image = digit_files[0][0]
    put(root, {f"{part}/{name}/{index}.png": image for part in ("train", "Val") for name in "ab" for index in range(4)})
    put(root, {f"test/{index}.png": image for index in range(4)})
    states = judged(store)
    for part in ("train", "Val"):
        assert states[part].state == "waiting"
        assert "move them up" in states[part].reason
        assert "_READY" in states[part].reason
    assert not states["test"].folder.holds_classes
    put(root, {"train/_READY": b""})
    assert scan(store)["train"].marked
    put(root, {f"other/{index}.png": image for index in range(4)})
    assert judged(store)["train"].state == "ready"
