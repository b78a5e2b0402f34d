"""Reading and writing the documents of the updates in the store."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from handlers.bucket.edit_documents import EditRequest
from handlers.bucket.update_documents import (
    Attempts,
    ChosenPreset,
    ChosenPresets,
    Done,
    FailedFolder,
    FailedFolders,
    FolderIntent,
    Intent,
    Plan,
    RefusedClasses,
    TriedRefinement,
    TriedRefinements,
)
from model_store.documents import encode, parse
from model_store.manifest import Document, now
from model_store.objects import ObjectNotFoundError, ObjectStore, PreconditionFailedError, exists, tag_of

AnyDocument = TypeVar("AnyDocument", bound=Document)

UPDATES = "updates/"
FAILED = f"{UPDATES}failed.json"
REFUSED = f"{UPDATES}refused.json"
PRESETS = f"{UPDATES}presets.json"
REFINED = f"{UPDATES}refined.json"
MOST_REFINED = 200
"""Versions that are remembered as refined, or tried: the newest."""
INTENT, PLAN, ATTEMPTS, DONE = "intent.json", "plan.json", "attempts.json", "done.json"

PLAN_LIMIT = 1024 * 1024 * 1024
"""Largest plan that is read, in bytes: a plan has about 500 for each image."""
_REMEDY = "move the folder of that update out of updates/ and restart; its originals stay where they are"


class UpdateRecords:
    """The documents below ``updates/``. Update ids are numbers, so that they sort by age; none is used twice."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def latest(self) -> str | None:
        """The newest update's id."""
        ids = [name for name in self._objects.folders(UPDATES) if name.isdecimal() and name.isascii()]
        return max(ids, key=int, default=None)

    def begin(self, folders: dict[str, FolderIntent], edit: EditRequest | None = None) -> Intent:
        """Write down that a new update takes up these folders, or a request. Raises ``PreconditionFailedError`` if
        another updater did."""
        latest = self.latest()
        if latest is not None and not self.exists(latest, DONE):
            # Begun late by an updater that slept: it would stay without an end for ever.
            raise PreconditionFailedError(f"update {latest} has been begun and has no end yet")
        number = int(latest) + 1 if latest else 1
        intent = Intent(id=f"{number:06d}", created_at=now(), folders=folders, edit=edit)
        self._objects.write(self._key(intent.id, INTENT), encode(intent), only_if_absent=True)
        return intent

    def unfinished(self) -> Intent | None:
        """The newest update, if it has no end yet. Older ones have: a new one begins only after it."""
        latest = self.latest()
        if latest is None or self.exists(latest, DONE):
            return None
        return self.intent(latest)

    def has_next(self, update_id: str | None) -> bool:
        """Whether an update has been begun after this one, or any where there was none: one question."""
        return self.exists(f"{int(update_id or 0) + 1:06d}", INTENT)

    def ids(self) -> list[str]:
        """Every update, oldest first."""
        names = self._objects.folders(UPDATES)
        return sorted((name for name in names if name.isdecimal() and name.isascii()), key=int)

    def intent(self, update_id: str) -> Intent | None:
        """What an update takes up; None if there is no update with this number."""
        return self.read(Intent, update_id, INTENT)

    def read(self, kind: type[AnyDocument], update_id: str, name: str) -> AnyDocument | None:
        """A document of an update; None while it has not been written."""
        return self._read(kind, self._key(update_id, name))

    def write(self, update_id: str, name: str, document: Document) -> None:
        """Write, or write again, a document of an update."""
        self._objects.write(self._key(update_id, name), encode(document))

    def write_once(self, update_id: str, name: str, document: Document) -> None:
        """Write a document of an update, unless it has been written already."""
        with suppress(PreconditionFailedError):
            self._objects.write(self._key(update_id, name), encode(document), only_if_absent=True)

    def exists(self, update_id: str, name: str) -> bool:
        """Whether a document of an update has been written."""
        return exists(self._objects, self._key(update_id, name))

    def write_plan(self, plan: Plan) -> None:
        """Write the plan, once."""
        self._objects.write(self._key(plan.id, PLAN), encode(plan), only_if_absent=True)

    def plan(self, update_id: str) -> Plan | None:
        """The plan of an update; None before it is made."""
        return self._read(Plan, self._key(update_id, PLAN), limit=PLAN_LIMIT)

    def write_done(self, done: Done) -> None:
        """End an update, once: how it ended first stands."""
        self.write_once(done.id, DONE, done)

    def done(self, update_id: str) -> Done | None:
        """How an update ended; None while it has not."""
        return self._read(Done, self._key(update_id, DONE))

    def attempts(self, update_id: str) -> Attempts:
        """How often the steps of an update were begun and failed."""
        return self._read(Attempts, self._key(update_id, ATTEMPTS)) or Attempts()

    def revise_attempts(self, update_id: str, change: Callable[[Attempts], Attempts]) -> Attempts:
        """Replace the count by what ``change`` makes of it, and by nothing else; return what is there then.

        Raises ``PreconditionFailedError`` when somebody has replaced it meanwhile, and what ``change`` raises.
        """
        key = self._key(update_id, ATTEMPTS)
        return self._change(Attempts(), key, change)

    def failed(self) -> dict[str, FailedFolder]:
        """Folders that are left alone until their content changes.

        Only those whose update did end in failure: an updater that slept while another one succeeded may list its own
        late.
        """
        folders = (self._read(FailedFolders, FAILED) or FailedFolders()).folders
        ends = {update_id: self.done(update_id) for update_id in {one.update_id for one in folders.values()}}
        return {
            name: one
            for name, one in folders.items()
            if (done := ends[one.update_id]) is None or done.result == "failed"
        }

    def write_failed(self, folders: dict[str, FailedFolder]) -> None:
        """Replace that list."""
        self._objects.write(FAILED, encode(FailedFolders(folders=folders)))

    def refused(self) -> dict[str, tuple[str, ...]]:
        """By class, the refused updates whose images join the next drop; see ``updater.intake.archived_images``."""
        return (self._read(RefusedClasses, REFUSED) or RefusedClasses()).updates

    def change_refused(self, change: Callable[[dict[str, tuple[str, ...]]], dict[str, tuple[str, ...]]]) -> None:
        """Replace that list by what ``change`` makes of it, unless it was changed meanwhile (raises
        ``PreconditionFailedError``)."""
        self._change(RefusedClasses(), REFUSED, lambda found: RefusedClasses(updates=change(found.updates)))

    def presets(self) -> tuple[ChosenPreset, ...]:
        """The presets that everything was to be learnt again with, oldest first."""
        return (self._read(ChosenPresets, PRESETS) or ChosenPresets()).chosen

    def add_presets(self, update_id: str, *chosen: ChosenPreset) -> None:
        """Remember what an update chose, newest last. May be repeated. Raises as ``change_refused``."""

        def added(found: ChosenPresets) -> ChosenPresets:
            earlier = (one for one in found.chosen if one.update_id != update_id)
            return ChosenPresets(chosen=(*earlier, *chosen))

        self._change(ChosenPresets(), PRESETS, added)

    def refinements(self) -> dict[int, TriedRefinement]:
        """By version, how refining its backbone ended."""
        return (self._read(TriedRefinements, REFINED) or TriedRefinements()).versions

    def note_refinement(self, version: int, tried: TriedRefinement) -> None:
        """It was tried. May be repeated. Raises as ``change_refused``."""

        def noted(found: TriedRefinements) -> TriedRefinements:
            newest = sorted({**found.versions, version: tried}.items())[-MOST_REFINED:]
            return TriedRefinements(versions=dict(newest))

        self._change(TriedRefinements(), REFINED, noted)

    def _change(self, empty: AnyDocument, key: str, change: Callable[[AnyDocument], AnyDocument]) -> AnyDocument:
        """Replace a document by what ``change`` makes of it, ``empty`` where there is none."""
        tag = tag_of(self._objects, key)  # before the content: a change in between makes the replacement fail
        found = (self._read(type(empty), key) if tag is not None else None) or empty
        changed = change(found)
        if changed == found:
            return found
        if tag is None:
            self._objects.write(key, encode(changed), only_if_absent=True)
        else:
            self._objects.replace(key, encode(changed), expected_etag=tag)
        return changed

    def _read(self, kind: type[AnyDocument], key: str, *, limit: int = 64 * 1024 * 1024) -> AnyDocument | None:
        try:
            data = self._objects.read(key, limit=limit)
        except ObjectNotFoundError:
            return None
        return parse(kind, data, f"{self._objects.url}/{key}", _REMEDY)

    def _key(self, update_id: str, name: str) -> str:
        return f"{UPDATES}{update_id}/{name}"
