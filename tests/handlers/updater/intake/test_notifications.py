"""Hints of real stores wake the watcher; stores that give none, or give nonsense, are left alone; listing goes on."""

import io
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import urllib3

from handlers.backoff import backoff
from handlers.settings import Settings, UpdaterSettings
from handlers.updater.__main__ import make_updater
from handlers.updater.intake import notifications as hints
from handlers.updater.intake import watch
from handlers.updater.intake.notifications import TRIES, Hints
from handlers.updater.intake.watch import Watcher
from handlers.updater.metrics import Metrics
from handlers.updater.status import Status
from model_store.directory.directory_store import DirectoryStore
from model_store.objects import ObjectStore, StoreError, StoreUnavailableError
from tests.support.waiting import PATIENCE, wait_for
from tools.servers.minio_server import MINIO_MISSING, find_minio, minio_server
from tools.servers.rclone_server import RCLONE_MISSING, find_rclone, rclone_server
from tools.servers.server import ACCESS_KEY, SECRET_KEY, Server

NEVER = 600.0
"""Seconds between listings: what is seen sooner was seen by a hint."""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "FIRST_PAUSE", 0.01)


class Scripted:
    """A store whose listening ends as it is told, one entry for each attempt, the last one for ever."""

    def __init__(self, *ends: StoreError | Exception | str) -> None:
        self.ends = list(ends)
        self.attempts = 0

    def listen(self, prefix: str, stop: threading.Event) -> Iterator[None]:
        assert prefix == "incoming/"
        self.attempts += 1
        end = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        if isinstance(end, Exception):
            raise end
        if end == "hint":
            yield
        elif end == "hang":
            stop.wait()


def run(store: Scripted) -> tuple[Hints, threading.Event]:
    woken = threading.Event()
    running = Hints(store, woken.set)
    running.start()
    return running, woken


def make_watcher(
    store: ObjectStore, metrics: Metrics | None = None, status: Status | None = None, **settings: object
) -> Watcher:
    """A watcher to which any marked folder is ready."""
    values = {"poll_seconds": NEVER, "settle_seconds": 0, "min_images": 2}
    chosen = UpdaterSettings.model_validate(values | settings)
    watcher = Watcher(store, chosen, metrics or Metrics(), status or Status(store.url))
    watcher.set_known(frozenset({"cat", "dog"}))
    return watcher


def sees(watcher: Watcher, put: Callable[[str], object]) -> bool:
    """Whether a running watcher sees what ``put`` drops, within ``PATIENCE``. A first hint may come before it listens,
    so that it is dropped again and again under new names.
    """
    watcher.start()
    deadline = time.monotonic() + PATIENCE
    try:
        for number in range(1000):
            if watcher.ready.wait(0.5):
                return True
            if time.monotonic() > deadline:
                break
            put(f"incoming/bird/{number}.png")
            put("incoming/bird/_READY")
        return False
    finally:
        watcher.stop()


def bucket_put(server: Server, bucket: str) -> Callable[[str], object]:
    return lambda key: server.admin().put_object(bucket, key, io.BytesIO(b"1"), 1)


class TestPolicy:
    @pytest.mark.usefixtures("quick")
    @pytest.mark.parametrize("end", ["ended", StoreError("not for this key"), RuntimeError("a bug")])
    def test_a_store_that_gives_none_is_left_alone(
        self, end: Exception | str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        store = Scripted(end)
        running, woken = run(store)
        wait_for(lambda: not running.listening)
        assert store.attempts == TRIES
        assert not woken.is_set()
        assert "listed at intervals only" in caplog.text

    @pytest.mark.usefixtures("quick")
    def test_one_that_is_away_is_asked_again_and_again(self, caplog: pytest.LogCaptureFixture) -> None:
        away = StoreUnavailableError("away")
        running, woken = run(Scripted(away, away, away, away, away, "hint", "hang"))
        assert woken.wait(PATIENCE)
        running.stop()
        assert not running.listening
        assert caplog.text.count("are interrupted") == 1

    @pytest.mark.usefixtures("quick")
    def test_a_hint_forgives(self) -> None:
        store = Scripted("ended", "ended", "hint", "ended", "ended", "hint", "hang")
        running, _ = run(store)
        wait_for(lambda: store.attempts == 7 or not running.listening)
        assert store.attempts == 7
        running.stop()

    def test_pauses_grow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pauses: list[float] = []
        store = Scripted(StoreUnavailableError("away"))
        running = Hints(store, lambda: None)

        def at_once(failures: int, first: float, longest: float) -> float:
            pauses.append(backoff(failures, first, longest))
            return 0.0

        monkeypatch.setattr(hints, "backoff", at_once)
        running.start()
        wait_for(lambda: len(pauses) >= 10)
        running.stop()
        assert pauses[:10] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]


class TestRealStores:
    def test_minio_tells_of_a_drop(self, minio: Server) -> None:
        bucket = minio.bucket()
        metrics = Metrics()
        assert sees(make_watcher(minio.open(bucket), metrics), bucket_put(minio, bucket))
        assert metrics.registry.get_sample_value("lucir_store_hints_total")

    def test_a_folder_tells_of_a_drop(self, tmp_path: Path) -> None:
        def put(key: str) -> None:
            (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / key).write_bytes(b"1")

        assert sees(make_watcher(DirectoryStore(tmp_path)), put)

    def test_without_hints_a_drop_is_seen_at_the_next_listing(self, minio: Server) -> None:
        bucket = minio.bucket()
        metrics = Metrics()
        watcher = make_watcher(minio.open(bucket), metrics, hints=False, poll_seconds=0.2)
        assert sees(watcher, bucket_put(minio, bucket))
        assert metrics.registry.get_sample_value("lucir_store_hints_total") == 0

    def test_a_server_without_notifications_is_asked_a_few_times(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        if find_rclone() is None:
            pytest.skip(RCLONE_MISSING)
        caplog.set_level(logging.INFO)
        with rclone_server(tmp_path) as server:
            store = server.open(server.bucket())
            listening = Hints(store, lambda: None)  # type: ignore[arg-type]  # an S3Store, which has more
            listening.start()
            wait_for(lambda: not listening.listening)
        assert "listed at intervals only" in caplog.text

    @pytest.mark.slow
    @pytest.mark.parametrize("away", ["after the first listing", "at the first listing"])
    def test_a_server_that_was_away_is_listened_to_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: str
    ) -> None:
        if find_minio() is None:
            pytest.skip(MINIO_MISSING)
        monkeypatch.setattr(watch, "LONGEST_PAUSE", NEVER)
        with minio_server(tmp_path) as server:
            port = int(server.endpoint.rpartition(":")[2])
            bucket = server.bucket()
            store = server.open(bucket, connect_timeout=1.0)
            status = Status(store.url)
            watcher = make_watcher(store, status=status)
            put = bucket_put(server, bucket)
            put("incoming/bird/first.png")
            if away == "after the first listing":
                watcher.start()
                wait_for(lambda: status.snapshot()["waiting_total"] == 1)
        try:  # gone; the next listing is as far away as ever
            if away == "at the first listing":
                watcher.start()
                wait_for(lambda: not status.snapshot()["store"]["ok"])
            with minio_server(tmp_path, port=port):
                deadline = time.monotonic() + PATIENCE
                while not watcher.ready.wait(0.5) and time.monotonic() < deadline:
                    put(f"incoming/bird/{time.monotonic()}.png")
                    put("incoming/bird/_READY")
                assert watcher.ready.is_set()
        finally:
            watcher.stop()


@pytest.mark.slow
def test_an_idle_updater_lists_what_is_new_and_nothing_else(
    minio: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, poll = minio.bucket(), 0.1
    for number in range(7):
        minio.admin().put_object(bucket, f"archive/{number}/cat/{number}.png", io.BytesIO(b"1"), 1)
    listings: list[tuple[float, str]] = []
    send = urllib3.PoolManager.urlopen

    def counted(pool: urllib3.PoolManager, method: str, url: str, *rest: object, **options: object) -> object:
        if "list-type=2" in url:
            listings.append((time.monotonic(), url))
        return send(pool, method, url, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(urllib3.PoolManager, "urlopen", counted)
    values = settings.model_dump() | {"store": f"s3://{bucket}"}
    values["s3"] |= {"endpoint": minio.endpoint, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    values["updater"] |= {"poll_seconds": poll}
    updater = make_updater(Settings.model_validate(values))
    thread = threading.Thread(target=updater.run, daemon=True)
    thread.start()
    wait_for(lambda: updater._started)  # noqa: SLF001 (what it read of the store to get there is not counted)
    begun, before = time.monotonic(), len(listings)

    def since() -> list[str]:
        return [url for at, url in listings[before:] if at > begun]

    wait_for(lambda: sum("prefix=incoming%2F" in url for url in since()) >= 12)
    idle, elapsed = since(), time.monotonic() - begun
    updater.stopping.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    incoming = [url for url in idle if "prefix=incoming%2F" in url]
    assert len(incoming) <= elapsed / poll + 1
    # One more in all, which may fall into this time: what was asked of the updater before it started.
    assert [url for url in idle if url not in incoming and "prefix=requests%2F" not in url] == []
    assert len(idle) - len(incoming) <= 1
