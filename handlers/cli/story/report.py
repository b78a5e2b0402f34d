"""The results as tables for people and as a JSON document."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table

from handlers.cli.story.measure import Measured
from handlers.cli.story.verdict import StoryResult, mean_accuracy, shortcomings

MIB = 1024**2


def table(story: StoryResult) -> Table:
    """One row per drop, the service beside finetuning."""
    result = Table(box=box.SIMPLE_HEAD, header_style="bold")
    result.add_column("drop")
    for name in ("all", "old", "new", "forgetting"):
        result.add_column(name, justify="right", style="green")
    for name in ("finetuning all", "old", "new"):
        result.add_column(name, justify="right", style="dim")
    for name in ("served after", "requests", "failed", "longest in swap"):
        result.add_column(name, justify="right")
    for phase, plain in zip(story.service.phases, story.finetuning, strict=True):
        result.add_row(
            " ".join(phase.new),
            percent(phase.measured.all),
            percent(phase.measured.old),
            percent(phase.measured.fresh),
            percent(phase.measured.forgetting),
            percent(plain.all),
            percent(plain.old),
            percent(plain.fresh),
            f"{phase.served_seconds:.0f} s",
            str(phase.traffic.sent),
            str(phase.traffic.failed),
            f"{phase.swap.longest_seconds * 1000:.0f} ms",
        )
    return result


def facts(story: StoryResult) -> list[str]:
    """The rest of what was measured, a line each."""
    traffic = story.service.traffic
    parts = sorted(story.peak_parts.items(), key=lambda part: -part[1])[:4]
    memory = ", ".join(f"{name} {size / MIB:.0f}" for name, size in parts)
    return [
        f"{traffic.sent} requests, {traffic.failed} failed, the longest took {traffic.longest_seconds * 1000:.0f} ms",
        f"peak memory of all processes {story.peak_bytes / MIB:.0f} MiB ({memory})",
        f"{story.seconds:.0f} s in all",
    ]


def document(stories: Sequence[StoryResult]) -> dict[str, Any]:
    """Everything that was measured."""
    return {
        "mean_accuracy": mean_accuracy(stories),
        "shortcomings": shortcomings(stories),
        "stories": [_story(story) for story in stories],
    }


def _story(story: StoryResult) -> dict[str, Any]:
    traffic = story.service.traffic
    return {
        "seed": story.seed,
        "seconds": story.seconds,
        "ready_seconds": story.service.ready_seconds,
        "requests": {"sent": traffic.sent, "failed": traffic.failed, "longest_seconds": traffic.longest_seconds},
        "peak_memory_bytes": story.peak_bytes,
        "peak_memory_parts": story.peak_parts,
        "drops": [
            {
                "classes": list(phase.new),
                "version": phase.version,
                "images": phase.images,
                "rejected": phase.rejected,
                "served_after_seconds": phase.served_seconds,
                "requests": phase.traffic.sent,
                "failed": phase.traffic.failed,
                "longest_in_swap_seconds": phase.swap.longest_seconds,
                "lucir": _accuracy(phase.measured),
                "finetuning": _accuracy(plain),
            }
            for phase, plain in zip(story.service.phases, story.finetuning, strict=True)
        ],
    }


def _accuracy(measured: Measured) -> dict[str, Any]:
    return {
        "all": measured.all,
        "old": measured.old,
        "new": measured.fresh,
        "old_before": measured.old_before,
        "forgetting": measured.forgetting,
        "by_class": measured.class_accuracy,
    }


def percent(value: float | None) -> str:
    """A share as people read it; a dash where there is none."""
    return "-" if value is None else f"{value * 100:.1f} %"
