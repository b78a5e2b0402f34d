"""From what an update has written down to its report: pure counting."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

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
    right, wrong = evaluation.confusion.right(), Counter[tuple[bool, bool]]()
    for true, answered, images in evaluation.confusion.pairs():
        if true != answered:
            wrong[true < old_count, answered < old_count] += images
    return Taken(
        old_right=sum(right[:old_count]),
        old_as_old=wrong[True, True],
        old_as_new=wrong[True, False],
        new_right=sum(right[old_count:]),
        new_as_new=wrong[False, False],
        new_as_old=wrong[False, True],
    )


def confusions(evaluation: Evaluation, classes: Sequence[str], old_count: int) -> list[Confusion]:
    """Pairs of classes, the most frequent first."""
    wrong = [(-images, true, answered) for true, answered, images in evaluation.confusion.pairs() if true != answered]
    kinds = (("new as new", "new as old"), ("old as new", "old as old"))
    return [
        Confusion(
            true=classes[one],
            predicted=classes[other],
            count=-count,
            kind=kinds[one < old_count][other < old_count],
        )
        for count, one, other in sorted(wrong)[:LISTED_CONFUSIONS]
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
