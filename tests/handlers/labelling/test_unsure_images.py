"""The folder of images to label: what is kept, never more than is allowed, and nothing where nobody asked for it."""

import json
import os
import time
from pathlib import Path

import pytest

from handlers.inference.answering import Batch
from handlers.inference.preprocess import Limits
from handlers.inference.replies import RawRequest
from handlers.inference.version_model import VersionModel
from handlers.inference.workers.worker import WorkerOptions
from handlers.labelling.unsure_images import Guess, UnsureImages, UnsureRules
from handlers.settings import Settings
from tests.handlers.torchserve.conftest import MakeImage, MakeVersion, make_image, make_version
from tests.support.servers.asked_classifier import ask, started

__all__ = ["make_image", "make_version"]

SURE, UNSURE = Guess(1, "cat", 0.9, False), Guess(1, "cat", 0.3, None)


def kept(unsure: UnsureImages) -> list[bytes | None]:
    return [unsure.data(one.id) for one in unsure.newest(100)]


@pytest.mark.parametrize(
    ("guess", "headers", "expected"),
    [
        (UNSURE, {}, [b"image"]),
        (Guess(1, "cat", 0.99, True), {}, [b"image"]),
        (SURE, {}, []),
        (UNSURE, {"X-Do-Not-Keep": "1"}, []),
    ],
)
def test_what_is_kept(tmp_path: Path, guess: Guess, headers: dict[str, str], expected: list[bytes]) -> None:
    unsure = UnsureImages(UnsureRules(tmp_path / "unsure", images=5))
    unsure.offer(b"image", guess, headers)
    assert kept(unsure) == expected


def test_nothing_is_kept_by_default(tmp_path: Path) -> None:
    rules = UnsureRules.of(Settings(data=tmp_path).labelling, tmp_path)
    UnsureImages(rules).offer(b"image", UNSURE, {})
    assert not (tmp_path / "unsure").exists()


def test_never_more_than_is_allowed_and_the_oldest_go_first(tmp_path: Path) -> None:
    folder = tmp_path / "unsure"
    unsure = UnsureImages(UnsureRules(folder, images=3, megabytes=1, days=1))
    for number in range(5):
        unsure.offer(b"%d" % number, UNSURE, {})
        for path in folder.iterdir():  # each older than what comes next
            os.utime(path, (path.stat().st_mtime - 10,) * 2)
    unsure.offer(b"4", UNSURE, {})  # asked again
    assert {*kept(unsure)} == {b"2", b"3", b"4"}
    assert len(list(folder.iterdir())) == 6
    assert folder.stat().st_mode & 0o077 == 0
    unsure.offer(b"x" * 1024 * 1024, UNSURE, {})
    assert kept(unsure) == [b"x" * 1024 * 1024]
    for path in folder.iterdir():
        os.utime(path, (time.time() - 86500,) * 2)
    unsure.sweep()
    assert list(folder.iterdir()) == []


def test_what_was_kept_goes_when_it_is_switched_off(tmp_path: Path) -> None:
    UnsureImages(UnsureRules(tmp_path, images=3)).offer(b"image", UNSURE, {})
    off = UnsureImages(UnsureRules(tmp_path))
    off.sweep()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_costs_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "unsure").write_text("a file is in the way")
    UnsureImages(UnsureRules(tmp_path / "unsure", images=3)).offer(b"image", UNSURE, {})
    assert "is not kept" in caplog.text


def test_names_from_outside_reach_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "secret.image").write_bytes(b"x")
    unsure = UnsureImages(UnsureRules(tmp_path / "unsure", images=3))
    for name in ("../secret", "secret", "", "A" * 64):
        assert (unsure.data(name), unsure.remove(name)) == (None, False)


def test_a_damaged_answer_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    unsure = UnsureImages(UnsureRules(tmp_path, images=3))
    unsure.offer(b"image", UNSURE, {})
    (answer,) = tmp_path.glob("*.json")
    answer.write_text(json.dumps({"at": 1}))
    assert unsure.newest(3) == []
    assert "cannot be read" in caplog.text


def test_a_torchserve_worker_keeps_what_it_was_unsure_of(
    tmp_path: Path, make_version: MakeVersion, make_image: MakeImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = UnsureRules(tmp_path / "unsure", images=5, below=1.0)
    for name, value in WorkerOptions(unsure=rules).to_environment().items():
        monkeypatch.setenv(name, value)
    instance, image = started(make_version(tmp_path / "1", version=7)), make_image("rot")
    ((status, document),) = ask(instance, {"body": image})
    ask(instance, {"body": make_image("grün")}, headers={"X-Do-Not-Keep": "1"})
    (one,) = UnsureImages(rules).newest(5)
    best = document["predictions"][0]
    assert (status, one.guess) == (200, Guess(7, "rot", best["probability"], None))
    assert UnsureImages(rules).data(one.id) == image


def test_each_image_of_a_batch_has_its_own_answer(
    tmp_path: Path, make_version: MakeVersion, make_image: MakeImage
) -> None:
    unsure = UnsureImages(UnsureRules(tmp_path / "unsure", images=5, below=1.0))
    model = VersionModel.load(make_version(tmp_path / "1"))
    form = {"a": make_image("rot"), "b": b"no image", "c": make_image("青")}
    Batch([RawRequest(form, {}), RawRequest({"body": b"x"}, {})], Limits(), 3, unsure).answers(model)
    assert {(one.guess.class_name, unsure.data(one.id)) for one in unsure.newest(9)} == {
        ("rot", form["a"]),
        ("青", form["c"]),
    }
