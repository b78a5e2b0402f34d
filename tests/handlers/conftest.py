"""Real images (scikit-learn's digits as PNG files) and a real directory store."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_digits

from handlers.demo.digits import png
from handlers.settings import Settings
from handlers.stack.ports import free_ports
from model_store.directory.directory_store import DirectoryStore
from model_store.versions import VersionStore
from tests.support.processes.updater_process import start
from tests.support.quick_settings import changed, quick_settings
from tests.support.stores.bucket import BUCKET
from tools.servers.minio_server import MINIO_MISSING, find_minio, minio_server
from tools.servers.server import ACCESS_KEY, REGION, SECRET_KEY, Server

Drop = Callable[..., Path]
DigitFiles = dict[int, list[bytes]]
Launch = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(scope="session")
def digit_files() -> DigitFiles:
    """Different PNG files by digit."""
    digits = load_digits()
    files: dict[int, dict[bytes, None]] = {digit: {} for digit in range(10)}
    for image, target in zip(digits.images, digits.target, strict=True):
        files[int(target)][png(image, 16)] = None
    return {digit: list(found) for digit, found in files.items()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data" / "store"


@pytest.fixture
def store(root: Path) -> DirectoryStore:
    return DirectoryStore(root)


@pytest.fixture(scope="module")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if find_minio() is None:
        pytest.skip(MINIO_MISSING)
    with minio_server(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture
def versions(store: DirectoryStore) -> VersionStore:
    return VersionStore(store)


@pytest.fixture
def drop(root: Path, digit_files: DigitFiles) -> Drop:
    """Write images of a digit into the folder of a class, as a file manager would."""

    def write(name: str, digit: int, count: int = 12, first: int = 0, *, marked: bool = False) -> Path:
        folder = root / "incoming" / name
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(first, first + count):
            (folder / f"{digit}-{index:03d}.png").write_bytes(digit_files[digit][index])
        if marked:
            (folder / "_READY").touch()
        return folder

    return write


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return quick_settings(tmp_path / "data", epochs=1, milestones=[], exemplars_per_class=3)


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Start updaters as ``updater_process.start`` does; what still runs at the end of the test is killed."""
    processes: list[subprocess.Popen[bytes]] = []

    def run(*arguments: Any, **options: Any) -> "subprocess.Popen[bytes]":
        processes.append(start(*arguments, **options))
        return processes[-1]

    yield run
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture
def bucket_settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The bucket of a server that the test starts at this endpoint; the key reaches a process by its environment."""
    (port,) = free_ports(1)
    values = {"endpoint": f"http://127.0.0.1:{port}", "region": REGION}
    for name, value in (values | {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}).items():
        monkeypatch.setenv(f"LUCIR_S3__{name.upper()}", value)
    made = changed(settings, updater={"lease_seconds": 3})
    return made.model_copy(update={"store": f"s3://{BUCKET}"})
