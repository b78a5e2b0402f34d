"""Kill the object store, a real MinIO, at random moments of an update, and compare with the undisturbed one.

    python -m tools.faults.store_kills --points 50 --output benchmarks/faults/store.json

Each point: a bucket with one learnt version and the drop of ``kills.py``; an updater; a server that is killed with
signal 9 while the updater works, stays away for a moment and is started again (a third of the points: twice). The
updater is never touched. What is in the bucket in the end must equal what an update without S3 and without kills left.
"""

import argparse
import io
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lucir_core.runtime.threads import wait_asleep

wait_asleep()

from handlers.settings import Settings  # noqa: E402  (torch is imported by what follows, after the line above)
from handlers.updater.leader.lease import KEY as LEASE  # noqa: E402
from model_store.directory.directory_store import DirectoryStore  # noqa: E402
from tools.faults.forked import run_updater, wait_changed  # noqa: E402
from tools.faults.kills import PATIENCE, UPDATE, Walk, settings_in  # noqa: E402
from tools.faults.outcome import counts, differences, outcome  # noqa: E402
from tools.result_output import give_result  # noqa: E402
from tools.servers.minio_server import minio_server  # noqa: E402
from tools.servers.server import ACCESS_KEY, REGION, SECRET_KEY, Server  # noqa: E402

BUCKET = "drops"
SECOND_KILLS = 0.33
LONGEST_AWAY = 0.5
"""Seconds between a kill and the next start, which takes a moment by itself."""


class StoreWalk:
    """The bucket to begin with, and one update of it after the other, all below ``folder``."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._random = random.Random(seed)
        self._walk = Walk(folder / "walk", seed)
        self._expected: dict[str, Any] = {}
        self._seconds = 0.0

    def prepare(self) -> None:
        """See what an undisturbed update makes of it, and how long it takes through MinIO."""
        self._walk.prepare()
        self._expected = outcome(DirectoryStore(self._walk.undisturbed / "store"))
        found = self._run("undisturbed", [])
        assert not found["differences"], found
        self._seconds = found["seconds"]

    def point(self, index: int) -> dict[str, Any]:
        """Kill the server once or twice, at moments that an undisturbed update takes."""
        kills = 2 if self._random.random() < SECOND_KILLS else 1
        return self._run(f"point-{index}", sorted(self._random.uniform(0, self._seconds) for _ in range(kills)))

    def _run(self, name: str, kills: list[float]) -> dict[str, Any]:
        folder = self._folder / name
        with ExitStack() as stack:
            server = stack.enter_context(minio_server(folder / "minio", end=signal.SIGKILL))
            self._fill(server)
            settings = self._settings(folder / "data", server)
            settings.data.mkdir()
            started = time.monotonic()
            process = run_updater(settings, UPDATE, None, folder / "notes")
            killed, ended = 0, False
            for moment in kills:
                ended = _wait(process, started + moment)
                if ended:
                    break
                stack.close()
                killed += 1
                time.sleep(self._random.uniform(0, LONGEST_AWAY))
                port = int(server.endpoint.rpartition(":")[2])
                stack.enter_context(minio_server(folder / "minio", port=port, end=signal.SIGKILL))
            log = settings.data / "updater.log"
            if not ended and not _wait(process, time.monotonic() + PATIENCE):
                os.kill(process, signal.SIGKILL)
                raise AssertionError(
                    f"not within {PATIENCE:.0f} s after kills at {kills}: {log.read_text(encoding='utf-8')}"
                )
            seconds = time.monotonic() - started
            found = outcome(server.open(BUCKET))
        lost, doubled = counts(found, self._expected)
        result = {
            "at": [round(moment, 3) for moment in kills[:killed]],
            "lost": lost,
            "doubled": doubled,
            "differences": differences(found, self._expected),
            "seconds": round(seconds, 2),
        }
        if not result["differences"]:
            shutil.rmtree(folder)
        return result

    def _fill(self, server: Server) -> None:
        admin = server.admin()
        admin.make_bucket(BUCKET)
        store = DirectoryStore(self._walk.base / "store")
        for info in store.list(""):
            if info.key == LEASE:  # of an updater that is gone: every point would wait until it has run out
                continue
            data = store.read(info.key)
            admin.put_object(BUCKET, info.key, io.BytesIO(data), len(data))

    @staticmethod
    def _settings(data: Path, server: Server) -> Settings:
        s3 = {"endpoint": server.endpoint, "region": REGION, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
        plain = settings_in(data, "drop").model_dump()
        return Settings.model_validate(plain | {"store": f"s3://{BUCKET}", "s3": plain["s3"] | s3})


def _wait(process: int, until: float) -> bool:
    """Whether the updater ends, as it should, before that time."""
    status = wait_changed(process, until)
    assert status is None or os.waitstatus_to_exitcode(status) == 0, status
    return status is not None


def main(arguments: list[str]) -> int:
    """Walk; return 0 when no run differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="where the result is written as JSON")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lucir-kills-", ignore_cleanup_errors=True) as folder:
        walk = StoreWalk(Path(folder), options.seed)
        walk.prepare()
        results = [walk.point(index) for index in range(options.points)]
    result = {
        "command": f"python -m tools.faults.store_kills --points {options.points} --seed {options.seed}",
        "points": len(results),
        "kills": sum(len(one["at"]) for one in results),
        "images_lost": sum(one["lost"] for one in results),
        "images_doubled": sum(one["doubled"] for one in results),
        "runs_that_differ": [one for one in results if one["differences"]],
        "longest_update_seconds": max(one["seconds"] for one in results),
        "seconds": round(time.monotonic() - started, 1),
    }
    give_result(result, options.output)
    return 1 if result["runs_that_differ"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
