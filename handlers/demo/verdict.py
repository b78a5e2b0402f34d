"""What the story has to reach; whatever falls short is said and makes ``lucir demo`` fail."""

from collections.abc import Sequence
from dataclasses import dataclass

from handlers.demo.material import Material
from handlers.demo.phases import ServiceResult
from handlers.demo.service_accuracy import Measured

LEAST_ACCURACY = 0.93
"""Over all ten digits after the last drop: the mean over ``SEEDS_FOR_MEAN`` or more stories."""
SEEDS_FOR_MEAN = 3
LEAST_ACCURACY_SINGLE = 0.90
"""The same for each single story: with 359 test images one story varies by a few points around the mean."""
MOST_OLD_LOSS = 0.05
"""How much the accuracy over the old digits may fall in one drop."""
LONGEST_REQUEST_SECONDS = 1.0
"""During a swap."""
MOST_MEMORY_BYTES = 4 * 1024**3


@dataclass(frozen=True)
class StoryResult:
    """One story: the service, what it is compared with (one result per drop), the peak of memory."""

    seed: int
    service: ServiceResult
    material: Material
    compared: tuple[Measured, ...]
    peak_bytes: int
    peak_parts: dict[str, int]
    seconds: float

    @property
    def accuracy(self) -> float:
        """Over all classes after the last drop."""
        return self.service.phases[-1].measured.all


def mean_accuracy(stories: Sequence[StoryResult]) -> float:
    """Of the service, after the last drop."""
    return sum(story.accuracy for story in stories) / len(stories)


def shortcomings(stories: Sequence[StoryResult]) -> list[str]:
    """Everything that was promised and not reached, in words; empty when all is well."""
    found = [f"seed {story.seed}: {problem}" for story in stories for problem in _of_one(story)]
    mean = mean_accuracy(stories)
    if stories[0].material.least_accuracy and len(stories) >= SEEDS_FOR_MEAN and mean < LEAST_ACCURACY:
        found.append(f"the mean accuracy is {mean:.1%}, less than {LEAST_ACCURACY:.0%}")
    return found


def _of_one(story: StoryResult) -> list[str]:
    found, noun = [], story.material.noun
    if story.material.least_accuracy and story.accuracy < LEAST_ACCURACY_SINGLE:
        found.append(f"accuracy {story.accuracy:.1%} over all {noun}, less than {LEAST_ACCURACY_SINGLE:.0%}")
    if story.accuracy < story.compared[-1].all:
        found.append(
            f"accuracy {story.accuracy:.1%}, less than {story.compared[-1].all:.1%} by {story.material.compared}"
        )
    for number, phase in enumerate(story.service.phases, start=1):
        measured = phase.measured
        if measured.old is not None and measured.old_before is not None:
            lost = measured.old_before - measured.old
            if lost > MOST_OLD_LOSS:
                found.append(f"drop {number} cost the old {noun} {lost:.1%} of accuracy, more than {MOST_OLD_LOSS:.0%}")
        if phase.swap.longest_seconds > LONGEST_REQUEST_SECONDS:
            found.append(f"a request took {phase.swap.longest_seconds:.2f} s during swap {number}")
    if story.service.traffic.failed:
        kinds = "; ".join(story.service.problems)
        found.append(f"{story.service.traffic.failed} of {story.service.traffic.sent} requests failed ({kinds})")
    if story.peak_bytes > MOST_MEMORY_BYTES:
        found.append(f"{story.peak_bytes / 1024**3:.2f} GiB of memory at the peak, more than 4 GiB")
    return found
