"""The running service as a client sees it: its addresses, its answers, and what to say when there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from handlers.cli.errors import CommandError
from handlers.cli.options import settings_from
from handlers.stack.folder import find_stack

if TYPE_CHECKING:
    from pathlib import Path

    from handlers.settings import Settings
    from handlers.stack.folder import StackRecord
    from model_store.objects import ObjectStore

TIMEOUT = httpx.Timeout(60.0, connect=5.0)


def locate(
    data: Path | None, store: str | None = None, config: Path | None = None
) -> tuple[Settings, StackRecord | None]:
    """The settings, with the running stack's store where none is named, and the stack that runs on the data folder."""
    from handlers.settings import S3Settings

    settings = settings_from(config, {"data": data, "store": store})
    record = find_stack(settings)
    if record is not None and store is None:
        s3 = S3Settings.model_validate({**settings.s3.model_dump(), **record.s3})
        settings = settings.model_copy(update={"store": record.store, "s3": s3})
    return settings, record


def existing_store(settings: Settings) -> ObjectStore:
    """The store, for a command that makes none."""
    from handlers.store import open_existing_store

    return open_existing_store(settings)


def inference_url(settings: Settings, record: StackRecord | None, url: str | None) -> str:
    """Where to POST images: as told, else the running stack, else what the settings say."""
    return (url or (record.inference_url if record else settings.inference_url)).rstrip("/")


def updater_url(settings: Settings, record: StackRecord | None, url: str | None = None) -> str:
    """Where the updater answers: as told, else the running stack, else what the settings say."""
    return (url or (record.updater_url if record else settings.updater_url)).rstrip("/")


def client(url: str) -> httpx.Client:
    """A client for one address, without proxies of the environment."""
    try:
        return httpx.Client(base_url=url, timeout=TIMEOUT, trust_env=False)
    except httpx.InvalidURL as error:
        raise CommandError(f"{url} is no address: {error}") from None


def no_answer(url: str, error: httpx.HTTPError) -> CommandError:
    """What to say when nobody answers."""
    if isinstance(error, httpx.UnsupportedProtocol):
        return CommandError(f"{url} is no address: write http://host:port")
    if isinstance(error, httpx.ConnectError):
        return CommandError(
            f"no stack answers at {url}: start one with `lucir up`, or name the running one's folder with --data"
        )
    return CommandError(f"the stack at {url} did not answer: {error or type(error).__name__}")


def get_json(url: str, path: str) -> dict[str, Any]:
    """A JSON document of the updater. Raises ``CommandError``."""
    try:
        with client(url) as session:
            answer = session.get(path)
    except httpx.HTTPError as error:
        raise no_answer(url, error) from None
    if not answer.is_success:
        raise CommandError(f"{url}{path} answered {answer.status_code}: {answer.text[:200]}")
    document: dict[str, Any] = answer.json()
    return document
