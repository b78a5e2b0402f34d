"""From what an update has written down to its report: pure counting."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from handlers.bucket.report_document import Change, Confusion, Figures, Incoming, Rejection, Taken
from handlers.bucket.update_documents import Plan
from lucir_core.frozen.intervals import accuracy_interval
from model_store.manifest import Evaluation

LISTED_CLASSES = 200
LISTED_REASONS = 50
LISTED_CONFUSIONS = 30
LARGEST_MATRIX = 25
"""Classes that a matrix is drawn for."""
EXAMPLES = 5


def incoming(plan: Plan) -> list[Incoming]:
    """What came in, by class, in the order of names; files that lie in no usable folder last."""
    counts: dict[str | None, Counter[str]] = defaultdict(Counter)
    archived: Counter[str | None] = Counter()
    for entry in plan.entries:
        counts[entry.class_name][entry.role] += 1
        archived[entry.class_name] += entry.key == entry.target
    rows = []
    for name in sorted(counts, key=lambda name: (name is None, name or "")):
        state = "new" if name in plan.new_classes else "known" if name in plan.classes else "none"
        row = counts[name]
        rows.append(
            Incoming(
                name=name if name is not None else "(no class)",
                state=state,
                trained=row["train"],
                held_out=row["holdout"],
                rejected=row["rejected"],
                archived=archived[name],
            )
        )
    return rows


def rejections(plan: Plan) -> list[Rejection]:
    """By reason, the most frequent first; what differs only in the file that is named counts as one."""
    keys: dict[str, list[str]] = defaultdict(list)
    for entry in plan.of_role("rejected"):
        keys[re.sub(r"incoming/.*", "another file", entry.reason or "no reason was recorded")].append(entry.key)
    found = sorted(keys.items(), key=lambda item: (-len(item[1]), item[0]))
    return [Rejection(reason=reason, count=len(names), examples=tuple(names[:EXAMPLES])) for reason, names in found]


def figures(evaluation: Evaluation) -> Figures:
    """The accuracies of a version."""
    return Figures(
        before_old=evaluation.parent_old,
        all=evaluation.cnn.all,
        old=evaluation.cnn.old,
        new=evaluation.cnn.new,
        nearest_mean=evaluation.nme.all,
        forgetting=evaluation.forgetting,
        images=evaluation.images,
        interval=_interval(evaluation, evaluation.cnn.all, evaluation.class_images),
    )


def taken(evaluation: Evaluation, old_count: int) -> Taken:
    """Old and new classes against each other; the first ``old_count`` classes are the old ones."""
    counts = np.array(evaluation.confusion, np.int64).reshape(-1, max(1, len(evaluation.confusion)))
    right = np.diagonal(counts)
    old, new = counts[:old_count], counts[old_count:]
    return Taken(
        old_right=int(right[:old_count].sum()),
        old_as_old=int(old[:, :old_count].sum() - right[:old_count].sum()),
        old_as_new=int(old[:, old_count:].sum()),
        new_right=int(right[old_count:].sum()),
        new_as_new=int(new[:, old_count:].sum() - right[old_count:].sum()),
        new_as_old=int(new[:, :old_count].sum()),
    )


def confusions(evaluation: Evaluation, classes: Sequence[str], old_count: int) -> list[Confusion]:
    """Pairs of classes, the most frequent first."""
    counts = np.array(evaluation.confusion, np.int64).reshape(len(classes), len(classes))
    off = counts - np.diag(np.diagonal(counts))
    true, answered = np.nonzero(off)
    order = sorted(zip(true.tolist(), answered.tolist(), strict=True), key=lambda pair: (-off[pair], pair))
    kinds = (("new as new", "new as old"), ("old as new", "old as old"))
    return [
        Confusion(
            true=classes[one],
            predicted=classes[other],
            count=int(off[one, other]),
            kind=kinds[one < old_count][other < old_count],
        )
        for one, other in order[:LISTED_CONFUSIONS]
    ]


def changes(
    evaluation: Evaluation, classes: Sequence[str], old_count: int, before: Mapping[str, float]
) -> list[Change]:
    """Every class: new ones first, then the old ones by how much they lost."""
    images = evaluation.class_images
    rows = [
        Change(
            name=name,
            is_new=index >= old_count,
            images=images[index],
            before=before.get(name) if index < old_count else None,
            after=evaluation.class_accuracy.get(name),
            interval=_interval(evaluation, evaluation.class_accuracy.get(name), images[index : index + 1]),
        )
        for index, name in enumerate(classes)
    ]
    return sorted(rows, key=lambda row: (not row.is_new, (row.after or 0.0) - (row.before or 0.0), row.name))


def _interval(evaluation: Evaluation, share: float | None, images: Sequence[int]) -> tuple[float, float] | None:
    if share is None:
        return None
    found = accuracy_interval(share, images, left_out=bool(evaluation.left_out))
    return found.low, found.high
