"""Images in ``archive/`` that the served version has not learnt: of refused updates, or of versions rolled back from.

``updates/refused.json`` names, by class, the updates that the gate refused since the class was last learnt: what they
brought joins the next drop of that class. ``lucir relearn CLASS`` finds all that was ever archived for a class.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator

from handlers.bucket.edit_documents import Merge, Operation, Relearn, Remove, Rename
from handlers.bucket.layout import ARCHIVE
from handlers.bucket.seen_images import Learnt, short
from handlers.bucket.update_documents import Entry
from handlers.bucket.updates import UpdateRecords
from handlers.parallel import ordered_map
from handlers.updater.intake.uploaded_file import UploadedFile
from model_store.objects import ObjectStore, find

Refused = dict[str, tuple[str, ...]]
MOST_UPDATES = 50
"""Refused updates that are remembered for a class: the oldest are forgotten first, and found by ``lucir relearn``."""


def note_refused(records: UpdateRecords, update_id: str, classes: Iterable[str]) -> None:
    """The gate refused an update that brought images of these classes. May be repeated."""
    names = tuple(classes)

    def noted(before: Refused) -> Refused:
        earlier = {name: [one for one in before.get(name, ()) if one != update_id] for name in names}
        return {**before, **{name: (*earlier[name], update_id)[-MOST_UPDATES:] for name in names}}

    records.change_refused(noted)


def note_learnt(records: UpdateRecords, classes: Iterable[str]) -> None:
    """These classes were learnt and served, with what was left behind of them. May be repeated."""
    done = set(classes)
    records.change_refused(lambda before: {name: ids for name, ids in before.items() if name not in done})


def note_edited(records: UpdateRecords, operation: Operation) -> None:
    """What is left behind follows its class to a new name; of a removed class nothing joins a drop by itself."""

    def followed(before: Refused) -> Refused:
        after: Refused = {}
        for name, updates in before.items():
            if isinstance(operation, Remove) and name == operation.name:
                continue
            known = renamed(name, operation)
            after[known] = tuple(sorted({*after.get(known, ()), *updates}, key=int))
        return after

    records.change_refused(followed)


def joining(
    objects: ObjectStore, records: UpdateRecords, learnt: Learnt, names: Collection[str], room: int
) -> list[UploadedFile]:
    """What refused updates left of these classes and the served version has not learnt: at most ``room``, newest last.

    An original that is gone, or that a person has moved, is left out.
    """
    refused = {name: updates for name, updates in records.refused().items() if name in names}
    if not refused or room < 1:
        return []
    only = {update_id for updates in refused.values() for update_id in updates}
    chosen = [(name, entry) for name, update_id, entry in archived(records, only) if update_id in refused.get(name, ())]
    return list(_files(objects, _unlearnt(chosen, learnt)[-room:]))


def left_behind(
    objects: ObjectStore, records: UpdateRecords, learnt: Learnt, names: Collection[str]
) -> list[UploadedFile]:
    """All that was ever archived for these classes, under the name that they had or have, and is not learnt."""
    chosen = [
        (name if name in names else entry.class_name or "", entry)
        for name, _, entry in archived(records)
        if name in names or entry.class_name in names
    ]
    return list(_files(objects, _unlearnt(chosen, learnt)))


def unlearnt_hashes(records: UpdateRecords, learnt: Learnt, name: str) -> set[bytes]:
    """Shortened hashes of what the archive may have of a class besides what was learnt."""
    chosen = [(known, entry) for known, _, entry in archived(records) if known == name]
    return {short(entry.sha256) for _, entry in _unlearnt(chosen, learnt)}


def all_learnt(
    objects: ObjectStore, records: UpdateRecords, learnt: Learnt, tick: Callable[[], None]
) -> tuple[list[UploadedFile], dict[str, int]]:
    """The originals of all that a version has learnt, in the order they came, each under its class as it is now; and
    of how many images of a class there is none any more."""
    known: dict[bytes, list[Entry]] = defaultdict(list)
    for _, _, entry in archived(records):
        known[short(entry.sha256)].append(entry)
    rows = [(hash_.tobytes(), learnt.classes[label]) for hash_, label in zip(learnt.hashes, learnt.labels, strict=True)]

    def find(row: tuple[bytes, str]) -> tuple[str, UploadedFile | None]:
        return row[1], next(_files(objects, [(row[1], entry) for entry in reversed(known[row[0]])]), None)

    found: list[UploadedFile] = []
    missing: dict[str, int] = defaultdict(int)
    for name, file in ordered_map(find, rows):
        tick()
        if file is None:
            missing[name] += 1
        else:
            found.append(file)
    return found, dict(missing)


def _unlearnt(chosen: Iterable[tuple[str, Entry]], learnt: Learnt) -> list[tuple[str, Entry]]:
    by_target = {entry.target: (name, entry) for name, entry in chosen}
    known = learnt.find(entry.sha256 for _, entry in by_target.values())
    return [(name, entry) for name, entry in by_target.values() if entry.sha256 not in known]


def _files(objects: ObjectStore, chosen: Iterable[tuple[str, Entry]]) -> Iterator[UploadedFile]:
    for name, entry in chosen:
        info = find(objects, entry.target)
        if info is not None and info.size == entry.size:
            yield UploadedFile(info, name, entry.target.split("/", 3)[-1], name)


def archived(records: UpdateRecords, only: Collection[str] | None = None) -> Iterator[tuple[str, str, Entry]]:
    """(class as it is called now, update, entry) of all that updates planned to archive as images, oldest update first.

    Names follow the renames and merges since; ``only``: of these updates. Reads the documents of every update since the
    first of them. An entry's original may be gone, or have been archived by a later update.
    """
    found: list[tuple[str, str, Entry]] = []
    first = min(map(int, only), default=None) if only is not None else 0
    if first is None:
        return
    for update_id in records.ids():
        if int(update_id) < first:
            continue
        intent = records.intent(update_id)
        operation = intent.edit.operation if intent is not None and intent.edit is not None else None
        if isinstance(operation, Rename | Merge):
            done = records.done(update_id)
            if done is not None and done.result == "published":
                found = [(renamed(name, operation), one, entry) for name, one, entry in found]
        elif isinstance(operation, Relearn) and operation.refine:
            continue  # its plan names every image that earlier ones have named
        elif only is None or update_id in only:
            plan = records.plan(update_id)
            for entry in plan.of_role("train", "holdout") if plan is not None else ():
                if entry.class_name is not None and entry.target.startswith(ARCHIVE):
                    found.append((entry.class_name, update_id, entry))
    yield from found


def renamed(name: str, operation: Operation) -> str:
    """What a class is called after an edit."""
    if isinstance(operation, Rename) and name == operation.name:
        return operation.to
    if isinstance(operation, Merge) and name in operation.names:
        return operation.into
    return name
