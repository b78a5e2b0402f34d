"""The results as tables for people and as a JSON document."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table

from handlers.demo.service_accuracy import Measured
from handlers.demo.verdict import StoryResult, mean_accuracy, shortcomings

MIB = 1024**2
SHORT = {"plain finetuning": "finetuned", "HOG + colours, ridge": "baseline"}
FIELD = {"plain finetuning": "finetuning", "HOG + colours, ridge": "baseline"}
"""What the service is compared with, in a table of 80 columns and in the document."""


def tables(story: StoryResult) -> Group:
    """Two tables that fit 80 columns: what was learnt, beside finetuning; what it cost those who asked meanwhile."""
    learnt = Table(
        box=box.SIMPLE_HEAD,
        header_style="bold",
        title="right answers over HTTP, on images never given to it",
        padding=(0, 1),
        collapse_padding=True,
    )
    learnt.add_column("drop")  # the names of classes may be long
    for name in ("all", "old", "new", "forgetting"):
        learnt.add_column(name, justify="right", style="green", no_wrap=True)
    for name in (f"{SHORT[story.material.compared]}: all", "old", "new"):
        learnt.add_column(name, justify="right", style="dim", no_wrap=True)
    served = Table(box=box.SIMPLE_HEAD, header_style="bold", title="meanwhile, a client that never stopped asking")
    for name in ("drop", "served after", "requests", "failed", "longest during the swap"):
        served.add_column(name, justify="left" if name == "drop" else "right", no_wrap=True)
    for phase, plain in zip(story.service.phases, story.compared, strict=True):
        name, forgetting = " ".join(phase.new), percent(phase.measured.forgetting)
        shares = (phase.measured.all, phase.measured.old, phase.measured.fresh)
        plain_shares = (plain.all, plain.old, plain.fresh)
        learnt.add_row(name, *map(percent, shares), forgetting, *map(percent, plain_shares))
        served.add_row(
            name,
            f"{phase.served_seconds:.0f} s",
            str(phase.traffic.sent),
            str(phase.traffic.failed),
            f"{phase.swap.longest_seconds * 1000:.0f} ms",
        )
    return Group(learnt, served)


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
                FIELD[story.material.compared]: _accuracy(plain),
            }
            for phase, plain in zip(story.service.phases, story.compared, strict=True)
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
    return "-" if value is None else f"{value:.1%}"
