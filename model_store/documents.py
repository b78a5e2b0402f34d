"""Reading and writing the JSON documents beside a model, and what is said of one that cannot be trusted."""

from typing import TypeVar

from pydantic import ValidationError

from model_store.manifest import Document
from model_store.objects import StoreError

RESTORE = "restore it from a copy, or serve another version: lucir rollback VERSION"
"""The remedy for a damaged version."""

AnyDocument = TypeVar("AnyDocument", bound=Document)


class VersionNotFoundError(StoreError):
    """No complete version has this number."""


class CorruptVersionError(StoreError):
    """A document does not parse or a file is not the one its manifest records; the message names it."""


class Claim(Document):
    """``versions/<n>/claim.json``: which update may write below this number."""

    update_id: str


def encode(document: Document) -> bytes:
    """A document as it is stored: indented JSON, for people read it too."""
    return document.model_dump_json(indent=2).encode() + b"\n"


def parse(kind: type[AnyDocument], data: bytes, name: str, remedy: str) -> AnyDocument:
    """Parse a document; ``CorruptVersionError`` names it, the first thing wrong with it, and ``remedy``."""
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        problem = f"{place}: {first['msg']}" if place else first["msg"]
        raise CorruptVersionError(f"{name} is damaged or was edited ({problem}); {remedy}") from None
