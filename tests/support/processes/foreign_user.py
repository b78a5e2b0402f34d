"""A process as in a container, without one: a user that the machine does not know, no rights, a read-only root."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

UID = 10001
PLACE = "/mnt"
"""Where the writable folders are seen: ``PLACE/data``, ``PLACE/store`` and, empty, ``PLACE/tmp``."""

# Only this process sees the mounts. Python may lie where only root looks (a version of pyenv in /root): it is shown
# again below an empty folder in the place of the closed one.
ENTER = f"""
data=$1 store=$2 base=$3 closed=$4; shift 4
mount -t tmpfs -o mode=755 tmpfs {PLACE}
mkdir {PLACE}/data {PLACE}/store {PLACE}/tmp {PLACE}/base
chmod 1777 {PLACE}/tmp
mount --bind "$data" {PLACE}/data
mount --bind "$store" {PLACE}/store
if [ -n "$closed" ]; then
  mount --bind "$base" {PLACE}/base
  mount -t tmpfs -o mode=755 tmpfs "$closed"
  mkdir -p "$base"
  mount --bind {PLACE}/base "$base"
  mount -o remount,bind,ro "$base"
fi
mount -o remount,bind,ro /
exec setpriv --reuid {UID} --regid {UID} --clear-groups --no-new-privs --bounding-set=-all "$@"
"""
ALONE = ("unshare", "--mount", "--propagation", "private")
FOREIGN_MISSING = "mounts of its own need root, unshare and setpriv"


def can_be_foreign() -> bool:
    """Whether this machine and this user can do it."""
    return os.getuid() == 0 and all(map(shutil.which, ("unshare", "setpriv")))


def start_foreign(
    module: str, data: Path, store: Path, settings: Mapping[str, str], log: Path
) -> "subprocess.Popen[bytes]":
    """``python -m MODULE`` with these folders and settings; both folders become that user's."""
    for folder in (data, store):
        folder.mkdir(parents=True, exist_ok=True)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, UID, UID, follow_symlinks=False)
    base = Path(sys.base_prefix)
    closed = [path for path in base.parents if not path.stat().st_mode & 0o001]
    inside = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "HOME": f"{PLACE}/tmp",
        "TMPDIR": f"{PLACE}/tmp",
        "LUCIR_DATA": f"{PLACE}/data",
        "LUCIR_STORE": f"file://{PLACE}/store",
    }
    arguments = [str(data), str(store), str(base), str(closed[-1]) if closed else ""]
    with log.open("ab") as output:
        return subprocess.Popen(
            [*ALONE, "sh", "-euc", ENTER, "sh", *arguments, sys.executable, "-m", module],
            env={**inside, **settings},
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
        )
