"""The files of a mirrored version, each checked against the manifest before it is used."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from handlers.inference.sessions.onnx_session import UnusableVersionError

_CHUNK: Final = 1 << 20


class VerifiedFiles:
    """Those in ``folder``. ``records``: what the manifest says of each, by name; ``sha256`` is read."""

    def __init__(self, folder: Path, records: Mapping[str, Mapping[str, str]]) -> None:
        self._folder = folder
        self._digests = {name: record["sha256"] for name, record in records.items()}
        self._verified: set[str] = set()

    def has(self, name: str) -> bool:
        """Whether the version has such a file, and it is here."""
        return name in self._digests and (self._folder / name).exists()

    def digest(self, name: str) -> str:
        """SHA-256 of what it should hold. Raises ``KeyError``."""
        return self._digests[name]

    def verified(self, name: str) -> Path:
        """Where it lies, after a look at its bytes. Raises ``UnusableVersionError``, ``KeyError``."""
        path, expected = self._folder / name, self._digests[name]
        if name not in self._verified:
            found = _sha256(path)
            if found != expected:
                raise UnusableVersionError(f"{path} is damaged: sha256 {found}, the manifest says {expected}")
            self._verified.add(name)
        return path


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise UnusableVersionError(f"{path} cannot be read: {error}") from error
    return digest.hexdigest()
