"""What a version changed against its parent, in words for people: the same on the page, over HTTP and in a terminal."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from handlers.bucket.edit_documents import Operation
from handlers.bucket.updates import UpdateRecords
from model_store.documents import CorruptVersionError, VersionNotFoundError
from model_store.manifest import Manifest
from model_store.versions import VersionStore

NAMES_SHOWN = 5
"""Class names that are written out; of more the number is told."""


def change_words(manifest: Manifest, parent: Manifest | None, edit: Operation | None) -> str:
    """One line, e.g. ``learnt 'owl' (24 images); 12 more of 'cat'``.

    parent: the version that this one started from, None for the first one or where it has been removed; edit: what a
    person asked for, for a version of the kind ``edited``.
    """
    if manifest.refinement is not None:
        return f"refined: {manifest.refinement}"
    if edit is not None:
        return str(edit)
    if manifest.kind == "edited":
        return "edited: the request is no longer stored"
    before = parent.counts.train if parent is not None else {}
    held = parent.counts.holdout if parent is not None else {}
    added = {
        name: manifest.counts.train.get(name, 0)
        + manifest.counts.holdout.get(name, 0)
        - before.get(name, 0)
        - held.get(name, 0)
        for name in (*manifest.new_classes, *manifest.updated_classes)
    }
    verb = "imprinted" if manifest.kind == "provisional" else "learnt"
    parts = []
    if manifest.new_classes:
        parts.append(f"{verb} {_listed(manifest.new_classes, added, '{images}')}")
    if manifest.updated_classes:
        known = parent is not None
        parts.append(f"{verb} more of {_listed(manifest.updated_classes, added if known else {}, '{images} more')}")
    return "; ".join(parts) or "learnt again without new images"


def changes_of(manifest: Manifest, versions: VersionStore, records: UpdateRecords) -> str:
    """The same for a version of a store, which is asked for the rest. Raises ``StoreError`` when that is away.

    A parent that was removed by the retention policy, or any of the two that is damaged, only makes the words vaguer.
    """
    parent, edit = None, None
    with suppress(VersionNotFoundError, CorruptVersionError):
        parent = versions.manifest(manifest.parent) if manifest.parent is not None else None
    with suppress(CorruptVersionError):
        asked = manifest.kind == "edited" or not manifest.new_classes
        intent = records.intent(manifest.update_id) if asked else None
        edit = intent.edit.operation if intent is not None and intent.edit is not None else None
    return change_words(manifest, parent, edit)


def _listed(names: Sequence[str], images: Mapping[str, int], form: str) -> str:
    """Quoted names with their images, the first few of them."""
    shown = [
        f"{name!r} ({form.format(images=_images(images[name]))})" if images.get(name, 0) > 0 else repr(name)
        for name in names[:NAMES_SHOWN]
    ]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more class{'es' if rest > 1 else ''}" if rest else "")


def _images(count: int) -> str:
    return f"{count} image{'s' if count != 1 else ''}"
