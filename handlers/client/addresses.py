"""Where a service is: found by its data folder, or told by address; and plain HTTP to it."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from handlers.client.answers import document_of, in_words
from handlers.client.errors import ClientError, system_errors
from handlers.client.visible import visible
from handlers.setting_values import load_settings
from handlers.settings import S3Settings, Settings, SettingsError
from handlers.stack.folder import StackRecord, find_stack
from handlers.store import open_existing_store, open_settings_store
from model_store.connect import check_apart
from model_store.objects import ObjectStore, StoreError

TIMEOUT = httpx.Timeout(60.0, connect=5.0)
STATUS_PATH = "/api/status"
ALWAYS = ("served_version", "current_version", "server_error")
"""Fields by which the status of an updater or a follower is told from the JSON of another server."""
SET_KEY = (
    "give one with LUCIR_SERVING__API_KEY, or a file that holds one with LUCIR_SERVING__API_KEY_FILE "
    "(serving.api_key_file in --config)"
)


@dataclass(frozen=True)
class Connection:
    """``record`` is the stack that runs on the data folder, if one does; the addresses have no slash at the end."""

    settings: Settings
    record: StackRecord | None
    inference_url: str
    updater_url: str

    @system_errors()
    def existing_store(self) -> ObjectStore:
        """The store, for those who make none. Raises ``StoreError`` for a folder that is not there."""
        return open_existing_store(self.settings)

    @system_errors()
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
        """A folder, or a bucket of the same server, apart from the service's own. Raises ``StoreError``."""
        url = self._apart(place)
        return open_settings_store(self.settings.model_copy(update={"store": url}))

    @system_errors()
    def backup(self, place: str) -> ObjectStore:
        """The same, to be read: a folder that is not there is not made. Raises ``StoreError``."""
        url = self._apart(place)
        if not place.startswith(("s3://", "file:///")) and not Path(place).is_dir():
            raise StoreError(f"{visible(place)} is not a folder: name what `lucir backup` wrote (is it mounted?)")
        return open_settings_store(self.settings.model_copy(update={"store": url}))

    def _apart(self, place: str) -> str:
        """The address of another store, looked at before its folder is made. Raises ``StoreError``."""
        url = place if place.startswith(("s3://", "file:///")) else Path(place).absolute().as_uri()
        check_apart(self.settings.store_url, url)
        return url

    def status(self) -> dict[str, Any]:
        """The updater's ``/api/status``. Raises ``ClientError``."""
        return get_status(self.updater_url)

    def authorization(self) -> dict[str, str]:
        """The headers of a prediction: with a key of the settings, else of the file of the stack that is asked.

        Raises ``SettingsError`` for a file that the settings name and that cannot be read.
        """
        told = self.settings.serving.authorization()
        if told or self._key_file is None:
            return told
        with suppress(SettingsError):  # perhaps not this user's to read: ``key_remedy`` says so where a key is needed
            return self.settings.serving.model_copy(update={"api_key_file": self._key_file}).authorization()
        return {}

    def key_remedy(self) -> str:
        """What helps where predictions are answered 401."""
        if self.settings.serving.authorization():
            return f"the API key of your settings is not one of them: {SET_KEY}"
        if self._key_file is not None:
            return f"the stack's keys are in {self._key_file}, which this user must be able to read; else {SET_KEY}"
        return SET_KEY

    @property
    def _key_file(self) -> Path | None:
        """That of the stack on the data folder, where predictions are asked of it: no other server gets its key."""
        asked = self.record is not None and self.record.inference_url.rstrip("/") == self.inference_url
        return self.record.api_key_file if self.record is not None and asked else None


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
        address = httpx.URL(url)
        address.host.encode("idna")  # the system refuses a name that this refuses, and not with an ``OSError``
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ClientError(f"{visible(url)} is not an address: {error}; write http://host:port") from None
    if not address.host:
        raise ClientError(f"{visible(url)} is not an address: write http://host:port")
    return httpx.Client(base_url=address, timeout=TIMEOUT, trust_env=False)


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise ``ClientError`` for a key or a token that no header can carry."""
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            raise ClientError(
                f"the key or token for the header {name} has other letters than ASCII: choose another one"
            )


def no_answer(url: str, error: httpx.HTTPError) -> ClientError:
    """What to say when nobody answers."""
    if isinstance(error, httpx.UnsupportedProtocol):
        return ClientError(f"{url} is not an address: write http://host:port")
    if isinstance(error, httpx.ConnectError):
        return ClientError(
            f"no stack answers at {url}: start one with `lucir up`, or name the running one's folder with --data"
        )
    return ClientError(f"the stack at {url} did not answer: {error or type(error).__name__}; see its log")


def get_status(url: str) -> dict[str, Any]:
    """``/api/status`` of an updater or a follower. Raises ``ClientError``."""
    try:
        with open_http(url) as session:
            answer = session.get(STATUS_PATH)
    except httpx.HTTPError as error:
        raise no_answer(url, error) from None
    document = document_of(answer)
    if answer.is_success and all(name in document for name in ALWAYS):
        return document
    said = f"answered {answer.status_code} without a status" if answer.is_success else in_words(answer)
    raise ClientError(f"{url}{STATUS_PATH}: {said}; is this the updater's address?")
