"""One update in progress: the documents it has written, the folder it works in, the services it uses."""

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from handlers.bucket.edit_documents import EditRequest, Relearn
from handlers.bucket.update_documents import Intent, Plan
from handlers.bucket.updates import UpdateRecords
from handlers.settings import Settings
from handlers.updater.context.candidate import Candidate, Kind
from handlers.updater.context.child import LearningChild
from handlers.updater.context.parent import ParentVersion, fetch_parent
from handlers.updater.context.troubled import Troubled
from handlers.updater.context.way import Way, find_way
from handlers.updater.errors import LeaseLostError, StopRequestedError, SupersededError
from handlers.updater.leader.leadership import Leadership
from handlers.updater.metrics import Metrics
from handlers.updater.status import Status
from lucir_core.config.phase_config import PhaseConfig
from model_store.manifest import Manifest
from model_store.objects import ObjectStore, StoreError
from model_store.versions import VersionStore

logger = logging.getLogger(__name__)

TIMINGS = "timings.json"
PROVISIONAL = "provisional"
"""Folder, in the update's, that its provisional version is made in."""


@dataclass
class Services:
    """What every update needs; one object for the life of the process."""

    settings: Settings
    config: PhaseConfig
    objects: ObjectStore
    versions: VersionStore
    records: UpdateRecords
    metrics: Metrics
    status: Status
    wait_served: Callable[[int, float | None], bool]
    """(version, when its drop arrived, if one did): wait until the server answers with it; False when it does not."""
    expect_provisional: Callable[[int, float], None]
    """(version, when its drop arrived): measure when the server answers with it, without waiting for that."""
    leadership: Leadership
    """Whether this process is the one that may write."""
    child: LearningChild
    """The process that learns and edits."""
    stop: threading.Event = field(default_factory=threading.Event)
    troubled: Troubled = field(default_factory=Troubled)
    """Objects of ``incoming/`` that the store does not give or move now."""
    urgent: Callable[[], str | None] = lambda: None
    """Why this work is to be given up for something else; None while it may go on."""

    def tick(self) -> None:
        """To be called often by long work.

        Raises ``StopRequestedError`` when the process is asked to end, ``LeaseLostError`` when another one is active,
        ``SupersededError`` when something else is to be done first.
        """
        self.status.beat("main")
        if not self.leadership.active:
            raise LeaseLostError("another updater is active on this store")
        if self.stop.is_set():
            raise StopRequestedError
        if (reason := self.urgent()) is not None:
            raise SupersededError(reason)


class Update:
    """One update. What a step needs is read from the store or the folder, so that any process can go on with it."""

    def __init__(self, services: Services, intent: Intent) -> None:
        self.services = services
        self.intent = intent
        self.id = intent.id
        self.folder = services.settings.work_folder / intent.id
        self.left: list[str] = []
        """Originals that somebody else took or replaced meanwhile."""
        self._plan: Plan | None = None
        self._parent: ParentVersion | None = None
        self._way: Way | None = None
        self._candidates: dict[Kind, Candidate] = {}

    @property
    def plan(self) -> Plan:
        """The plan, which has been made. Raises ``StoreError``."""
        plan = self.find_plan()
        if plan is None:
            raise StoreError(f"update {self.id} has no plan")
        return plan

    def find_plan(self) -> Plan | None:
        """The plan; None before it is made."""
        if self._plan is None:
            self._plan = self.services.records.plan(self.id)
        return self._plan

    @property
    def makes_version(self) -> bool:
        """Whether anything is left to learn, or to edit, once the plan is made."""
        return self.plan.version is not None

    @property
    def version(self) -> int:
        """The number of the version that this update makes."""
        number = self.plan.version
        if number is None:
            raise ValueError(f"update {self.id} makes no version")
        return number

    @property
    def parent(self) -> ParentVersion | None:
        """The version that the plan starts from, as a local copy; None for the first phase. Raises ``StoreError``."""
        number = self.plan.parent
        if number is None:
            return None
        return self.start_from(self.services.versions.manifest(number)) if self._parent is None else self._parent

    @property
    def known_parent(self) -> ParentVersion:
        """The same where there must be one. Raises ``StoreError``."""
        parent = self.parent
        if parent is None:
            raise StoreError(f"update {self.id} starts from no version")
        return parent

    def start_from(self, manifest: Manifest) -> ParentVersion:
        """Fetch and verify the version that the update starts from: once, its steps share it. Raises ``StoreError``."""
        self._parent = fetch_parent(self.services.versions, manifest, self.services.settings.work_folder)
        return self._parent

    @property
    def relearn(self) -> Relearn | None:
        """What is to be learnt from the archive, where a person asked for that."""
        operation = self.intent.edit.operation if self.intent.edit is not None else None
        return operation if isinstance(operation, Relearn) else None

    @property
    def request(self) -> EditRequest:
        """What was asked for. Raises ``StoreError`` for an update that takes up a drop."""
        if self.intent.edit is None:
            raise StoreError(f"update {self.id} takes up a drop, not a request")
        return self.intent.edit

    @property
    def requested_at(self) -> float:
        """When a person asked for it, in seconds since the epoch; of a drop, when it was taken up."""
        return (self.intent.edit or self.intent).created_at.timestamp()

    @property
    def refines(self) -> bool:
        """Whether it refines the backbone of the served version, with the images that this has learnt already."""
        return self.relearn is not None and self.relearn.refine

    @property
    def learns_all(self) -> bool:
        """Whether everything is learnt again with a preset: from nothing, whatever version it is compared with."""
        return self.relearn is not None and self.relearn.preset is not None

    @property
    def reads_all(self) -> bool:
        """Whether its images are all that the served version has learnt, and not what came since."""
        return self.learns_all or self.refines

    @property
    def learning_parent(self) -> ParentVersion | None:
        """The version whose state learning adds images to; None where it begins with nothing. Raises ``StoreError``."""
        return None if self.reads_all else self.parent

    @property
    def way(self) -> Way:
        """With which preset it learns. Raises ``StoreError``, also where the settings do not fit what is served."""
        return self.choose_way(self.services.versions.manifest(number) if (number := self.plan.parent) else None)

    def choose_way(self, served: Manifest | None) -> Way:
        """The same before there is a plan; ``served``: the version that the plan will start from."""
        if self._way is None:
            asked, learning = self.relearn, self.services.settings.learning
            if asked is not None and asked.preset is not None:
                self._way = Way.of(asked.preset, asked.overrides)
            else:
                self._way = find_way(learning, self.services.records, served)
        return self._way

    @property
    def candidate(self) -> Candidate:
        """The version that this update makes, by learning or by an edit."""
        edits = self.intent.edit is not None and self.relearn is None
        return self._candidate("edited" if edits else "learnt", self.version, self.folder)

    @property
    def provisional(self) -> Candidate | None:
        """The version that is to answer until then; None when the plan has none."""
        number = self.plan.provisional
        return None if number is None else self._candidate("provisional", number, self.folder / PROVISIONAL)

    def _candidate(self, kind: Kind, number: int, folder: Path) -> Candidate:
        if kind not in self._candidates:
            self._candidates[kind] = Candidate(self.services.versions, self.id, number, kind, folder, self.folder)
        return self._candidates[kind]

    def stored(self) -> Manifest | None:
        """The manifest of the version that this update makes; None while it is not in the store."""
        return self.candidate.stored() if self.makes_version else None

    def timings(self) -> dict[str, float]:
        """Seconds by step, those of earlier processes included where the folder is still there."""
        try:
            timings: dict[str, float] = json.loads((self.folder / TIMINGS).read_bytes())
        except (OSError, ValueError):
            return {}
        return timings

    def add_timing(self, step: str, seconds: float) -> None:
        """Add to the time of a step."""
        timings = self.timings()
        timings[step] = round(timings.get(step, 0.0) + seconds, 3)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / TIMINGS).write_text(json.dumps(timings), encoding="utf-8")


def served_manifest(services: Services) -> Manifest | None:
    """The version that the pointer names; None before the first."""
    pointer = services.versions.current()
    return services.versions.manifest(pointer.version) if pointer is not None else None
