"""The object store that the settings name."""

import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from handlers.settings import S3Settings, Settings, SettingsError
from model_store.connect import open_store
from model_store.objects import ObjectStore, StoreError
from model_store.s3.credentials import Keys


def open_settings_store(settings: Settings) -> ObjectStore:
    """Open the store. Raises ``StoreError`` for a wrong address, ``SettingsError`` for an unreadable secret file."""
    return open_store(
        settings.store_url,
        endpoint=settings.s3.endpoint,
        region=settings.s3.region,
        keys=_current_keys(settings.s3),
        ca_file=settings.s3.ca_file,
        connect_timeout=settings.s3.connect_timeout_seconds,
        read_timeout=settings.s3.read_timeout_seconds,
    )


def _current_keys(s3: S3Settings) -> Keys:
    """Keys that are exchanged in their files hold from the next request on; while a file cannot be read, the last ones.

    Raises ``SettingsError`` now, and never later.
    """
    last = s3.credentials()

    def read() -> tuple[str | None, str | None]:
        nonlocal last
        with suppress(SettingsError):
            last = s3.credentials()
        return last

    return read


def open_existing_store(settings: Settings) -> ObjectStore:
    """The same for those who only read: a folder that is not there is a wrong name, not a new store."""
    folder = local_store(settings)
    if folder is not None and not folder.is_dir():
        raise StoreError(
            f"there is no store in {folder}: name the stack's folder with --data, or its --store (is it mounted?)"
        )
    return open_settings_store(settings)


def local_store(settings: Settings) -> Path | None:
    """The folder of a directory store; None for a bucket."""
    parts = urlsplit(settings.store_url)
    return Path(os.fsdecode(unquote_to_bytes(parts.path))) if parts.scheme == "file" else None


def incoming_place(settings: Settings) -> str:
    """Where class folders are dropped, as a person would type it: a folder's path or an ``s3://`` address."""
    folder = local_store(settings)
    return f"{settings.store_url.rstrip('/') if folder is None else folder}/incoming/"
