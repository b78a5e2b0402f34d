"""From what was read to what is learnt, held out, rejected or left to wait: pure rules over a whole drop."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from handlers.settings import UpdaterSettings
from handlers.updater.intake.uploaded_file import UploadedFile


@dataclass(frozen=True)
class Rules:
    """What the decision depends on besides the drop itself."""

    settings: UpdaterSettings
    known: Collection[str]
    """Classes of the served version; empty before the first."""
    learnt: Mapping[str, str]
    """sha256 -> class, for those of the files that were learnt before."""
    learnt_counts: Mapping[str, int]
    """How many images were learnt as each class."""
    marked: Collection[str]
    """Classes with a ``_READY`` marker."""
    own_evaluation: Collection[str]
    """Classes with test images of the user's own: nothing of them is held out."""
    held_already: Mapping[str, int]
    """Images per class that earlier versions hold out."""
    evaluation: Mapping[str, str]
    """sha256 -> key, for those of the files that lie below ``evaluation/``."""
    leaves_out: bool = False
    """Whether accuracy comes from leaving each learnt image out in turn (a frozen backbone): then none is held out."""


def decide(files: Sequence[UploadedFile], rules: Rules) -> None:
    """Give each file that was read its role, or leave it to wait."""
    _reject_duplicates(files, rules)
    usable: dict[str, list[UploadedFile]] = defaultdict(list)
    for file in files:
        if file.is_image and file.class_name is not None:
            usable[file.class_name].append(file)
    waiting = _too_few(usable, rules)
    if not rules.known and len(usable) - len(waiting) < 2:
        waiting = set(usable)
    for name, images in usable.items():
        if name not in waiting:
            _give_roles(images, name, rules)
    # What waits in the archive needs no marker: alone in its folder, that would let a later drop count as complete.
    dropped = {name for name in waiting if any(not file.is_archived for file in usable[name])}
    for file in files:
        if file.reason is not None:
            file.role = "rejected"
        elif file.is_marker and file.class_name not in dropped:
            file.role = "marker"


def _reject_duplicates(files: Sequence[UploadedFile], rules: Rules) -> None:
    """Reasons against images that are usable by themselves."""
    classes: dict[str, set[str]] = defaultdict(set)
    for file in files:
        if file.is_image and file.class_name is not None:
            classes[file.sha256].add(file.class_name)
    first: dict[str, str] = {}
    left = dict(rules.learnt_counts)
    for file in files:
        sha = file.sha256
        if not file.is_image:
            continue
        if sha in rules.learnt and (reason := _against_learnt(file, rules.learnt[sha], left)) is not None:
            file.reason = reason
        elif sha in rules.evaluation:
            file.reason = f"exactly this image is {rules.evaluation[sha]}: what measures accuracy is never trained on"
        elif len(classes[sha]) > 1:
            names = ", ".join(repr(name) for name in sorted(classes[sha]))
            file.reason = f"the same image lies under more than one class: {names}; drop it under one of them"
        elif sha in first:
            file.reason = f"an exact duplicate of {first[sha]}"
        else:
            first[sha] = file.key


def _against_learnt(file: UploadedFile, known_as: str, left: dict[str, int]) -> str | None:
    """The reason against an image that was learnt before; None for a correction, which leaves its earlier class.

    left: images of each class but for those that were corrected so far; one that leaves is taken off.
    """
    reason = f"exactly this image was learnt before, as {known_as!r}"
    if known_as == file.class_name or not file.corrects:
        return reason if known_as == file.class_name else f"{reason} (to change that: lucir correct)"
    if left[known_as] < 2:
        return f"{reason}, and is the last one of that class: rename or merge the class instead (lucir class)"
    left[known_as] -= 1
    return None


def _too_few(usable: dict[str, list[UploadedFile]], rules: Rules) -> set[str]:
    """Classes left to wait for more images. A marked class does not wait: with one image a new one is rejected."""
    waiting = set()
    for name, images in list(usable.items()):
        if name not in rules.marked and len(images) < rules.settings.least_images(frozen=rules.leaves_out):
            waiting.add(name)
        elif name not in rules.known and len(images) < 2 and not rules.leaves_out:
            for file in images:
                file.reason = "a new class needs at least two usable images: one to learn from, one to test with"
            del usable[name]
    return waiting


def _give_roles(images: Sequence[UploadedFile], name: str, rules: Rules) -> None:
    room = rules.settings.evaluation_images_per_class - rules.held_already.get(name, 0)
    none = rules.leaves_out or name in rules.own_evaluation
    out = held_out([file.sha256 for file in images], rules.settings.evaluation_share, 0 if none else room)
    for file in images:
        file.role = "holdout" if file.sha256 in out else "train"


def held_out(hashes: Sequence[str], share: float, room: int) -> frozenset[str]:
    """The sha256 hashes of the images to hold out: about ``share`` of them, at most ``room``.

    Of two images or more at least one is trained on, and where ``room`` allows at least one is held out.
    """
    count = len(hashes)
    if count < 2 or room < 1:
        return frozenset()
    size = min(max(1, round(share * count)), room, count - 1)
    return frozenset(sorted(hashes)[:size])
