"""What a person asks for (``requests/<id>.json``), and what an update makes of it (``edit.json``, ``answer.json``)."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

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


class Relearn(Document):
    """Images that the archive keeps are learnt: those of some classes that the served version has not learnt (an update
    was refused, or rolled back), with another preset everything that it has learnt, or all that once more to refine its
    backbone."""

    kind: Literal["relearn"] = "relearn"
    classes: tuple[str, ...] = Field((), max_length=1000)
    preset: str | None = None
    """The preset that everything is learnt again with; then ``classes`` is empty."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Single values of that preset to change, as in ``learning.overrides``."""
    refine: bool = False
    """Refine the frozen backbone. The updater asks for this itself, when it has nothing else to do."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if bool(self.classes) + (self.preset is not None) + self.refine != 1:
            raise ValueError(
                "name either classes to learn from the archive, or a preset to learn everything again with"
            )
        if self.overrides and self.preset is None:
            raise ValueError("overrides change values of a preset: name that as well")
        return self

    def __str__(self) -> str:
        if self.refine:
            return "refine the backbone"
        if self.preset is not None:
            return f"learn everything again with preset {self.preset!r}"
        return f"learn {', '.join(map(repr, self.classes))} again from the archive"


Operation = Annotated[Rename | Merge | Remove | DeleteImages | Relearn, Field(discriminator="kind")]


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
    refused: str | None = None
    """Why nothing is done."""
    digests: tuple[str, ...] = ()
    """``image_digest`` (hex) of the images that leave the exemplars and the held-out images."""
    learnt: tuple[Sha256, ...] = ()
    """Of the images to delete, those that the version had learnt."""
    files: tuple[StoredFile, ...] = ()
    """Stored originals of what is removed."""
    erases: bool = False
    """Whether these files are deleted."""
    notes: tuple[str, ...] = ()
    """What the person who asked is to be told beside the outcome."""


class EditAnswer(StoredDocument):
    """``answer.json``: what the person who asked wants to know afterwards."""

    request: str
    operation: Operation
    version: int | None
    exemplars_removed: int = 0
    held_out_removed: int = 0
    files: tuple[str, ...] = ()
    """Keys of stored originals of what was removed, as far as they are still there."""
    deleted: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    """Keys whose content is not what was stored there: somebody else's now, and left alone."""
    versions: tuple[int, ...] = ()
    """Earlier versions that still hold such images."""
    notes: tuple[str, ...] = ()
