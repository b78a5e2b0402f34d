"""Stop an updater before a call of the store, let another finish its work, wake the first: nothing may change then.

    python -m tools.faults.pauses --kind drop --store directory

Each point: a copy of the store and of the update of ``kills.py``; an updater that stops itself (SIGSTOP, as a paused
machine would) before the chosen call; a second updater that waits until the first has been silent, takes over and ends
the update. Then the first goes on (SIGCONT): it carries out the call, and whatever else it does before it finds out
that it stands by. What is in the store must be, byte by byte, what the second left, but for the term of an updater that
takes over rightly; and that what an undisturbed update leaves. Without ``--points`` every call is a point; with
``--writes`` only those that change something. Each point is told of as it ends, so that a walk that was stopped is
gone on with by ``--first``.
"""

import argparse
import hashlib
import io
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from lucir_core.runtime.threads import wait_asleep

wait_asleep()

from handlers.settings import Settings  # noqa: E402  (torch is imported by what follows, after the line above)
from handlers.store import open_settings_store  # noqa: E402
from handlers.updater.leader.lease import KEY as LEASE  # noqa: E402
from model_store.directory.directory_store import DirectoryStore  # noqa: E402
from model_store.objects import ObjectStore  # noqa: E402
from model_store.pointer_file import POINTER  # noqa: E402
from tools.faults.forked import run_updater, wait_changed  # noqa: E402
from tools.faults.kills import KINDS, PATIENCE, UPDATE, Walk, settings_in  # noqa: E402
from tools.faults.outcome import differences, expected_of, outcome  # noqa: E402
from tools.result_output import give_result  # noqa: E402
from tools.servers.minio_server import minio_server  # noqa: E402
from tools.servers.server import ACCESS_KEY, REGION, SECRET_KEY, Server  # noqa: E402

STORES = ("directory", "minio")
WRITES = frozenset({"write", "replace", "upload", "move", "delete"})


class PauseWalk:
    """A store for each point, all below ``folder``; on a server where one is given, else in folders."""

    def __init__(self, folder: Path, kind: str, server: Server | None) -> None:
        self._folder = folder
        self._kind = kind
        self._server = server
        self._walk = Walk(folder / "walk", 1, kind)
        self._expected: dict[str, Any] = {}
        self.calls: list[str] = []

    def prepare(self) -> None:
        """See how many calls an undisturbed update makes, and what it leaves."""
        self._walk.prepare()
        settings = self._settings("undisturbed")
        process = run_updater(settings, UPDATE, None, settings.data / "notes", pause=10**9)
        _ended(process, settings)
        notes = (settings.data / "notes").read_text(encoding="utf-8").splitlines()
        self.calls = max((json.loads(note).get("store_calls", []) for note in notes), key=len)
        self._expected = outcome(open_settings_store(settings))

    def point(self, number: int) -> dict[str, Any]:
        """Pause before call ``number``, counted from 1; an update that ends before it differs in nothing."""
        sleeper = self._settings(f"point-{number}")
        started = time.monotonic()
        first = run_updater(sleeper, UPDATE, None, sleeper.data / "notes", pause=number)
        if not _stopped(first, sleeper):
            return {"call": number, "at": "never", "differences": []}
        try:
            standby = sleeper.model_copy(update={"data": sleeper.data.with_name(f"standby-{number}")})
            standby.data.mkdir()
            _ended(run_updater(standby, UPDATE, None, standby.data / "notes"), standby)
            store = open_settings_store(sleeper)
            left = contents(store)
        finally:
            os.kill(first, signal.SIGCONT)
        _ended(first, sleeper)
        notes = [json.loads(line) for line in (sleeper.data / "notes").read_text(encoding="utf-8").splitlines()]
        found = outcome(store)
        return {
            "call": number,
            "at": next(note["at"] for note in notes if "at" in note),
            "differences": differences(contents(store), left) + differences(found, expected_of(found, self._expected)),
            "seconds": round(time.monotonic() - started, 2),
        }

    def _settings(self, name: str) -> Settings:
        """Of an updater with a copy of the store to itself; its lease is short, and nobody holds it."""
        data = self._folder / name
        data.mkdir()
        plain = settings_in(data, self._kind).model_dump()
        plain["updater"]["lease_seconds"] = 1
        base = DirectoryStore(self._walk.base / "store")
        objects = [(info.key, base.read(info.key)) for info in base.list("") if info.key != LEASE]
        if self._server is None:
            for key, content in objects:
                path = data / "store" / key
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            return Settings.model_validate(plain | {"store": (data / "store").as_uri()})
        admin, bucket = self._server.admin(), self._server.bucket()
        for key, content in objects:
            admin.put_object(bucket, key, io.BytesIO(content), len(content))
        s3 = {"endpoint": self._server.endpoint, "region": REGION, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
        return Settings.model_validate(plain | {"store": f"s3://{bucket}", "s3": plain["s3"] | s3})


def contents(store: ObjectStore) -> dict[str, str]:
    """The hash of everything but the lease, which goes on being renewed, and the epoch in the pointer.

    An updater that slept and finds nobody active takes over rightly, and writes the pointer anew with its own epoch;
    an epoch above the lease's term stays in the hash.
    """
    found = {info.key: store.read(info.key) for info in store.list("")}
    lease = json.loads(found.pop(LEASE, b"{}"))
    if POINTER in found:
        pointer = json.loads(found[POINTER])
        if (pointer.get("epoch") or 0) <= (lease.get("term") or 0):
            pointer.pop("epoch", None)
        found[POINTER] = json.dumps(pointer).encode()
    return {key: hashlib.sha256(content).hexdigest() for key, content in found.items()}


def _stopped(process: int, settings: Settings) -> bool:
    """Wait until it stops itself; False when it ends before."""
    status = wait_changed(process, time.monotonic() + PATIENCE, os.WUNTRACED)
    if status is None:
        os.kill(process, signal.SIGKILL)
        raise AssertionError(f"neither stopped nor ended: {_log(settings)}")
    if os.WIFSTOPPED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0, _log(settings)
    return False


def _ended(process: int, settings: Settings) -> None:
    status = wait_changed(process, time.monotonic() + PATIENCE)
    if status is None:
        os.kill(process, signal.SIGKILL)
        raise AssertionError(f"not within {PATIENCE:.0f} s: {_log(settings)}")
    assert os.waitstatus_to_exitcode(status) == 0, _log(settings)


def _log(settings: Settings) -> str:
    return (settings.data / "updater.log").read_text(encoding="utf-8")


@contextmanager
def _server(store: str, folder: Path) -> Iterator[Server | None]:
    with ExitStack() as stack:
        running = minio_server(folder / "minio") if store == "minio" else nullcontext()
        yield stack.enter_context(running)


def main(arguments: list[str]) -> int:
    """Walk; return 0 when no point differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=KINDS, default="drop", help="what kind of update is paused")
    parser.add_argument("--store", choices=STORES, default="directory")
    parser.add_argument("--writes", action="store_true", help="only calls that change something")
    parser.add_argument("--first", type=int, default=1, help="the first call, to go on with a walk that was stopped")
    parser.add_argument("--points", type=int, help="so many calls, drawn at random; without it every call")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="where the result is written as JSON")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lucir-pauses-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with _server(options.store, folder) as server:
            walk = PauseWalk(folder, options.kind, server)
            walk.prepare()
            numbers = [
                number
                for number, call in enumerate(walk.calls, 1)
                if number >= options.first and (not options.writes or call.split()[0].removeprefix("store.") in WRITES)
            ]
            if options.points is not None:
                numbers = sorted(random.Random(options.seed).sample(numbers, min(options.points, len(numbers))))
            results = []
            for number in numbers:
                results.append(walk.point(number))
                sys.stderr.write(f"{json.dumps(results[-1])}\n")
    result = {
        "kind": options.kind,
        "store": options.store,
        "calls_of_an_undisturbed_update": len(walk.calls),
        "first": options.first,
        "points": len(results),
        "points_that_differ": [one for one in results if one["differences"]],
        "seconds": round(time.monotonic() - started, 1),
    }
    give_result(result, options.output)
    return 1 if result["points_that_differ"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
