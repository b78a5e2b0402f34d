"""From what was read to what is learnt, held out, rejected or left to wait: pure rules over a whole drop."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from handlers.bucket.update_documents import Role
from handlers.settings import UpdaterSettings


@dataclass(frozen=True)
class Candidate:
    """One object that was read; ``reason`` is set when it is no usable image by itself."""

    key: str
    sha256: str
    class_name: str | None
    reason: str | None
    is_marker: bool = False


@dataclass(frozen=True)
class Verdict:
    """What becomes of a candidate; role None leaves it in ``incoming/``, to wait for more."""

    role: Role | None
    reason: str | None = None


@dataclass(frozen=True)
class Rules:
    """What the decision depends on besides the drop itself."""

    settings: UpdaterSettings
    known: Collection[str]
    """Classes of the served version; empty before the first."""
    learnt: Mapping[str, str]
    """sha256 -> class, for those of the candidates that were learnt before."""
    marked: Collection[str]
    """Classes with a ``_READY`` marker."""
    own_evaluation: Collection[str]
    """Classes with test images of the user's own: nothing of them is held out."""
    held_already: Mapping[str, int]
    """Images per class that earlier versions hold out."""
    evaluation: Mapping[str, str]
    """sha256 -> key, for those of the candidates that lie below ``evaluation/``."""
    leaves_out: bool = False
    """Whether accuracy comes from leaving each learnt image out in turn (a frozen backbone): then none is held out."""


def decide(candidates: Sequence[Candidate], rules: Rules) -> list[Verdict]:
    """One verdict per candidate, in their order."""
    reasons = _single_reasons(candidates, rules)
    usable: dict[str, list[int]] = defaultdict(list)
    for index, candidate in enumerate(candidates):
        if reasons[index] is None and not candidate.is_marker and candidate.class_name is not None:
            usable[candidate.class_name].append(index)
    waiting = _too_few(usable, rules, reasons)
    if not rules.known and len(usable) - len(waiting) < 2:
        waiting = set(usable)
    roles: list[Role | None] = ["rejected" if reason is not None else None for reason in reasons]
    for name, indices in usable.items():
        if name not in waiting:
            _give_roles(candidates, indices, roles, name, rules)
    for index, candidate in enumerate(candidates):
        if candidate.is_marker and reasons[index] is None and candidate.class_name not in waiting:
            roles[index] = "marker"
    return [Verdict(role, reason) for role, reason in zip(roles, reasons, strict=True)]


def _single_reasons(candidates: Sequence[Candidate], rules: Rules) -> list[str | None]:
    """Reasons against single files: their own, then duplicates."""
    learnt, evaluation = rules.learnt, rules.evaluation
    classes: dict[str, set[str]] = defaultdict(set)
    for candidate in candidates:
        if candidate.reason is None and not candidate.is_marker and candidate.class_name is not None:
            classes[candidate.sha256].add(candidate.class_name)
    first: dict[str, str] = {}
    reasons: list[str | None] = []
    for candidate in candidates:
        reason = candidate.reason
        if reason is None and not candidate.is_marker:
            sha = candidate.sha256
            if sha in learnt:
                reason = f"exactly this image was learnt before, as {learnt[sha]!r}"
            elif sha in evaluation:
                reason = f"exactly this image is {evaluation[sha]}: what measures accuracy is never trained on"
            elif len(classes[sha]) > 1:
                names = ", ".join(repr(name) for name in sorted(classes[sha]))
                reason = f"the same image lies under more than one class: {names}; drop it under one of them"
            elif sha in first:
                reason = f"an exact duplicate of {first[sha]}"
            else:
                first[sha] = candidate.key
        reasons.append(reason)
    return reasons


def _too_few(usable: dict[str, list[int]], rules: Rules, reasons: list[str | None]) -> set[str]:
    """Classes left to wait for more images. A marked class does not wait: with one image a new one is rejected."""
    waiting = set()
    for name, indices in list(usable.items()):
        if name not in rules.marked and len(indices) < rules.settings.least_images:
            waiting.add(name)
        elif name not in rules.known and len(indices) < 2 and not rules.leaves_out:
            for index in indices:
                reasons[index] = "a new class needs at least two usable images: one to learn from, one to test with"
            del usable[name]
    return waiting


def _give_roles(
    candidates: Sequence[Candidate], indices: list[int], roles: list[Role | None], name: str, rules: Rules
) -> None:
    room = rules.settings.evaluation_images_per_class - rules.held_already.get(name, 0)
    hashes = [candidates[index].sha256 for index in indices]
    none = rules.leaves_out or name in rules.own_evaluation
    out = held_out(hashes, rules.settings.evaluation_share, 0 if none else room)
    for index in indices:
        roles[index] = "holdout" if candidates[index].sha256 in out else "train"


def held_out(hashes: Sequence[str], share: float, room: int) -> frozenset[str]:
    """The sha256 hashes of the images to hold out: about ``share`` of them, at most ``room``.

    Of two images or more at least one is trained on, and where ``room`` allows at least one is held out.
    """
    count = len(hashes)
    if count < 2 or room < 1:
        return frozenset()
    size = min(max(1, round(share * count)), room, count - 1)
    return frozenset(sorted(hashes)[:size])


def count_roles(roles: Collection[Role]) -> dict[str, int]:
    """How many objects have each role."""
    return dict(Counter(roles))
