"""From the address of a store to the store."""

import os
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from model_store.directory.directory_store import DirectoryStore
from model_store.objects import ObjectStore, StoreError


def open_store(
    url: str,
    *,
    endpoint: str = "http://127.0.0.1:9000",
    region: str = "us-east-1",
    access_key: str | None = None,
    secret_key: str | None = None,
    ca_file: Path | None = None,
    connect_timeout: float = 5.0,
    read_timeout: float = 30.0,
) -> ObjectStore:
    """Open ``file:///path`` or ``s3://bucket``; the options are those of ``S3Store`` and unused for a folder.

    Raises ``StoreError`` for any other address; whether the store answers, its ``check`` tells.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path.startswith("/"):
        return DirectoryStore(Path(os.fsdecode(unquote_to_bytes(parts.path))))
    if parts.scheme == "s3" and parts.netloc and parts.path in {"", "/"} and not parts.query:
        from model_store.s3.s3_store import (
            S3Store,  # the SDK takes half a second to import: only who needs it waits for it
        )

        return S3Store(
            parts.netloc,
            endpoint=endpoint,
            region=region,
            access_key=access_key,
            secret_key=secret_key,
            ca_file=ca_file,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
        )
    raise StoreError(
        f"{url.rpartition('@')[2]!r} is not a store: use file:///path or s3://bucket (a bucket, not a folder)"
    )
