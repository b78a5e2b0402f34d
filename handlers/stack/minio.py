"""A MinIO server of the stack's own: found, given a key, started on this machine only, its bucket made."""

import http.client
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from handlers.settings import Settings
from handlers.stack.errors import StackError
from handlers.stack.health import SILENT, Health, get
from handlers.stack.supervision.supervised import Service
from model_store.objects import StoreError

HOST = "127.0.0.1"
BUCKET = "lucir"
BINARY_VARIABLE = "MINIO_BINARY"
_KEYS = ("access-key", "secret-key")


def minio_values(settings: Settings) -> dict[str, Any]:
    """What the other settings become when the stack runs its own server, by dotted key; nothing when it does not.

    Raises ``StackError`` when a folder is named as the store.
    """
    if not settings.minio.enabled:
        return {}
    if settings.store.startswith("file:"):
        raise StackError(f"--minio keeps the store itself, so that --store is s3://bucket, not {settings.store}")
    access_key, secret_key = key_files(settings)
    return {
        "store": settings.store or f"s3://{BUCKET}",
        "s3.endpoint": f"http://{HOST}:{settings.minio.port}",
        "s3.access_key_file": str(access_key),
        "s3.secret_key_file": str(secret_key),
    }


def key_files(settings: Settings) -> tuple[Path, Path]:
    """Where the server's access key and secret key are kept."""
    access_key, secret_key = (settings.data.absolute() / "minio" / name for name in _KEYS)
    return access_key, secret_key


def find_minio() -> Path:
    """The server's program: named by ``MINIO_BINARY``, on the path, or where ``tools/servers`` leaves it.

    Raises ``StackError`` saying how to get it.
    """
    named = os.environ.get(BINARY_VARIABLE)
    if named is not None:
        found = shutil.which(named)
        if found is None:
            raise StackError(f"{BINARY_VARIABLE} names {named}, which is not a program: correct it")
        return Path(found)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lucir"
    built = max(cache.glob("minio-*/minio"), key=lambda path: path.parent.name, default=None)
    found = shutil.which("minio") or (str(built) if built is not None else None)
    if found is None:
        raise StackError(
            "there is no MinIO server on this machine: get its program (min.io, your package manager, or `go install "
            f"github.com/minio/minio@latest`), put `minio` on the path or name it in {BINARY_VARIABLE}; "
            "or leave --minio out: the store is a folder then"
        )
    return Path(found)


def minio_service(settings: Settings) -> Service:
    """The server, on the folder ``minio`` of the data folder. Raises ``StackError``."""
    program = find_minio()
    access_key, secret_key = key_files(settings)
    folder = access_key.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in (access_key, secret_key):
        _make_key(file)
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "MINIO_ROOT_USER_FILE": str(access_key),
        "MINIO_ROOT_PASSWORD_FILE": str(secret_key),
        "MINIO_REGION": settings.s3.region,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",  # else the server asks a host of its maker for newer versions
    }
    # Imported here: a stack without MinIO does not wait for its SDK, a fifth of a second of every start.
    from handlers.stack.bucket import ensure_bucket

    return Service(
        "minio",
        (str(program), "server", "--quiet", "--address", f"{HOST}:{settings.minio.port}", str(folder / "data")),
        MinioProbe(f"http://{HOST}:{settings.minio.port}", lambda: ensure_bucket(settings)),
        environment,
    )


class MinioProbe:
    """Alive while it answers; ready when it can be written to and its bucket has been made."""

    def __init__(self, url: str, make_bucket: Callable[[], object]) -> None:
        self._url = url
        self._make_bucket = make_bucket
        self._made = False

    def __call__(self) -> Health:
        """Ask once."""
        try:
            ready = get(self._url, "/minio/health/cluster")[0] == http.client.OK
            if ready and not self._made:
                self._make_bucket()
                self._made = True
        except SILENT as error:
            return Health.silent(error)
        except StoreError as error:
            return Health(alive=True, ready=False, reason=str(error))
        return Health(alive=True, ready=ready, reason="" if ready else "is starting")


def _make_key(file: Path) -> None:
    """Make the file with a random key, readable by this user only, unless it is there: complete or not at all."""
    if file.exists():
        return
    temporary = file.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as new:
        new.write(secrets.token_hex(20))
    temporary.replace(file)
