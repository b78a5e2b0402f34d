"""What lies in a store and is not an object: named by a listing that goes on beside it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from model_store.objects import ObjectInfo, ObjectStore


@dataclass(frozen=True, slots=True)
class Unlistable:
    """A link, a pipe, or a folder that may not be entered (its key ends in ``/``), and what to do about it."""

    key: str
    reason: str


def list_everything(objects: ObjectStore, prefix: str) -> Iterator[ObjectInfo | Unlistable]:
    """As ``list``; where something else than objects can lie, what is not an object in between. Raises ``StoreError``.

    A folder that cannot be read does not end it.
    """
    of_store: Callable[[str], Iterator[ObjectInfo | Unlistable]] = getattr(objects, "list_everything", objects.list)
    return of_store(prefix)
