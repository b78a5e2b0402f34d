"""What an update writes down in the store, so that any process can go on with it: ``updates/<id>/*.json``."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from handlers.bucket.edit_documents import EditRequest
from model_store.manifest import Document, Sha256, StoredDocument

Role = Literal["train", "holdout", "rejected", "marker"]
Result = Literal["published", "refused", "rejected", "failed", "superseded"]


class FolderIntent(Document):
    """A folder of ``incoming/`` that an update takes up: as it was listed, and how many of its images may join."""

    fingerprint: str
    limit: int = Field(ge=1)
    marked: bool
    """Whether the marker ``_READY`` was there: then few images are enough."""


class Intent(StoredDocument):
    """``intent.json``, written first: this update exists and takes up these folders ("": files that lie in none)."""

    id: str
    created_at: datetime
    folders: dict[str, FolderIntent]
    edit: EditRequest | None = None
    """What a person asked for, where that is what the update is about; then ``folders`` is empty."""


class Entry(Document):
    """One object of ``incoming/``: as it was judged, and where it goes."""

    key: str
    etag: str
    size: int
    modified: float
    sha256: Sha256
    role: Role
    class_name: str | None
    """None where the folder's name is not a class name, or the file lay in no folder."""
    reason: str | None
    """Why it was rejected."""
    target: str


class Plan(StoredDocument):
    """``plan.json``: the version that the update makes, and every object of ``incoming/`` that it decides on.

    Objects that arrived later are not in it; an update that a person asked for decides on none (see ``edit.json``).
    """

    id: str
    created_at: datetime
    parent: int | None
    """The version that was served when the plan was made: the update starts from it."""
    version: int | None
    """The number that the version will have; None when nothing is left to learn or to edit."""
    provisional: int | None = None
    """The number of the provisional version that answers for the new classes until then; None without one."""
    classes: tuple[str, ...]
    """All classes after the update, in output order."""
    new_classes: tuple[str, ...] = ()
    updated_classes: tuple[str, ...] = ()
    own_evaluation: tuple[str, ...] = ()
    """Those of the dropped classes with own test images in ``evaluation/``: nothing is held out for them."""
    resize: int
    """Side of the images that learning gets, in pixels."""
    dropped_at: float
    """When the newest of the originals, or the request, arrived, in seconds since the epoch."""
    entries: tuple[Entry, ...] = ()

    def of_role(self, *roles: Role) -> tuple[Entry, ...]:
        """The entries with one of these roles, in plan order."""
        return tuple(entry for entry in self.entries if entry.role in roles)

    def idle_markers(self) -> tuple[Entry, ...]:
        """The markers of classes of which nothing in ``incoming/`` is left to learn; what joins from the archive lies
        where it belongs already.
        """
        busy = {entry.class_name for entry in self.of_role("train", "holdout") if entry.key != entry.target}
        return tuple(entry for entry in self.of_role("marker") if entry.class_name not in busy)


class GivenUp(Document):
    """How an update ends that makes no version: decided before anything of that end is done."""

    result: Literal["failed", "superseded"]
    reason: str


class Attempts(StoredDocument):
    """``attempts.json``: how often each step was begun without ending, and failed; so that no drop loops for ever.

    And who works on the update: each updater replaces only what it has found.
    """

    begun: dict[str, int] = Field(default_factory=dict)
    failed: dict[str, int] = Field(default_factory=dict)
    epoch: int | None = None
    """Of the updater that works on it: the term of its lease. None for a single writer, and in earlier releases."""
    given_up: GivenUp | None = None


class Done(StoredDocument):
    """``done.json``, written last: the update is over and this came of it."""

    id: str
    result: Result
    version: int | None
    provisional: int | None = None
    """The provisional version that came before ``version``, where there was one."""
    reason: str | None
    finished_at: datetime
    images: dict[str, int]
    """How many objects had each role."""
    moved: int
    """How many originals were moved out of ``incoming/``."""
    left: tuple[str, ...]
    """Keys that were replaced or removed by somebody while the update ran, and therefore left alone."""
    timings: dict[str, float]
    """Seconds, by step."""


class Reason(StoredDocument):
    """``rejected/.../<file>.reason.json``."""

    key: str
    sha256: Sha256
    size: int
    reason: str
    update_id: str
    rejected_at: datetime


class FailedFolder(Document):
    """A folder whose update was set aside: it is left alone until its content changes."""

    fingerprint: str
    update_id: str
    reason: str


class FailedFolders(StoredDocument):
    """``updates/failed.json``, by folder name."""

    folders: dict[str, FailedFolder] = Field(default_factory=dict)


class RefusedClasses(StoredDocument):
    """``updates/refused.json``: by class, the updates that the gate refused since the class was last learnt."""

    updates: dict[str, tuple[str, ...]] = Field(default_factory=dict)


class ChosenPreset(Document):
    """A preset that a person chose for everything that had been learnt (``lucir relearn --preset``)."""

    update_id: str
    preset: str
    overrides: dict[str, Any] = Field(default_factory=dict)


class ChosenPresets(StoredDocument):
    """``updates/presets.json``, oldest first. One that was refused is passed over: no served version fits it."""

    chosen: tuple[ChosenPreset, ...] = ()


class TriedRefinement(Document):
    """How an update that refined a version's backbone ended."""

    update_id: str
    result: Result
    reason: str | None


class TriedRefinements(StoredDocument):
    """``updates/refined.json``: by version, the one time that its backbone was refined; it is not tried again."""

    versions: dict[int, TriedRefinement] = Field(default_factory=dict)


class LeaseRecord(StoredDocument):
    """``updates/lease.json``: which updater is active on this store."""

    holder: str
    """The data folder of the active updater, by a random name that it keeps."""
    name: str
    """Host and process, for people."""
    term: int = Field(ge=1)
    """One more at every change of the holder."""
    nonce: str
    """Another at every renewal, so that the object's tag changes."""
    released: bool
    """Whether the holder has stopped: nobody need wait."""
    renewed_at: datetime
    """By the holder's clock: for people, compared by nobody."""
