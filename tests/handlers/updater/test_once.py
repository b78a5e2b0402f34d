"""An updater for a job: it learns what is there and ends, while the one beside it only stands by."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from handlers.settings import Settings
from handlers.updater.service import Updater
from lucir_core.config.phase_config import load_preset
from model_store.directory.directory_store import DirectoryStore
from model_store.versions import VersionStore
from tests.handlers.conftest import Drop
from tests.support.learning.bench import digit_settings
from tests.support.present import present
from tests.support.waiting import STOP_SECONDS, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_process")]


def updater(data: Path, root: Path, *, once: bool = False, **of_updater: object) -> Updater:
    plain = digit_settings(data).model_dump(exclude={"s3"})
    settings = Settings.model_validate(plain | {"updater": plain["updater"] | of_updater})
    config = load_preset(settings.learning.preset, settings.learning.overrides)
    return Updater(settings, config, DirectoryStore(root), once=once)


@contextmanager
def running(service: Updater) -> Iterator[Updater]:
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        yield service
    finally:
        service.stopping.set()
        thread.join(STOP_SECONDS)


def shown_active(service: Updater) -> float | None:
    return service.metrics.registry.get_sample_value("lucir_updater_active")


def test_it_learns_what_is_there_and_ends(tmp_path: Path, root: Path, drop: Drop) -> None:
    drop("zero", 0, marked=True)
    drop("one", 1)  # has to settle first
    drop("two", 2, 1)  # waits for more images: no reason to go on
    with running(updater(tmp_path / "page", root, learns=False)) as page:
        wait_for(lambda: page.status.snapshot()["lease"]["state"] == "standby")
        assert shown_active(page) is None  # an alert of its own: no updater is active
        job = updater(tmp_path / "job", root, once=True)
        job.run()
        assert not job.gave_up
        versions = VersionStore(DirectoryStore(root))
        assert versions.manifest(present(versions.current()).version).classes == ("one", "zero")
        assert [path.name for path in (root / "incoming").iterdir() if any(path.iterdir())] == ["two"]
        updater(tmp_path / "job", root, once=True).run()  # nothing is left, so nothing is done
        assert VersionStore(DirectoryStore(root)).numbers() == [1]
        assert page.status.snapshot()["lease"]["state"] == "standby"


def test_it_gives_up_on_what_fails_again_and_again(
    tmp_path: Path, root: Path, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop("zero", 0, marked=True)
    drop("one", 1, marked=True)
    (root / "versions").mkdir()
    (root / "versions" / "current.json").write_text('{"version": 7}')  # it is not there: nothing helps but a person
    monkeypatch.setattr("handlers.updater.service.FIRST_PAUSE", 0.01)
    job = updater(tmp_path / "job", root, once=True)
    job.run()
    assert job.gave_up
    assert "current.json" in str(job.status.snapshot()["errors"])
