"""Which of the ready folders one update takes up, and how many images of each."""

from collections.abc import Sequence

from handlers.bucket.update_documents import FolderIntent
from handlers.updater.intake.listing import Folder


def select(ready: Sequence[Folder], maximum: int, *, first: bool) -> dict[str, FolderIntent]:
    """Whole folders, oldest drop first, while they fit into ``maximum`` images; the rest stays for the next update.

    A folder that does not fit by itself is learnt in parts. The first phase needs two classes, so that two folders
    share the room then.
    """
    needed = 2 if first else 1
    room = maximum
    chosen: dict[str, FolderIntent] = {}
    classes: set[str] = set()
    for folder in sorted(ready, key=lambda folder: (folder.newest, folder.name)):
        count = max(1, folder.images + folder.others)
        missing = max(0, needed - len(classes))
        limit = count if count <= room and not missing else min(count, max(1, maximum // needed))
        if (limit < count or limit > room) and not missing:
            continue
        chosen[folder.name] = FolderIntent(fingerprint=folder.fingerprint, limit=limit, marked=folder.marked)
        room -= limit
        if folder.class_name is not None and folder.images:
            classes.add(folder.class_name)
    return chosen
