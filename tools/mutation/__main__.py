"""Take one hold, precondition, sync or refusal out at a time, or exchange two writes, and see whether the tests notice.

    python -m tools.mutation --output mutation.json

Works in a copy of the repository. A mutant is noticed when the tests of its room fail, or take far longer than ever.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tools.mutation.mutants import Mutant, mutants
from tools.result_output import give_result

ROOT = Path(__file__).parents[2]
STORE_TESTS = ("tests/model_store/test_publication.py", "tests/model_store/test_removal.py")
FOLDER_TESTS = tuple(f"tests/model_store/test_{name}.py" for name in ("durability", "directory", "contract"))
S3_TESTS = tuple(f"tests/model_store/test_{name}.py" for name in ("s3_conditions", "s3_faults", "contract"))
UPDATER_TESTS = ("tests/handlers/updater/leader", "tests/handlers/bucket")
INTAKE_TESTS = ("tests/handlers/updater/intake",)
WORKFLOW_TESTS = ("tests/handlers/updater/workflow",)
HISTORIES = "tests/tools/test_simulation.py::test_no_history_violates_anything"
IN_PLACE_TESTS = ("tests/handlers/torchserve/in_place/test_exchange.py",)
FOLLOWER_TESTS = ("tests/handlers/torchserve/test_reconcile.py", *IN_PLACE_TESTS, HISTORIES)
TESTS: dict[str, tuple[str, ...]] = {
    "model_store/publication.py": STORE_TESTS,
    "model_store/pointer_file.py": STORE_TESTS,
    "model_store/removal.py": STORE_TESTS,
    "model_store/versions.py": (*STORE_TESTS, "tests/model_store/test_versions.py"),
    "model_store/mirror.py": ("tests/model_store/test_mirror.py",),
    "model_store/local_files.py": FOLDER_TESTS,
    "model_store/directory/directory_store.py": FOLDER_TESTS,
    "model_store/directory/exact_move.py": FOLDER_TESTS,
    "model_store/s3/conditional.py": S3_TESTS,
    "model_store/s3/s3_store.py": S3_TESTS,
    "handlers/bucket/updates.py": UPDATER_TESTS,
    "handlers/bucket/edit_requests.py": ("tests/handlers/bucket/test_edit_requests.py",),
    "handlers/inference/workers/held_versions.py": FOLLOWER_TESTS,
    "handlers/inference/workers/slot.py": FOLLOWER_TESTS,
    "handlers/inference/workers/worker_socket.py": IN_PLACE_TESTS,
    "handlers/retention/policy.py": ("tests/handlers/retention",),
    "handlers/torchserve/in_place/exchange.py": FOLLOWER_TESTS,
    "handlers/torchserve/in_place/fallback.py": FOLLOWER_TESTS,
    "handlers/torchserve/in_place/worker_line.py": IN_PLACE_TESTS,
    "handlers/torchserve/reconcile.py": FOLLOWER_TESTS,
    "handlers/torchserve/retire.py": ("tests/handlers/torchserve/test_retire.py",),
    "handlers/updater/context/decoded_images.py": ("tests/handlers/updater/training/test_arrays.py", *INTAKE_TESTS),
    "handlers/updater/context/update.py": ("tests/handlers/updater/context", *UPDATER_TESTS, *WORKFLOW_TESTS),
    "handlers/updater/leader/data_folder.py": (*UPDATER_TESTS, "tests/handlers/updater/test_main.py"),
    "handlers/updater/leader/fenced_store.py": UPDATER_TESTS,
    "handlers/updater/leader/lease.py": UPDATER_TESTS,
    "handlers/updater/leader/leadership.py": UPDATER_TESTS,
    "handlers/updater/intake/listing.py": INTAKE_TESTS,
    "handlers/updater/intake/originals.py": UPDATER_TESTS,
    "handlers/updater/intake/second_look.py": INTAKE_TESTS,
    "handlers/updater/workflow/ownership.py": ("tests/handlers/updater/workflow/test_ownership.py",),
    "handlers/updater/workflow/runner.py": ("tests/handlers/updater/workflow/test_ownership.py",),
    "handlers/updater/release/publish.py": WORKFLOW_TESTS,
    "handlers/updater/service.py": (*WORKFLOW_TESTS, *UPDATER_TESTS),
}
"""The tests that are to notice, by file. Servers are left out, but for the S3 client, which needs
one: what a mutant breaks elsewhere, a folder shows as well. Slow ones too, but for a few histories of followers."""
UNREAD = "without both files the originals are read again: a power cut costs time, and nothing else"
EXPLAINED: dict[tuple[str, str], str] = {
    ("model_store/publication.py", "if claim.attempt != self._attempt or claim.folder  too early"): (
        "what lies aside is needed no more once the sealed files are in place, before the manifest as after it; a kill "
        "in between leaves the seal, and whoever finds that completes the version"
    ),
    ("model_store/mirror.py", "if aside.is_dir() and (not aside.is_symlink()): too early"): (
        "what stood there has been renamed away in either order; only the moment without a copy is longer"
    ),
    ("handlers/retention/policy.py", "without self._hold(number, _NEEDED)"): (
        "what the unfinished update has made is named by its plan, which is held already"
    ),
    ("handlers/updater/context/decoded_images.py", "without os.fsync(file.fileno())"): UNREAD,
    ("handlers/updater/context/decoded_images.py", "without sync_folder(self._folder)"): UNREAD,
    ("handlers/updater/context/decoded_images.py", "sync_folder(self._folder) too early"): UNREAD,
    ("handlers/updater/leader/data_folder.py", "without os.fsync(self._descriptor)"): (
        "a name that a power cut took is chosen anew, as on the first start"
    ),
    ("handlers/updater/context/decoded_images.py", "(folder / DECODED).unlink(missing_ok=True) too early"): UNREAD,
    ("handlers/updater/intake/second_look.py", "write() replaces what is there"): (
        "the marker says by its name that a drop is complete, whoever wrote it and whatever is in it"
    ),
    ("handlers/torchserve/in_place/exchange.py", "without self._lines.clear()"): (
        "lines that were closed are closed once more before others are made: none of them is used"
    ),
    ("handlers/inference/workers/held_versions.py", "without a refusal"): (
        "what is not held is answered with the same error, by the next line"
    ),
    ("handlers/bucket/edit_requests.py", "without self._woken.clear()"): (
        "requests are looked for at every turn then: more calls, and nothing else"
    ),
    ("handlers/bucket/edit_requests.py", "write() replaces what is there"): (
        "the name of a request has 32 random bits and a millisecond: nothing else is ever there"
    ),
}
"""Mutants that no test can notice, since nothing that matters changes, by file and change: why."""
SERVERS = "not minio and not rclone and not swift and not ceph"
LONGEST = 300.0


def notices(copy: Path, name: str, mutant: Mutant | None) -> bool:
    """Whether the tests of a file fail with a mutant in its place (None: the file as it is)."""
    original = (copy / name).read_text(encoding="utf-8")
    try:
        if mutant is not None:
            (copy / name).write_text(mutant.source, encoding="utf-8")
        servers = SERVERS if name.startswith("model_store/s3/") else f"{SERVERS} and not moto"
        kinds = [] if HISTORIES in TESTS[name] else ["-m", "not slow"]
        words = [*kinds, "-k", servers, "-q", "-x", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *words, *TESTS[name]],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    finally:
        (copy / name).write_text(original, encoding="utf-8")
    return done.returncode != 0


def main(arguments: list[str]) -> int:
    """Run; return 0 when at least 95 % were noticed, and nothing survives unexplained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", nargs="*", default=sorted(TESTS), help="of those that this tool knows")
    parser.add_argument("--sample", type=int, help="so many mutants, drawn at random; without it all")
    parser.add_argument("--output", type=Path, help="where the result is written as JSON")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    chosen = [(name, one) for name in options.files for one in mutants((ROOT / name).read_text(encoding="utf-8"))]
    if options.sample is not None:
        chosen = random.Random(1).sample(chosen, min(options.sample, len(chosen)))
    noticed_count, survivors, explained = 0, list[str](), dict[str, str]()
    with tempfile.TemporaryDirectory(prefix="lucir-mutation-") as folder:
        copy = Path(folder) / "lucir"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache"))
        for name in sorted({name for name, _ in chosen}):
            if notices(copy, name, None):
                raise SystemExit(f"the tests of {name} fail without any change: mend that first")
        for name, mutant in chosen:
            noticed = notices(copy, name, mutant)
            sys.stderr.write(f"{'noticed ' if noticed else 'SURVIVES'} {name}:{mutant.line} {mutant.what}\n")
            place, why = f"{name}:{mutant.line} {mutant.what}", EXPLAINED.get((name, mutant.what))
            if noticed:
                noticed_count += 1
            elif why is not None:
                explained[place] = why
            else:
                survivors.append(place)
    score = noticed_count / max(1, len(chosen))
    result = {
        "mutants": len(chosen),
        "noticed": noticed_count,
        "score": round(score, 3),
        "score_without_explained": round(noticed_count / max(1, len(chosen) - len(explained)), 3),
        "explained": explained,
        "survivors": survivors,
        "seconds": round(time.monotonic() - started, 1),
    }
    give_result(result, options.output)
    return 0 if score >= 0.95 and not survivors else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
