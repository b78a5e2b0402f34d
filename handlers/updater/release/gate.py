"""Whether a version may be served: passed, refused, or too few images to tell; a pure function of what was measured."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from handlers.settings import GateSettings
from handlers.updater.release.evaluate import Predictions
from lucir_core.frozen.intervals import Interval, wilson
from model_store.manifest import Gate

NAMED = 5
"""Classes that a gate names one by one."""
CONFUSIONS = 3
"""Pairs of classes that a reason names."""
FEW = 20
"""Of fewer images a share is told as a count."""


@dataclass(frozen=True)
class Counted:
    """So many of so many images are right."""

    right: int
    count: int

    def __str__(self) -> str:
        """A percentage only where there are enough images for one to say something."""
        counts = f"{self.right} of {self.count} image{'s' if self.count > 1 else ''}"
        return counts if self.count < FEW else f"{self.share:.1%} ({counts})"

    @property
    def share(self) -> float:
        """0 to 1; of no images it is 0."""
        return self.right / self.count if self.count else 0.0

    @property
    def interval(self) -> Interval:
        """Where the share may lie on endless images, 95 %."""
        return wilson(self.right, self.count)


@dataclass(frozen=True)
class Evidence:
    """What was measured of a version, and of its parent under the version's classes; None without a parent."""

    classes: Sequence[str]
    after: Predictions
    before: Predictions | None
    old_count: int
    """The first so many classes are known to the parent."""
    remade: Collection[int]
    """Labels of old classes that are judged as new ones: what an edit has put together."""

    def new(self) -> Counted:
        """The version's answers to images of new classes."""
        return _counted(self.after, self.after.labels >= self.old_count)

    def old(self) -> Counted:
        """The version's answers to images of old classes."""
        return _counted(self.after, self.after.labels < self.old_count)

    def old_before(self) -> Counted:
        """The parent's answers to the same images."""
        return Counted(0, 0) if self.before is None else _counted(self.before, np.ones(len(self.before.labels), bool))

    def of_class(self, label: int) -> Counted:
        """The version's answers to images of one class."""
        return _counted(self.after, self.after.labels == label)

    def of_class_before(self, label: int) -> Counted:
        """The parent's."""
        return Counted(0, 0) if self.before is None else _counted(self.before, self.before.labels == label)

    def taken_for(self, label: int) -> str:
        """Which other class most of a class's wrong answers name, in words; "" without wrong answers."""
        wrong = self.after.cnn[(self.after.labels == label) & (self.after.cnn != label)]
        if not len(wrong):
            return ""
        counts = np.bincount(wrong, minlength=len(self.classes))
        return f"{counts.max()} of them taken for {self.classes[int(counts.argmax())]!r}"

    def confusions(self, *, new: bool) -> str:
        """The most frequent mistakes with images of new, or of old classes, in words behind a semicolon; or ""."""
        wrong = (self.after.labels != self.after.cnn) & ((self.after.labels >= self.old_count) == new)
        pairs = Counter(zip(self.after.labels[wrong].tolist(), self.after.cnn[wrong].tolist(), strict=True))
        told = [
            f"{self.classes[true]!r} {count} times for {self.classes[named]!r}"
            for (true, named), count in pairs.most_common(CONFUSIONS)
        ]
        return f"; taken were {', '.join(told)}" if told else ""


def judge(settings: GateSettings, evidence: Evidence) -> Gate:
    """Compare what was measured with the bounds.

    A bound that is missed refuses the version only where its 95 % interval leaves no doubt; else the answer is
    inconclusive, and ``gate.inconclusive`` says what is done then. No version is refused for a single image.
    """
    refused: list[str] = []
    undecided: list[str] = []
    if not len(evidence.after.labels):
        undecided.append("nothing was measured: no class has an evaluation image; drop more images of each class")
    for counted, bound, words in (*_over_all(settings, evidence), *_by_class(settings, evidence)):
        if counted.share < bound - 1e-9:
            (refused if counted.interval.high < bound else undecided).append(words)
    if undecided and settings.inconclusive == "refuse":
        refused += [f"{words}; too few images to tell (gate.inconclusive)" for words in undecided]
    return Gate(passed=not refused, reasons=_listed(refused), undecided=_listed(undecided))


def _over_all(settings: GateSettings, evidence: Evidence) -> Iterator[tuple[Counted, float, str]]:
    """(what was measured, its bound, what is to be said when it is missed)."""
    before, old, new = evidence.old_before(), evidence.old(), evidence.new()
    if before.count and old.count:
        words = (
            f"accuracy over the old classes fell from {before} to {old} right; a loss of at most "
            f"{settings.max_old_accuracy_loss:.1%} is allowed (gate.max_old_accuracy_loss)"
            f"{evidence.confusions(new=False)}"
        )
        yield old, before.share - settings.max_old_accuracy_loss, words
    if new.count:
        words = (
            f"accuracy over the new classes is {new} right; at least {settings.min_new_accuracy:.1%} is asked for "
            f"(gate.min_new_accuracy){evidence.confusions(new=True)}: more images of them would help"
        )
        yield new, settings.min_new_accuracy, words


def _by_class(settings: GateSettings, evidence: Evidence) -> Iterator[tuple[Counted, float, str]]:
    """New classes, and old ones that the parent answers better: what it never knew is not lost here."""
    floor = settings.min_class_accuracy
    for label in np.unique(evidence.after.labels).tolist():
        counted = evidence.of_class(label)
        is_new = label >= evidence.old_count or label in evidence.remade
        if counted.count < 2 or not (is_new or evidence.of_class_before(label).share >= floor):
            continue
        taken = evidence.taken_for(label)
        words = (
            f"of class {evidence.classes[label]!r} {counted} are answered rightly"
            f"{f', {taken}' if taken else ''}; at least {floor:.0%} is asked for (gate.min_class_accuracy): "
            "drop more images of both classes, or look for wrong labels among them"
        )
        yield counted, floor, words


def _listed(reasons: list[str]) -> tuple[str, ...]:
    left_out = len(reasons) - NAMED
    return tuple(reasons if left_out <= 0 else [*reasons[:NAMED], f"... and {left_out} more classes"])


def _counted(predictions: Predictions, chosen: np.ndarray) -> Counted:
    return Counted(int((predictions.cnn == predictions.labels)[chosen].sum()), int(chosen.sum()))
