"""Reading and writing the JSON documents beside a model, and what is said of one that cannot be trusted."""

import json
from datetime import datetime
from typing import TypeVar

from pydantic import Field, ValidationError

from model_store.manifest import Document, Manifest, StoredDocument
from model_store.objects import StoreError

RESTORE = "restore it from a copy, or serve another version: lucir rollback VERSION"
"""The remedy for a damaged version."""

AnyDocument = TypeVar("AnyDocument", bound=Document)


class VersionNotFoundError(StoreError):
    """No complete version has this number."""


class CorruptVersionError(StoreError):
    """A document does not parse or a file is not the one its manifest records; the message names it."""


class NewerFormatError(StoreError):
    """A document was written by a later release, whose meaning this one cannot know: nothing is wrong with it."""


class Claim(StoredDocument):
    """``versions/<n>/claim.json``: which update may write below this number, and what it has decided to be there."""

    update_id: str
    epoch: int | None = None
    """Of the updater that claimed it: the term of its lease."""
    attempt: str | None = None
    """Another for every attempt to publish; None in claims of earlier releases."""
    manifest: Manifest | None = None
    """The seal: from now on the content of the version is fixed, whichever process completes it."""
    folder: str | None = None
    """Where the sealed files lie until they are moved to their names; None where they are there already."""
    staged: bool = False
    """Whether the manifest lies in the attempt's folder, to be moved to its name; in claims of earlier releases not."""


class Removal(Document):
    """One version: what it was, why it went, and the names of its files."""

    version: int = Field(ge=1)
    update_id: str
    kind: str
    reason: str
    removed_at: datetime
    size: int = Field(ge=0)
    files: tuple[str, ...]


class RemovalLog(StoredDocument):
    """``versions/removed.json``; ``pending`` are under way, ``removed`` is ordered by time."""

    pending: tuple[Removal, ...] = ()
    removed: tuple[Removal, ...] = ()
    highest: int = Field(0, ge=0)
    """Of all numbers below which anything was removed, however long ago, half-written versions among them."""

    @property
    def numbers(self) -> set[int]:
        """What it remembers of numbers that are not to be given again."""
        return {self.highest, *(one.version for one in (*self.pending, *self.removed))}


def encode(document: Document) -> bytes:
    """A document as it is stored: indented JSON, for people read it too."""
    return document.model_dump_json(indent=2).encode() + b"\n"


def parse(kind: type[AnyDocument], data: bytes, name: str, remedy: str) -> AnyDocument:
    """Parse a document.

    Raises ``NewerFormatError`` for one of a later release, else ``CorruptVersionError``, which names the document, the
    first thing wrong with it, and ``remedy``.
    """
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        known = kind.HIGHEST if issubclass(kind, StoredDocument) else 0
        if (number := _format(data)) > known:
            raise NewerFormatError(
                f"{name} was written by a newer lucir (format {number}, this one knows {known}): upgrade this one, or "
                "see docs/upgrade.md for the way back"
            ) from None
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        problem = f"{place}: {first['msg']}" if place else first["msg"]
        raise CorruptVersionError(f"{name} is damaged or was edited ({problem}); {remedy}") from None


def _format(data: bytes) -> int:
    """The format that a document says it has; 0 where it says nothing of the kind."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return 0
    number = document.get("format") if isinstance(document, dict) else None
    return number if isinstance(number, int) else 0
