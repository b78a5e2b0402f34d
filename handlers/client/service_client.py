"""The client: one object for one service."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from handlers.bucket.backup import Copied, Report, make_backup, restore_backup
from handlers.bucket.corrections import put_correction
from handlers.bucket.edit_documents import DeleteImages, EditRequest, Merge, Operation, Relearn, Remove, Rename
from handlers.bucket.edit_requests import EditDesk, RequestState
from handlers.bucket.edit_rules import EditError
from handlers.bucket.report_document import Report as VersionReport
from handlers.bucket.reports import read_page, read_report
from handlers.bucket.updates import UpdateRecords
from handlers.client.addresses import Connection, locate
from handlers.client.class_folders import ClassFolder, read_layout
from handlers.client.drop_progress import DropProgress, Outcome, follow, follow_request
from handlers.client.drop_upload import Upload, drop_id, plan_uploads, prepare_correction, upload
from handlers.client.edit_waiting import image_hashes, wait_done
from handlers.client.errors import ClientError, system_errors
from handlers.client.folder_contents import LeftOut
from handlers.client.predictions import Answer, classify, image_files
from handlers.client.served_version import RolledBack, ask_back, move_back, wait_served
from handlers.client.version_list import VersionRow, list_versions
from handlers.export.export_version import export_version
from model_store.manifest import Manifest
from model_store.objects import ObjectStore
from model_store.versions import VersionStore

DROP_SECONDS = 3600.0
EDIT_SECONDS = 600.0
SWAP_SECONDS = 120.0


@dataclass(frozen=True)
class Drop:
    """Class folders on their way into ``incoming/``."""

    classes: tuple[ClassFolder, ...]
    uploads: tuple[Upload, ...]
    left: tuple[LeftOut, ...] = ()
    """What lies in the folder and is not dropped, beside the other files that each class counts."""

    @property
    def keys(self) -> frozenset[str]:
        """The objects of the drop."""
        return frozenset(one.key for one in self.uploads)


@dataclass(frozen=True)
class ServiceStatus:
    """What the service is doing; ``document`` is ``/api/status`` as it was answered."""

    served_version: int | None
    current_version: int | None
    """The version that is to be served: another one for a moment, or while ``server_error`` tells why not."""
    server_error: str | None
    phase: dict[str, Any] | None
    """The running update; None while none runs, and always for a follower."""
    document: dict[str, Any]


class Client:
    """A running service, by its data folder or by its addresses. See ``handlers.client`` for an example.

    data: folder of the stack (default: as in the settings, ``lucir-data``). url: where images are POSTed.
    updater_url: where ``/api/status`` is. store: ``file:///path`` or ``s3://bucket``. config: a YAML file of settings.
    token: ``updater.token`` of the updater at ``updater_url``, for a rollback without access to the store.
    Raises ``SettingsError`` for settings that are wrong.
    """

    def __init__(
        self,
        data: Path | str | None = None,
        *,
        url: str | None = None,
        updater_url: str | None = None,
        store: str | None = None,
        config: Path | None = None,
        token: str | None = None,
    ) -> None:
        folder = Path(data) if data is not None else None
        self.connection: Connection = locate(folder, store, config, url=url, updater_url=updater_url)
        told = data is not None or store is not None or bool(self.connection.settings.store)
        self._only_http = updater_url is not None and not told
        self._token = token

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Connections are opened for each call: there is nothing to close."""

    def predict(self, *images: Path | str, top_k: int | None = None) -> list[Answer]:
        """Classify image files, and those in folders; one answer each, in order.

        A worker that is killed costs no answer: its image is asked about again, a few times. Raises ``ClientError``
        when nobody answers, or for a folder without images.
        """
        return list(self.predict_each(*images, top_k=top_k))

    @system_errors()
    def predict_each(self, *images: Path | str, top_k: int | None = None) -> Iterator[Answer]:
        """The same, each answer as it comes."""
        here = self.connection
        files = image_files(map(Path, images))
        return classify(here.inference_url, files, top_k, here.authorization(), {401: here.key_remedy()})

    def status(self) -> ServiceStatus:
        """What the service is doing. Raises ``ClientError`` when nobody answers."""
        document = self.connection.status()
        return ServiceStatus(
            document["served_version"],
            document["current_version"],
            document["server_error"],
            document.get("phase"),
            document,
        )

    @system_errors()
    def versions(self) -> list[VersionRow]:
        """Every version with what was measured on it, newest last; read from the store.

        Which copy of its network answers is told of the versions that this machine has loaded.
        """
        settings = self.connection.settings
        copies = settings.models_folder if settings.serving.copies == "auto" else None
        return list_versions(self._objects, copies)

    @system_errors()
    def prepare_drop(self, folder: Path | str, class_name: str | None = None) -> Drop:
        """What ``drop`` would copy; nothing is copied. Raises ``ClientError`` for a folder that cannot be dropped."""
        layout = read_layout(Path(folder), class_name)
        return Drop(layout.classes, tuple(plan_uploads(layout.classes, drop_id())), layout.left)

    def copy(self, drop: Drop) -> Iterator[Upload]:
        """Copy a prepared drop; gives each image when it has been copied. Raises ``StoreError``."""
        objects = self.connection.store()
        objects.check()
        with system_errors():
            yield from upload(objects, drop.classes, drop.uploads)

    def drop(self, folder: Path | str, class_name: str | None = None) -> Drop:
        """Copy class folders, or the images of one class, into the store to be learnt; see ``follow`` and ``wait``."""
        drop = self.prepare_drop(folder, class_name)
        for _ in self.copy(drop):
            pass
        return drop

    @system_errors()
    def correct(self, images: Sequence[Path | str], class_name: str) -> Drop:
        """Let images be learnt as the class that they should have been answered with; follow it as any drop.

        An image that was learnt as another class leaves that one. Raises ``ClientError`` for a file that is not an
        image or an impossible class name, ``StoreError``.
        """
        if not images:
            raise ClientError("there is no image to correct: name at least one")
        objects = self.connection.store()
        objects.check()
        uploads = tuple(
            prepare_correction(Path(image), class_name, self.connection.settings.images) for image in images
        )
        for one in uploads:
            put_correction(objects, class_name, one.path.read_bytes(), Path(one.key).suffix)
        folder = ClassFolder(class_name, uploads[0].path.parent, tuple(one.path for one in uploads), ())
        return Drop((folder,), uploads)

    def follow(self, drop: Drop, timeout: float = DROP_SECONDS) -> Iterator[DropProgress]:
        """What happens to a drop until it is learnt and served. Raises ``ClientError`` after ``timeout`` seconds."""
        return follow(self.connection.store(), self.connection.updater_url, drop.keys, timeout)

    def wait(self, drop: Drop, timeout: float = DROP_SECONDS) -> Outcome:
        """What became of a drop. Raises ``ClientError`` after ``timeout`` seconds; look at ``failure`` too."""
        outcome = Outcome()
        for progress in self.follow(drop, timeout):
            outcome = progress.outcome or outcome
        return outcome

    def rename(self, name: str, to: str) -> EditRequest:
        """Give a class another name. As for every edit: ``wait_edit`` tells how it ended."""
        return self.request(Rename(name=name, to=to))

    def merge(self, names: Sequence[str], into: str) -> EditRequest:
        """Join classes; the gate judges the joint one before it is served."""
        return self.request(Merge(names=tuple(names), into=into))

    def remove_class(self, name: str, *, delete_originals: bool = False) -> EditRequest:
        """Forget a class; with ``delete_originals`` also the stored images of it."""
        return self.request(Remove(name=name, delete_originals=delete_originals))

    def delete_images(self, *images: str) -> EditRequest:
        """Delete images wherever the store keeps them: each a key in the store, a sha256, or a local copy."""
        return self.request(DeleteImages(hashes=self.image_hashes(*images)))

    def relearn(
        self, *classes: str, preset: str | None = None, overrides: Mapping[str, Any] | None = None
    ) -> EditRequest:
        """Learn what the archive has of these classes and the served version has not learnt; or, with ``preset``, all
        that it has learnt again. ``overrides``: values of that preset to change. Raises ``ClientError``."""
        try:
            return self.request(Relearn(classes=classes, preset=preset, overrides=dict(overrides or {})))
        except ValidationError as error:
            raise ClientError("; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())) from None

    def follow_edit(self, request: EditRequest, timeout: float = DROP_SECONDS) -> Iterator[DropProgress]:
        """What happens to a request until it has ended and its version is served. Raises ``ClientError`` after
        ``timeout`` seconds."""
        return follow_request(self._desk, self.connection.updater_url, request.id, timeout)

    @system_errors()
    def image_hashes(self, *images: str) -> tuple[str, ...]:
        """The sha256 of each image, as ``delete_images`` takes them. Raises ``ClientError``."""
        return image_hashes(self._objects, images)

    def request(self, operation: Operation) -> EditRequest:
        """Request an edit; it is durable when this returns. Raises ``ClientError`` for one that is not possible."""
        try:
            return self._desk.submit(operation)
        except EditError as error:
            raise ClientError(str(error)) from None

    def wait_edit(self, request: EditRequest, timeout: float = EDIT_SECONDS) -> RequestState:
        """How a request ended. Raises ``ClientError`` after ``timeout`` seconds."""
        return wait_done(self._desk, request.id, timeout)

    def edit_state(self, request: EditRequest) -> RequestState:
        """How far a request is."""
        return self._desk.state(request.id)

    def rollback(self, version: int, *, force: bool = False, timeout: float = SWAP_SECONDS) -> RolledBack:
        """Serve an earlier version; waits for a running stack. Raises ``StoreError``, ``ClientError``.

        A client that was told ``updater_url`` but no store asks the updater, with ``token`` where that has one.
        """
        if self._only_http:
            url = self.connection.updater_url
            asked = ask_back(url, version, force=force, token=self._token)
            return replace(asked, served=self.wait_served(version, timeout))
        result = move_back(self._objects, version, force=force)
        if not self.connection.runs_here:
            return result
        return replace(result, served=self.wait_served(version, timeout))

    def wait_served(self, version: int, timeout: float = SWAP_SECONDS) -> int:
        """Wait until the running server serves ``version``. Raises ``ClientError`` after ``timeout`` seconds."""
        return wait_served(self.connection.updater_url, version, timeout)

    def report(self, version: int | None = None) -> VersionReport:
        """What the update that made a version did; without a number the current one's. Raises ``StoreError``."""
        return read_report(self._versions, self._number(version))

    def report_page(self, version: int | None = None) -> bytes:
        """The same as an HTML page with images."""
        return read_page(self._versions, self._number(version))

    @system_errors()
    def export(self, version: int, folder: Path | str) -> Manifest:
        """Write a version as a new folder that runs without this service. Raises ``StoreError``."""
        return export_version(self._versions, version, Path(folder), self.connection.settings.images.max_pixels)

    @system_errors()
    def backup(self, target: str, report: Report = lambda *_: None) -> Copied:
        """Make a folder or ``s3://bucket`` a copy of the store; the service may go on. Raises ``StoreError``."""
        return make_backup(self._objects, self.connection.other_store(target), report)

    @system_errors()
    def restore(self, source: str, report: Report = lambda *_: None) -> Copied:
        """Copy a backup into the store, which must be empty. Raises ``StoreError``."""
        return restore_backup(self.connection.backup(source), self.connection.store(), report)

    @cached_property
    def _objects(self) -> ObjectStore:
        return self.connection.existing_store()

    @cached_property
    def _versions(self) -> VersionStore:
        return VersionStore(self._objects)

    @cached_property
    def _desk(self) -> EditDesk:
        return EditDesk(self._objects, UpdateRecords(self._objects))

    def _number(self, version: int | None) -> int:
        if version is not None:
            return version
        pointer = self._versions.current()
        if pointer is None or pointer.version is None:
            raise ClientError("nothing has been learnt yet: drop at least two class folders (lucir drop FOLDER)")
        return pointer.version
