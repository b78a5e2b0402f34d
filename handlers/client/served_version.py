"""Which version is served: moving the pointer back, waiting until the running server has followed."""

import time
from dataclasses import dataclass

from handlers.client.addresses import get_json
from handlers.client.errors import ClientError
from model_store.objects import ObjectNotFoundError, ObjectStore
from model_store.versions import VersionStore

POLL_SECONDS = 0.25


@dataclass(frozen=True)
class RolledBack:
    """``served`` is None where no stack runs: the next one that starts on the store serves the version."""

    version: int
    previous: int | None
    forced: bool
    served: int | None = None


def move_back(objects: ObjectStore, version: int, *, force: bool) -> RolledBack:
    """Point every server to ``version``, whose files are verified first.

    Raises ``StoreError`` for a version that does not exist or is damaged, ``ClientError`` for one that the gate
    refused, unless ``force``.
    """
    versions = VersionStore(objects)
    refused = _refusal(versions, version)
    if refused and not force:
        raise ClientError(
            f"the gate refused version {version}: {refused}. Nothing was changed; "
            f"to serve it all the same: lucir rollback {version} --force"
        )
    pointer = versions.rollback(version, f"rollback, forced: {refused}" if refused else "rollback")
    return RolledBack(version, pointer.previous, bool(refused))


def _refusal(versions: VersionStore, version: int) -> str:
    """Why the gate refused a version; empty where it passed, or was never judged."""
    try:
        gate = versions.evaluation(version).gate
    except ObjectNotFoundError:
        return ""
    return "" if gate.passed else "; ".join(gate.reasons) or "no reason is recorded"


def wait_served(url: str, version: int, timeout: float) -> int:
    """The served version, once it is ``version``. Raises ``ClientError`` after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        status = get_json(url, "/api/status")
        if status["served_version"] == version:
            return version
        if time.monotonic() > deadline:
            reason = status["server_error"] or "see `lucir status`"
            raise ClientError(f"the pointer was moved, but version {version} is not served yet: {reason}")
        time.sleep(POLL_SECONDS)
