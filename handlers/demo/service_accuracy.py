"""Accuracy as a user would measure it: over HTTP, on images that the service never had."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from handlers.client.predictions import TOP_K_HEADER
from handlers.demo.errors import DemoError
from handlers.parallel import ordered_map
from handlers.torchserve.model_status import PREDICTIONS_PATH
from lucir_core.evaluate import forgetting_by_class

PARALLEL = 4


@dataclass
class Measured:
    """Right answers after a phase, by class, and what they were before it."""

    class_accuracy: dict[str, float]
    counts: dict[str, int]
    new: tuple[str, ...]
    best_before: dict[str, float] = field(default_factory=dict)
    """The best that any earlier phase reached, by class."""
    old_before: float | None = None
    """Accuracy just before the phase, over the classes that were there then."""

    def over(self, names: Sequence[str]) -> float | None:
        """Share of right answers over the images of these classes; None without any."""
        total = sum(self.counts[name] for name in names)
        return sum(self.class_accuracy[name] * self.counts[name] for name in names) / total if total else None

    @property
    def all(self) -> float:
        """Over every class."""
        return self.over(tuple(self.class_accuracy)) or 0.0

    @property
    def old(self) -> float | None:
        """Over the classes that were there before the phase."""
        return self.over([name for name in self.class_accuracy if name not in self.new])

    @property
    def fresh(self) -> float | None:
        """Over the classes of the phase."""
        return self.over(self.new)

    @property
    def forgetting(self) -> float | None:
        """As `forgetting_by_class` has it; None before there is an old class."""
        return forgetting_by_class(self.best_before, self.class_accuracy) if self.best_before else None


def measured(
    right: Mapping[str, int], counts: Mapping[str, int], new: tuple[str, ...], before: Measured | None
) -> Measured:
    """Put the counts of a phase beside what was measured before it."""
    accuracy = {name: right[name] / counts[name] for name in counts}
    if before is None:
        return Measured(accuracy, dict(counts), new)
    best = {name: max(value, before.best_before.get(name, value)) for name, value in before.class_accuracy.items()}
    return Measured(accuracy, dict(counts), new, best, before.all)


def ask_service(
    url: str, version: int, test: Mapping[str, Sequence[bytes]], new: tuple[str, ...], before: Measured | None
) -> Measured:
    """POST every test image. Raises ``DemoError`` when one gets no answer, or one of another version."""
    right = dict.fromkeys(test, 0)
    questions = [(name, image) for name, images in test.items() for image in images]
    headers = {"content-type": "image/png", TOP_K_HEADER: "1"}
    with httpx.Client(base_url=url, timeout=30.0, trust_env=False) as session:

        def ask(question: tuple[str, bytes]) -> bool:
            answer = session.post(PREDICTIONS_PATH, content=question[1], headers=headers)
            document = answer.json()
            if not answer.is_success or document["model_version"] != version:
                raise DemoError(f"a test image was answered with {answer.status_code}: {answer.text[:200]}")
            return bool(document["predictions"][0]["class"] == question[0])

        for (name, _), correct in zip(questions, ordered_map(ask, questions, PARALLEL), strict=True):
            right[name] += correct
    return measured(right, {name: len(images) for name, images in test.items()}, new, before)
