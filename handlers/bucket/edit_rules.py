"""Whether an operation can be done on a version, and which classes it makes of which."""

import unicodedata
from typing import assert_never

from handlers.bucket.dropped_names import class_name
from handlers.bucket.edit_documents import DeleteImages, Merge, Operation, Relearn, Remove, Rename
from lucir_core.config.phase_config import load_preset
from lucir_core.edit.regroup import Regrouping, merging, removal, renaming, unchanged
from lucir_core.errors import ConfigError, DataError

FEWEST_CLASSES = 2


class EditError(ValueError):
    """What was asked for cannot be done; the message says why and what can."""


def checked(operation: Operation, classes: tuple[str, ...]) -> Operation:
    """The operation with its names as the service writes them. Raises ``EditError``."""
    operation = _normalised(operation, classes)
    if isinstance(operation, Relearn):
        _check_relearn(operation, classes)
        return operation
    if not classes:
        raise EditError("nothing has been learnt yet: there is no class to change")
    try:
        left = regrouping(operation, classes).classes
    except DataError as error:
        raise EditError(_with_remedy(str(error), operation, classes)) from None
    if len(left) < FEWEST_CLASSES:
        raise EditError(
            f"only the class {left[0]!r} would be left, and a classifier needs at least {FEWEST_CLASSES}: "
            "drop images of another class first"
        )
    return operation


def regrouping(operation: Operation, classes: tuple[str, ...]) -> Regrouping:
    """What an operation makes of the classes. Raises ``DataError``."""
    if isinstance(operation, Rename):
        return renaming(classes, operation.name, operation.to)
    if isinstance(operation, Merge):
        return merging(classes, operation.names, operation.into)
    if isinstance(operation, Remove):
        return removal(classes, operation.name)
    if isinstance(operation, DeleteImages | Relearn):
        return unchanged(classes)
    assert_never(operation)


def _check_relearn(operation: Relearn, classes: tuple[str, ...]) -> None:
    """Classes may be unknown to the served version: an update may have been refused for them. Raises ``EditError``."""
    if operation.preset is None:
        return
    if not classes:
        raise EditError(
            f"nothing has been learnt yet that could be learnt again: start with lucir up --preset {operation.preset}"
        )
    try:
        load_preset(operation.preset, operation.overrides)
    except ConfigError as error:
        raise EditError(str(error)) from None


def _normalised(operation: Operation, classes: tuple[str, ...]) -> Operation:
    if isinstance(operation, Rename):
        return Rename(name=_known(operation.name), to=_new_name(operation.to))
    if isinstance(operation, Merge):
        names = tuple(dict.fromkeys(map(_known, operation.names)))
        return Merge(names=names, into=_new_name(operation.into))
    if isinstance(operation, Remove):
        return operation.model_copy(update={"name": _known(operation.name)})
    if isinstance(operation, Relearn):
        # A class that was learnt under a name which none may get any more is learnt again all the same.
        asked = (_known(name) if _known(name) in classes else _new_name(name) for name in operation.classes)
        return operation.model_copy(update={"classes": tuple(dict.fromkeys(asked))})
    return operation.model_copy(update={"hashes": tuple(dict.fromkeys(operation.hashes))})


def _known(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _new_name(name: str) -> str:
    """The rules of dropped folders."""
    try:
        return class_name(name)
    except ValueError as error:
        raise EditError(str(error)) from None


def _with_remedy(message: str, operation: Operation, classes: tuple[str, ...]) -> str:
    if isinstance(operation, Rename) and operation.to in classes and operation.name in classes:
        return f"{message} (lucir class merge {operation.name} --into {operation.to})"
    return message
