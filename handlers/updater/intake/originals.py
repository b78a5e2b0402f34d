"""Moving originals out of ``incoming/``, each to the place its plan names, however often it is repeated."""

import hashlib
import logging
from collections.abc import Sequence
from contextlib import suppress

from handlers.bucket.layout import REASON_SUFFIX
from handlers.bucket.update_documents import Entry, Reason
from handlers.parallel import ordered_map
from handlers.updater.context.troubled import Troubled
from handlers.updater.errors import NOT_THE_DROP
from model_store.documents import encode
from model_store.manifest import now
from model_store.objects import ObjectNotFoundError, ObjectStore, PreconditionFailedError, StoreError, exists

logger = logging.getLogger(__name__)


def move_original(objects: ObjectStore, entry: Entry) -> bool | None:
    """Move one original: True when it was moved now, None when it had been before.

    False when the object there is not the one that was judged (somebody replaced or removed it): it is left alone,
    and joins a later update.
    """
    try:
        info = objects.stat(entry.key)
    except ObjectNotFoundError:
        return None if exists(objects, entry.target) else False
    if info.etag != entry.etag and not _same_content(objects, entry, info.size):
        return None if exists(objects, entry.target) else False
    try:
        objects.move(entry.key, entry.target, expected_etag=info.etag)
    except (ObjectNotFoundError, PreconditionFailedError):
        return False
    return True


def move_all(
    objects: ObjectStore, entries: Sequence[Entry], troubled: Troubled | None = None
) -> tuple[list[Entry], list[str]]:
    """Move them; return those that were moved now, and the keys that were left alone.

    One that the store refuses to move is left, and noted in ``troubled``.
    """

    def move(entry: Entry) -> tuple[Entry, bool | StoreError | None]:
        try:
            return entry, move_original(objects, entry)
        except NOT_THE_DROP:
            raise
        except StoreError as error:
            return entry, error

    moved, left = [], []
    # What an earlier update archived is where it belongs.
    for entry, result in ordered_map(move, [entry for entry in entries if entry.key != entry.target]):
        if isinstance(result, StoreError):
            left.append(entry.key)
            if troubled is not None:
                troubled.note(entry.key, entry.etag, str(result))
            logger.warning("left for later: %s", result, extra={"key": entry.key})
            continue
        if result is False:
            left.append(entry.key)
            logger.warning("an original was changed by somebody and is left alone", extra={"key": entry.key})
        elif result:
            moved.append(entry)
    return moved, left


def write_reasons(objects: ObjectStore, update_id: str, entries: Sequence[Entry]) -> None:
    """Write ``<file>.reason.json`` for rejected originals, before they are moved."""

    def write(entry: Entry) -> None:
        reason = Reason(
            key=entry.key,
            sha256=entry.sha256,
            size=entry.size,
            reason=entry.reason or "",
            update_id=update_id,
            rejected_at=now(),
        )
        with suppress(PreconditionFailedError):  # written before an interruption
            objects.write(entry.target + REASON_SUFFIX, encode(reason), only_if_absent=True)

    for _ in ordered_map(write, entries):
        pass


def _same_content(objects: ObjectStore, entry: Entry, size: int) -> bool:
    """A tag may change without the content (a chmod does it): then the hash decides."""
    if size != entry.size:
        return False
    try:
        return hashlib.sha256(objects.read(entry.key, limit=size)).hexdigest() == entry.sha256
    except ObjectNotFoundError:
        return False
