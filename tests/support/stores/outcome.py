"""What is left in a store's folder when an update has ended."""

import hashlib
from pathlib import Path

from handlers.bucket.seen_images import Learnt
from handlers.bucket.update_documents import Done


def ended(root: Path, update: str) -> Done | None:
    """How the update ended, if it has."""
    path = root / "updates" / update / "done.json"
    return Done.model_validate_json(path.read_bytes()) if path.exists() else None


def hashes(root: Path, *folders: str) -> list[str]:
    """The SHA-256 of every file in these folders of the store, sorted."""
    return sorted(
        hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in (root / folder).rglob("*")
        if path.is_file() and not path.name.endswith(".reason.json")
    )


def learnt_once(root: Path, version: int) -> None:
    """Every archived image is among the hashes of the version, exactly once, and is an image of the plan."""
    learnt = Learnt.load(root / "versions" / str(version) / "learnt.safetensors")
    known = [row.tobytes().hex() for row in learnt.hashes]
    archived = [sha[:32] for sha in hashes(root, "archive")]
    assert sorted(known) == sorted(archived)
