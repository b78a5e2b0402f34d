"""From the folders that an update takes up to its plan: every object read, judged, and given its role and target."""

import logging
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain
from pathlib import Path

from handlers.bucket.dropped_names import why_left_alone
from handlers.bucket.layout import ARCHIVE, INCOMING, LOOSE_FOLDER, READY_MARKER, REJECTED, target_key
from handlers.bucket.seen_images import Learnt
from handlers.bucket.update_documents import Entry, Intent, Plan
from handlers.settings import Settings
from handlers.updater.context.decoded_images import DecodedWriter
from handlers.updater.context.parent import ParentVersion
from handlers.updater.context.troubled import Troubled
from handlers.updater.intake.evaluation_images import classes_with_own_images, evaluation_duplicates
from handlers.updater.intake.listing import Folder, list_incoming, marks
from handlers.updater.intake.reader import Reader
from handlers.updater.intake.roles import Rules, decide
from handlers.updater.intake.uploaded_file import UploadedFile
from model_store.manifest import now
from model_store.objects import ObjectStore
from model_store.versions import VersionStore

logger = logging.getLogger(__name__)


class Ingest:
    """Makes plans. ``resize``: side of the images that learning gets; ``leaves_out``: see ``roles.Rules``."""

    def __init__(
        self,
        objects: ObjectStore,
        versions: VersionStore,
        settings: Settings,
        resize: int,
        *,
        leaves_out: bool = False,
        troubled: Troubled | None = None,
    ) -> None:
        self._objects = objects
        self._versions = versions
        self._settings = settings
        self._resize = resize
        self._leaves_out = leaves_out
        self._troubled = troubled or Troubled()

    def run(
        self,
        intent: Intent,
        parent: ParentVersion | None,
        folder: Path,
        tick: Callable[[], None],
        archived: Sequence[UploadedFile] = (),
        *,
        few_are_enough: Collection[str] = (),
    ) -> Plan:
        """Read everything that ``intent`` names; decoded images go to ``folder``. ``tick`` is called for each file.

        archived: images of earlier updates that are learnt with it, unless something speaks against them: the
        ``reason`` of each. few_are_enough: classes that need not wait for more images. Raises ``StoreError``,
        ``OSError``, and what ``tick`` raises.
        """
        folder.mkdir(parents=True, exist_ok=True)
        reader = Reader(self._objects, self._settings.images, self._resize, folder)
        room = sum(part.limit for part in intent.folders.values()) + len(archived)
        decoded = DecodedWriter(folder, room, self._resize)
        files: list[UploadedFile] = []
        for file, image in reader.read_all(chain(self._files(intent), archived)):
            tick()
            if file.trouble is not None:
                self._troubled.note(file.key, file.info.etag, file.trouble)
                logger.warning("left for later: %s", file.trouble, extra={"key": file.key})
                continue
            if image is not None:
                decoded.add(file.key, file.sha256, image)
            files.append(file)
        decoded.close()
        # Dropped again, perhaps as another class: what is said now counts.
        dropped = {file.sha256 for file in files if not file.is_archived}
        files = [file for file in files if not file.is_archived or file.sha256 not in dropped]
        names = {file.class_name for file in files if file.class_name is not None}
        learnt = parent.learnt if parent is not None else Learnt.empty()
        own = classes_with_own_images(self._objects, names, reader)
        rules = Rules(
            settings=self._settings.updater,
            known=parent.manifest.classes if parent is not None else (),
            learnt=learnt.find(file.sha256 for file in files),
            learnt_counts=learnt.counts(),
            marked=_marked(intent, files) | set(few_are_enough),
            own_evaluation=own,
            held_already=parent.manifest.counts.holdout if parent is not None else {},
            evaluation=evaluation_duplicates(self._objects, {file.sha256: file.info.size for file in files}),
            leaves_out=self._leaves_out,
        )
        decide(files, rules)
        return self._plan(intent, parent, _entries(intent.id, files), own)

    def _plan(
        self, intent: Intent, parent: ParentVersion | None, entries: tuple[Entry, ...], own: frozenset[str]
    ) -> Plan:
        known = parent.manifest.classes if parent is not None else ()
        touched = {entry.class_name for entry in entries if entry.role in {"train", "holdout"} and entry.class_name}
        new = tuple(sorted(touched - set(known)))
        accepted = [entry.modified for entry in entries if entry.role in {"train", "holdout"}]
        number = self._versions.next_number() if touched else None
        imprints = self._settings.learning.imprint_first and not self._leaves_out and parent is not None and bool(new)
        return Plan(
            id=intent.id,
            created_at=now(),
            parent=parent.manifest.version if parent is not None else None,
            version=number + 1 if number is not None and imprints else number,
            provisional=number if imprints else None,
            classes=known + new,
            new_classes=new,
            updated_classes=tuple(sorted(touched & set(known))),
            own_evaluation=tuple(sorted(own)),
            resize=self._resize,
            dropped_at=max(accepted, default=0.0),
            entries=entries,
        )

    def _files(self, intent: Intent) -> Iterator[UploadedFile]:
        for name, part in sorted(intent.folders.items()):
            folder = Folder(name)
            prefix = f"{INCOMING}{name}/" if name else INCOMING
            # Files in no folder are found among all others, which only costs when somebody left such files.
            marker: UploadedFile | None = None
            count = 0
            for info, owner, path in list_incoming(self._objects, prefix):
                if owner != name or why_left_alone(f"{name}/{path}" if name else path) is not None:
                    continue
                if self._troubled.waits(info) is not None:
                    continue
                file = UploadedFile(info, name, path, folder.class_name, folder.problem)
                if path == READY_MARKER and folder.problem is None:
                    marker = file
                elif count < part.limit:
                    count += 1
                    yield file
                else:
                    break  # the marker stays as well, for what is left
            else:
                if marker is not None:
                    yield marker


def _marked(intent: Intent, files: list[UploadedFile]) -> frozenset[str]:
    folders = {name for name, part in intent.folders.items() if part.marked}
    oldest: dict[str, float] = {}
    for file in files:
        if not file.is_marker and not file.is_archived:
            oldest[file.folder] = min(oldest.get(file.folder, math.inf), file.info.modified)
    folders |= {
        file.folder for file in files if file.is_marker and marks(file.info.modified, oldest.get(file.folder, math.inf))
    }
    return frozenset(name for folder in folders if (name := Folder(folder).class_name) is not None)


def _entries(update_id: str, files: list[UploadedFile]) -> tuple[Entry, ...]:
    taken: set[str] = set()
    return tuple(
        Entry(
            key=file.key,
            etag=file.info.etag,
            size=file.info.size,
            modified=file.info.modified,
            sha256=file.sha256,
            role=file.role,
            class_name=file.class_name,
            reason=file.reason,
            target=file.key
            if file.is_archived
            else target_key(
                REJECTED if file.role == "rejected" else ARCHIVE,
                update_id,
                file.class_name or file.folder or LOOSE_FOLDER,
                file.path,
                taken,
            ),
        )
        for file in files
        if file.role is not None and not (file.is_archived and file.role == "rejected")
    )
