"""What the pages and calls of the updater tell of, and what they change."""

from typing import Protocol

from handlers.bucket.edit_requests import EditDesk
from handlers.bucket.updates import UpdateRecords
from handlers.settings import Settings
from handlers.updater.http.versions import VersionsView
from handlers.updater.metrics import Metrics
from handlers.updater.status import Status
from model_store.objects import ObjectStore
from model_store.versions import VersionStore


class Source(Protocol):
    """``handlers.updater.service.Updater`` is one."""

    metrics: Metrics
    status: Status
    view: VersionsView
    objects: ObjectStore
    settings: Settings
    versions: VersionStore
    records: UpdateRecords
    edits: EditDesk
