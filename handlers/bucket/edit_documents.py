"""What a person asks for (``requests/<id>.json``), and what an update makes of it (``edit.json``, ``answer.json``)."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from model_store.manifest import Document, Sha256, StoredDocument

EDIT, ANSWER = "edit.json", "answer.json"
MOST_IMAGES = 10_000
"""Images that one request may name."""


class Rename(Document):
    """A known class gets another name."""

    kind: Literal["rename"] = "rename"
    name: str
    to: str

    def __str__(self) -> str:
        return f"rename {self.name!r} to {self.to!r}"


class Merge(Document):
    """Known classes become one; ``into`` is one of them, another known class, or a new name."""

    kind: Literal["merge"] = "merge"
    names: tuple[str, ...] = Field(min_length=1, max_length=1000)
    into: str

    def __str__(self) -> str:
        return f"merge {', '.join(map(repr, self.names))} into {self.into!r}"


class Remove(Document):
    """A class is forgotten."""

    kind: Literal["remove"] = "remove"
    name: str
    delete_originals: bool = False
    """Whether its stored originals are deleted as well."""

    def __str__(self) -> str:
        return f"remove {self.name!r}" + (" and its originals" if self.delete_originals else "")


class DeleteImages(Document):
    """Images are deleted wherever the store keeps them, and no version from now on holds them."""

    kind: Literal["delete_images"] = "delete_images"
    hashes: tuple[Sha256, ...] = Field(min_length=1, max_length=MOST_IMAGES)

    def __str__(self) -> str:
        return f"delete {len(self.hashes)} image{'s' if len(self.hashes) > 1 else ''}"


Operation = Annotated[Rename | Merge | Remove | DeleteImages, Field(discriminator="kind")]


class EditRequest(StoredDocument):
    """``requests/<id>.json``: it lies there until the updater has ended it."""

    id: str = Field(pattern=r"^[0-9]{6,}-[0-9]{13}-[0-9a-f]{8}$")
    """The newest update when it was made, milliseconds since the epoch, something random: in this order they run."""
    created_at: datetime
    operation: Operation


class StoredFile(Document):
    """An object below ``archive/`` or ``rejected/``."""

    key: str
    sha256: Sha256
    size: int


class EditPlan(StoredDocument):
    """``edit.json``: what the request means for the version it was applied to."""

    operation: Operation
    refused: str | None
    """Why nothing is done."""
    digests: tuple[str, ...]
    """``image_digest`` (hex) of the images that leave the exemplars and the held-out images."""
    learnt: tuple[Sha256, ...]
    """Of the images to delete, those that the version had learnt."""
    files: tuple[StoredFile, ...]
    """Stored originals of what is removed."""
    erases: bool
    """Whether these files are deleted."""


class EditAnswer(StoredDocument):
    """``answer.json``: what the person who asked wants to know afterwards."""

    request: str
    operation: Operation
    version: int | None
    exemplars_removed: int
    held_out_removed: int
    files: tuple[str, ...]
    """Keys of stored originals of what was removed, as far as they are still there."""
    deleted: tuple[str, ...]
    left: tuple[str, ...]
    """Keys whose content is not what was stored there: somebody else's now, and left alone."""
    versions: tuple[int, ...]
    """Earlier versions that still hold such images."""
    notes: tuple[str, ...]
