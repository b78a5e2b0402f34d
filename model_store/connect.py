"""From the address of a store to the store, and whether two addresses are of places apart."""

import os
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from model_store.directory.directory_store import DirectoryStore
from model_store.objects import ObjectStore, StoreError
from model_store.s3.credentials import Keys, no_keys


def open_store(
    url: str,
    *,
    endpoint: str = "http://127.0.0.1:9000",
    region: str = "us-east-1",
    keys: Keys = no_keys,
    ca_file: Path | None = None,
    connect_timeout: float = 5.0,
    read_timeout: float = 30.0,
) -> ObjectStore:
    """Open ``file:///path`` or ``s3://bucket``; the options are those of ``S3Store`` and unused for a folder.

    Raises ``StoreError`` for any other address; whether the store answers, its ``check`` tells.
    """
    parts = urlsplit(url)
    if (folder := _folder(url)) is not None:
        return DirectoryStore(folder)
    if parts.scheme == "s3" and parts.netloc and parts.path in {"", "/"} and not parts.query:
        from model_store.s3.s3_store import (
            S3Store,  # the SDK takes half a second to import: only who needs it waits for it
        )

        return S3Store(
            parts.netloc,
            endpoint=endpoint,
            region=region,
            keys=keys,
            ca_file=ca_file,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
        )
    raise StoreError(
        f"{url.rpartition('@')[2]!r} is not a store: use file:///path or s3://bucket (a bucket, not a folder)"
    )


def check_apart(store: str, other: str) -> None:
    """Raise ``StoreError`` where two addresses lead to one place, or to a folder in the other one, by whatever path.

    Neither needs to be there. Two buckets are taken to be of one server.
    """
    here, there = _folder(store), _folder(other)
    if here is not None and there is not None:
        together = _lies_in(here, there) or _lies_in(there, here)
    else:
        together = here is there and urlsplit(store).netloc == urlsplit(other).netloc
    if together:
        raise StoreError(f"{other} is {store} itself, lies in it, or holds it: name a place apart from it")


def _folder(url: str) -> Path | None:
    """That of ``file:///path``; None for any other address."""
    parts = urlsplit(url)
    is_folder = parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path.startswith("/")
    return Path(os.fsdecode(unquote_to_bytes(parts.path))) if is_folder else None


def _lies_in(folder: Path, outer: Path) -> bool:
    """Whether it is the other one or lies below it: by its real path, or by another name of a folder."""
    real, around = Path(os.path.realpath(folder)), Path(os.path.realpath(outer))
    return any(one == around or _is_same(one, around) for one in (real, *real.parents))


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there
        return False
