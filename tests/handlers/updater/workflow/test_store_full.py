"""A store in which what is small fits still and a version does not: that is no fault of the drop."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.updater.workflow.runner import MOST_FAILURES
from model_store.directory.directory_store import DirectoryStore
from model_store.local_files import os_errors
from model_store.objects import ObjectInfo, StoreUnavailableError
from tests.handlers.conftest import DigitFiles
from tests.support.learning.bench import Bench, digit_settings, drop_digits

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_process")]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(digit_settings(tmp_path))
    yield made
    made.close()


def test_a_version_that_does_not_fit_is_waited_for(
    bench: Bench, digit_files: DigitFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, digit in (("zero", 0), ("one", 1)):
        drop_digits(bench.root, name, digit_files[digit][:8])
    upload, refused = DirectoryStore.upload, list[str]()

    def uploads(self: DirectoryStore, key: str, path: Path, *, only_if_absent: bool = False) -> ObjectInfo:
        if len(refused) < 2 * MOST_FAILURES:
            refused.append(key)
            with os_errors(f"write {key!r}"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return upload(self, key, path, only_if_absent=only_if_absent)

    monkeypatch.setattr(DirectoryStore, "upload", uploads)
    for _ in range(2 * MOST_FAILURES):
        with pytest.raises(StoreUnavailableError, match="free space on its filesystem"):
            bench.run("000001")
    assert bench.run("000001").result == "published"
    assert bench.updater.records.failed() == {}
    assert len(refused) == 2 * MOST_FAILURES
