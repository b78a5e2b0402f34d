"""A bucket of a real MinIO, as somebody looks at it from outside."""

import hashlib
import io

from minio import Minio

from handlers.bucket.update_documents import Done
from model_store.objects import ObjectNotFoundError, ObjectStore

BUCKET = "drops"


def put(client: Minio, name: str, files: list[bytes], first: int = 0) -> list[str]:
    """Upload a folder's files; return their SHA-256."""
    for index, data in enumerate(files, first):
        client.put_object(BUCKET, f"incoming/{name}/{index}.png", io.BytesIO(data), len(data))
    return [hashlib.sha256(data).hexdigest() for data in files]


def ended(objects: ObjectStore, update: str) -> Done | None:
    """How the update ended, if it has."""
    try:
        return Done.model_validate_json(objects.read(f"updates/{update}/done.json"))
    except ObjectNotFoundError:
        return None


def contents(objects: ObjectStore, prefix: str) -> list[str]:
    """The SHA-256 of every file below a prefix, sorted."""
    keys = [info.key for info in objects.list(prefix) if not info.key.endswith(".reason.json")]
    return sorted(hashlib.sha256(objects.read(key)).hexdigest() for key in keys)
