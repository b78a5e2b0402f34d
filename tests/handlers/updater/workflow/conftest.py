"""A store in which three digits were learnt once, copied for each test that changes it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.settings import Settings
from tests.handlers.conftest import DigitFiles
from tests.support.learning.bench import Bench, digit_settings, drop_digits


@pytest.fixture(scope="session")
def three_digits(tmp_path_factory: pytest.TempPathFactory, digit_files: DigitFiles) -> Path:
    """A data folder whose version 1 knows "one", "two" and "zero"."""
    data = tmp_path_factory.mktemp("learnt") / "data"
    for name, digit in (("zero", 0), ("one", 1), ("two", 2)):
        drop_digits(data / "store", name, digit_files[digit][:15])
    (data / "store" / "incoming" / "zero" / "again.png").write_bytes(digit_files[0][3])
    bench = Bench(digit_settings(data))
    assert bench.run("000001").result == "published"
    bench.close()
    return data


@pytest.fixture
def bench(three_digits: Path, tmp_path: Path) -> Iterator[Bench]:
    yield from on_a_copy(three_digits, digit_settings(tmp_path / "data"))


def on_a_copy(data: Path, settings: Settings) -> Iterator[Bench]:
    """A bench whose data folder begins as this one is."""
    shutil.copytree(data, settings.data, ignore=shutil.ignore_patterns("*.sock", "work"))
    bench = Bench(settings)
    yield bench
    bench.close()
