"""Going back to an earlier version: what a terminal, the client and the page all do."""

from dataclasses import dataclass

from model_store.objects import ObjectNotFoundError, ObjectStore, StoreError
from model_store.versions import VersionStore


class RefusedVersionError(StoreError):
    """The gate refused the version that was asked for; ``version`` and ``why`` say which and the reasons."""

    def __init__(self, version: int, why: str) -> None:
        super().__init__(f"the gate refused version {version}: {why}. Nothing was changed")
        self.version = version
        self.why = why


@dataclass(frozen=True)
class PointerMove:
    """Where the pointer is now, where it was, and whether the gate had refused that version."""

    version: int
    previous: int | None
    forced: bool


def move_pointer(objects: ObjectStore, version: int, *, force: bool) -> PointerMove:
    """Point every server to ``version``, whose files are verified first.

    Raises ``RefusedVersionError`` for one that the gate refused, unless ``force``; ``StoreError`` for one that does not
    exist or is damaged.
    """
    versions = VersionStore(objects)
    refused = _refusal(versions, version)
    if refused and not force:
        raise RefusedVersionError(version, refused)
    pointer = versions.rollback(version, f"rollback, forced: {refused}" if refused else "rollback")
    return PointerMove(version, pointer.previous, bool(refused))


def _refusal(versions: VersionStore, version: int) -> str:
    """Why the gate refused a version; empty where it passed, or was never judged."""
    try:
        gate = versions.evaluation(version).gate
    except ObjectNotFoundError:
        return ""
    return "" if gate.passed else "; ".join(gate.reasons) or "no reason is recorded"
