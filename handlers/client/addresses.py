"""Where a service is: found by its data folder, or told by address; and plain HTTP to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from handlers.client.errors import ClientError
from handlers.setting_values import load_settings
from handlers.settings import S3Settings, Settings
from handlers.stack.folder import StackRecord, find_stack
from handlers.store import open_existing_store, open_settings_store
from model_store.objects import ObjectStore

TIMEOUT = httpx.Timeout(60.0, connect=5.0)


@dataclass(frozen=True)
class Connection:
    """``record`` is the stack that runs on the data folder, if one does; the addresses have no slash at the end."""

    settings: Settings
    record: StackRecord | None
    inference_url: str
    updater_url: str

    def existing_store(self) -> ObjectStore:
        """The store, for those who make none. Raises ``StoreError`` for a folder that is not there."""
        return open_existing_store(self.settings)

    def store(self) -> ObjectStore:
        """The store; a folder is made by the first write. Raises ``StoreError`` for a wrong address."""
        return open_settings_store(self.settings)

    @property
    def runs_here(self) -> bool:
        """Whether the stack that runs on the data folder works on this store."""
        return self.record is not None and self.record.store == self.settings.store_url

    def who_works(self, done: str) -> str:
        """Who takes up what was put into the store, for a person to read. ``done``: what happens to it."""
        if self.runs_here:
            return "the updater takes it up within seconds"
        if self.settings.store:
            return f"it will be {done} by the updater of {self.settings.store_url}: no stack here works on that store"
        return f"no stack is running on {self.settings.data}: it will be {done} when `lucir up` runs"

    def other_store(self, place: str) -> ObjectStore:
        """A folder, or a bucket of the same server, besides the service's own. Raises ``StoreError``."""
        url = place if place.startswith(("s3://", "file:///")) else Path(place).absolute().as_uri()
        return open_settings_store(self.settings.model_copy(update={"store": url}))

    def status(self) -> dict[str, Any]:
        """The updater's ``/api/status``. Raises ``ClientError``."""
        return get_json(self.updater_url, "/api/status")


def locate(
    data: Path | None = None,
    store: str | None = None,
    config: Path | None = None,
    *,
    url: str | None = None,
    updater_url: str | None = None,
) -> Connection:
    """Addresses and store: as told, else those of the stack that runs on ``data``, else what the settings say.

    Raises ``SettingsError``.
    """
    told: Mapping[str, Any] = {"data": data, "store": store}
    settings = load_settings(config, {name: value for name, value in told.items() if value is not None})
    record = find_stack(settings)
    if record is not None and store is None:
        s3 = S3Settings.model_validate({**settings.s3.model_dump(), **record.s3})
        settings = settings.model_copy(update={"store": record.store, "s3": s3})
    inference = url or (record.inference_url if record else settings.inference_url)
    updater = updater_url or (record.updater_url if record else settings.updater_url)
    return Connection(settings, record, inference.rstrip("/"), updater.rstrip("/"))


def open_http(url: str) -> httpx.Client:
    """HTTP to one address, without proxies of the environment. Raises ``ClientError``."""
    try:
        return httpx.Client(base_url=url, timeout=TIMEOUT, trust_env=False)
    except httpx.InvalidURL as error:
        raise ClientError(f"{url} is not an address: {error}; write http://host:port") from None


def no_answer(url: str, error: httpx.HTTPError) -> ClientError:
    """What to say when nobody answers."""
    if isinstance(error, httpx.UnsupportedProtocol):
        return ClientError(f"{url} is not an address: write http://host:port")
    if isinstance(error, httpx.ConnectError):
        return ClientError(
            f"no stack answers at {url}: start one with `lucir up`, or name the running one's folder with --data"
        )
    return ClientError(f"the stack at {url} did not answer: {error or type(error).__name__}; see its log")


def get_json(url: str, path: str) -> dict[str, Any]:
    """A JSON document of the updater. Raises ``ClientError``."""
    try:
        with open_http(url) as session:
            answer = session.get(path)
    except httpx.HTTPError as error:
        raise no_answer(url, error) from None
    if not answer.is_success:
        raise ClientError(f"{url}{path} answered {answer.status_code}: {answer.text[:200]}; is this the updater?")
    try:
        document: dict[str, Any] = answer.json()
    except ValueError:
        raise ClientError(f"{url}{path} answered without JSON; is this the updater's address?") from None
    return document
