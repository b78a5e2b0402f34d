"""`lucir demo --photos`: what is made of a folder, and the baseline beside it."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handlers.demo.errors import DemoError
from handlers.demo.material import MOST_IMAGES, photographs, write_folders
from handlers.demo.photo_baseline import baseline_phases
from handlers.demo.plot import save_plot
from handlers.demo.results_text import document
from handlers.demo.service_accuracy import Measured, measured
from handlers.demo.verdict import StoryResult, shortcomings
from tests.handlers.demo.test_demo import service_of


def made(folder: Path, classes: int, images: int) -> Path:
    """Folders of coloured noise, a colour per class; JPEG and PNG in turn, and a stray file."""
    random = np.random.default_rng(1)
    for label in range(classes):
        (folder / f"class {label}").mkdir(parents=True)
        colour = random.integers(0, 256, 3)
        for number in range(images):
            pixels = np.clip(colour + random.integers(-30, 30, (40, 60, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"class {label}" / f"{number}.{'jpg' if number % 2 else 'png'}")
    (folder / "notes.txt").write_text("not a class")
    return folder


@pytest.mark.parametrize(("classes", "drops"), [(3, (2, 1)), (4, (2, 1, 1)), (12, (4, 3, 3, 2)), (30, (10, 7, 7, 6))])
def test_classes_come_in_up_to_four_drops(tmp_path: Path, classes: int, drops: tuple[int, ...]) -> None:
    material = photographs(made(tmp_path, classes, 5), 1)
    assert tuple(map(len, material.phases)) == drops
    names = [name for phase in material.phases for name in phase]
    assert sorted(names) == sorted(material.train) == sorted(material.test)
    assert all((len(material.train[name]), len(material.test[name])) == (4, 1) for name in names)
    assert not set(material.train[names[0]]) & set(material.test[names[0]])
    assert photographs(tmp_path, 2).phases != material.phases


def test_images_keep_their_type_and_a_large_class_is_cut(tmp_path: Path) -> None:
    material = photographs(made(tmp_path / "in", 3, MOST_IMAGES + 20), 1)
    assert {len(images) for images in material.train.values()} == {80}
    folder = write_folders(material.train, material.phases[0], tmp_path / "out")
    for path in folder.rglob("*.*"):
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            assert path.suffix == {"JPEG": ".jpg", "PNG": ".png"}[image.format or ""]


def test_a_file_that_is_no_image_is_dropped_but_never_asked(tmp_path: Path) -> None:
    made(tmp_path, 3, 6)
    (tmp_path / "class 1" / "broken.jpg").write_bytes(b"no image")
    material = photographs(tmp_path, 1)
    assert b"no image" in material.train["class 1"]
    assert all(b"no image" not in images for images in material.test.values())
    assert len(baseline_phases(material)) == 2


def test_a_folder_without_enough_is_named(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="is not a folder"):
        photographs(tmp_path / "absent", 1)
    with pytest.raises(DemoError, match="2 class folders: give at least 3"):
        photographs(made(tmp_path / "two", 2, 4), 1)
    with pytest.raises(DemoError, match="has 3 images that can be read: give at least 4"):
        photographs(made(tmp_path / "few", 3, 3), 1)
    made(tmp_path / "name", 3, 4)
    (tmp_path / "name" / "_own").mkdir()
    with pytest.raises(DemoError, match=r"starts with an underscore.*rename the folder"):
        photographs(tmp_path / "name", 1)


def test_the_baseline_learns_every_drop_and_the_story_is_compared_with_it(tmp_path: Path) -> None:
    material = photographs(made(tmp_path, 4, 10), 1)
    results = baseline_phases(material)
    assert [len(one["right"]) for one in results] == [2, 3, 4]
    assert sum(results[-1]["right"].values()) >= 7  # of 8: the colours alone tell them apart
    before: Measured | None = None
    compared = []
    for new, one in zip(material.phases, results, strict=True):
        before = measured(one["right"], one["counts"], new, before)
        compared.append(before)
    story = StoryResult(1, service_of(tuple(compared)), material, tuple(compared), 1 << 30, {}, 60.0)
    assert shortcomings([story]) == []
    assert "baseline" in document([story])["stories"][0]["drops"][0]
    save_plot([story], tmp_path / "plot.png")
    worse = tuple(measured(dict.fromkeys(one.counts, 0), one.counts, one.new, None) for one in compared)
    story = StoryResult(1, service_of(worse), material, tuple(compared), 1 << 30, {}, 60.0)
    assert any("by HOG + colours, ridge" in problem for problem in shortcomings([story]))
