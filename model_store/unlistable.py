"""What lies in a store and is not an object: named by a listing that goes on beside it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from model_store.objects import ObjectInfo, ObjectStore


@dataclass(frozen=True, slots=True)
class Unlistable:
    """A link, a pipe, or a folder that may not be entered (its key ends in ``/``), and what to do about it."""

    key: str
    reason: str


@runtime_checkable
class ListsEverything(Protocol):
    """A store in which something else than objects can lie."""

    def list_everything(self, prefix: str) -> Iterator[ObjectInfo | Unlistable]:
        """As ``list``, and in between what is not an object; a folder that cannot be read does not end it."""


def list_everything(objects: ObjectStore, prefix: str) -> Iterator[ObjectInfo | Unlistable]:
    """Of any store. Raises ``StoreError``."""
    return objects.list_everything(prefix) if isinstance(objects, ListsEverything) else objects.list(prefix)
