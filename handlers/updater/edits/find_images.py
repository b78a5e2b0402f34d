"""Where the images of a request are: stored originals, exemplars in the versions, copies that others have replaced."""

import hashlib
import logging
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from handlers.bucket.corrections import FOLDER as CORRECTIONS
from handlers.bucket.edit_documents import StoredFile
from handlers.bucket.layout import ARCHIVE, REASON_SUFFIX, REJECTED, split_incoming
from handlers.bucket.seen_images import FILE as LEARNT
from handlers.bucket.seen_images import Learnt, short
from handlers.bucket.updates import UpdateRecords
from handlers.inference.preprocess import BadImageError
from handlers.updater.context.update import Update
from handlers.updater.intake.reader import Reader
from lucir_core.memory.image_blobs import ImageBlobs, image_digest
from model_store.layout import EXEMPLARS, HOLDOUT
from model_store.objects import (
    ObjectNotFoundError,
    ObjectStore,
    ObjectTooLargeError,
    StoreError,
    StoreUnavailableError,
    exists,
)
from model_store.versions import VersionNotFoundError, VersionStore

logger = logging.getLogger(__name__)

Tick = Callable[[], None]


def stored_files(
    objects: ObjectStore, records: UpdateRecords, wanted: Collection[bytes], tick: Tick
) -> tuple[StoredFile, ...]:
    """What earlier updates moved to ``archive/`` and ``rejected/`` and has one of these shortened hashes.

    Reads every plan: the names of folders do not tell, for classes are renamed and merged.
    """
    found: dict[str, StoredFile] = {}
    for update_id in records.ids():
        tick()
        plan = records.plan(update_id)
        for entry in plan.entries if plan is not None else ():
            if entry.role == "marker" or short(entry.sha256) not in wanted:
                continue
            if entry.target.startswith((ARCHIVE, REJECTED)) and exists(objects, entry.target):
                found[entry.target] = StoredFile(key=entry.target, sha256=entry.sha256, size=entry.size)
    return tuple(found[key] for key in sorted(found))


def decoded_digests(objects: ObjectStore, files: Iterable[StoredFile], reader: Reader, tick: Tick) -> set[bytes]:
    """``image_digest`` of what learning makes of stored originals, and made of them before it scaled large JPEGs while
    decoding; unusable images give none."""
    digests = set()
    for file in files:
        tick()
        try:
            data = objects.read(file.key, limit=file.size)
            digests |= {image_digest(reader.decoded(data, whole=whole)) for whole in (False, True)}
        except (ObjectNotFoundError, ObjectTooLargeError, BadImageError):
            continue
    return digests


def erase(objects: ObjectStore, files: Iterable[StoredFile], tick: Tick) -> tuple[list[str], list[str]]:
    """Delete stored originals, and the reasons beside rejected ones.

    Gives the keys that are gone now, and those that were left because something else lies there.
    """
    gone, left = [], []
    for file in files:
        tick()
        if not _is_ours(objects, file):
            left.append(file.key)
            logger.warning("a stored file is not the one that was stored, and is left alone", extra={"key": file.key})
            continue
        objects.delete(file.key)
        if file.key.startswith(REJECTED):
            objects.delete(file.key + REASON_SUFFIX)
        gone.append(file.key)
    return gone, left


def erase_corrected(update: Update) -> None:
    """Remove the earlier originals of images that a person has said to be of another class, once that is served."""
    parent, plan = update.learning_parent if _corrects(update) else None, update.plan
    if parent is None:
        return
    services, images = update.services, plan.of_role("train", "holdout")
    moved = parent.learnt.find(entry.sha256 for entry in images)
    targets = {entry.target for entry in images}
    wanted = {short(sha) for sha in moved}
    files = stored_files(services.objects, services.records, wanted, services.tick) if wanted else ()
    earlier = [file for file in files if file.key.startswith(ARCHIVE) and file.key not in targets]
    gone, _ = erase(services.objects, earlier, services.tick)
    for key in gone:
        logger.info("a corrected image has left its earlier class", extra={"key": key, "update": update.id})


def _corrects(update: Update) -> bool:
    if not update.makes_version or not update.candidate.passed():
        return False
    images = update.plan.of_role("train", "holdout")
    return any(split_incoming(entry.key)[1].startswith(f"{CORRECTIONS}/") for entry in images)


def versions_holding(
    versions: VersionStore,
    wanted: Collection[bytes],
    digests: Collection[bytes],
    numbers: Iterable[int],
    tick: Tick,
) -> Iterator[tuple[int, str]]:
    """Those of the versions that hold one of the images as an exemplar or a held-out one, or cannot be searched: why.

    ``wanted``: shortened hashes; ``digests``: of the decoded images, or empty where any learnt image counts.
    Raises ``StoreUnavailableError``.
    """
    for number in numbers:
        tick()
        with tempfile.TemporaryDirectory(prefix="lucir-") as name:
            folder = Path(name)
            try:
                names = versions.manifest(number).files
                if LEARNT not in names:
                    continue
                versions.fetch(number, folder, [LEARNT])
                learnt = Learnt.load(folder / LEARNT)
                if not learnt.holds(wanted):
                    continue
                kept = [name for name in (EXEMPLARS, HOLDOUT) if name in names]
                versions.fetch(number, folder, kept)
                if not digests or any(_holds(ImageBlobs.load(folder / name), digests, tick) for name in kept):
                    yield number, ""
            except StoreUnavailableError:
                raise
            except VersionNotFoundError:
                continue  # removed meanwhile, with all that it held
            except StoreError as error:
                logger.warning("version %d cannot be searched: %s", number, error)
                yield number, str(error)


def _holds(blobs: ImageBlobs, digests: Collection[bytes], tick: Tick) -> bool:
    for index in range(len(blobs)):
        tick()
        if image_digest(blobs.decode(index)) in digests:
            return True
    return False


def _is_ours(objects: ObjectStore, file: StoredFile) -> bool:
    """Whether the object is what was stored; one that is gone already counts as such."""
    try:
        data = objects.read(file.key, limit=max(file.size, 1))
    except ObjectNotFoundError:
        return True
    except ObjectTooLargeError:
        return False
    return hashlib.sha256(data).hexdigest() == file.sha256
