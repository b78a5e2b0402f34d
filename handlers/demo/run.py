"""The whole story: service, finetuning, tables, plot, verdict."""

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from handlers.demo.errors import DemoError
from handlers.demo.material import Maker, Material
from handlers.demo.memory import MemoryPeak
from handlers.demo.phases import as_options, run_service
from handlers.demo.photo_baseline import baseline_phases
from handlers.demo.plot import save_plot
from handlers.demo.results_text import document, facts, percent, tables
from handlers.demo.service_accuracy import Measured, measured
from handlers.demo.verdict import StoryResult, mean_accuracy, shortcomings
from handlers.setting_values import assignments, nested
from handlers.stack.supervision.guarded import GuardedProcess

FINETUNE_SECONDS = 900.0


@dataclass(frozen=True)
class StoryRequest:
    """The command line of ``lucir demo``."""

    output: Path
    seeds: tuple[int, ...]
    keep: bool
    assignments: tuple[str, ...]
    make: Maker


def tell(request: StoryRequest) -> bool:
    """Tell the story once per seed; True when nothing fell short. Raises ``DemoError`` when a step fails."""
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console()
    try:
        request.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DemoError(f"{request.output} cannot be written: {error.strerror}; choose another --output") from error
    stories = [_tell_one(request, seed, console) for seed in request.seeds]
    result, plot = request.output / "results.json", request.output / "accuracy.png"
    result.write_text(json.dumps(document(stories), indent=2) + "\n", encoding="utf-8")
    save_plot(stories, plot)
    if len(stories) > 1:
        console.print(f"mean accuracy over {len(stories)} seeds: [bold]{percent(mean_accuracy(stories))}[/bold]")
    console.print(f"written: {result}, {plot}", highlight=False)
    short = shortcomings(stories)
    for problem in short:
        console.print(f"[red]fell short[/red]: {problem}", highlight=False)
    if not short:
        console.print("[green]everything that was promised was reached[/green]")
    return not short


def _tell_one(request: StoryRequest, seed: int, console: Console) -> StoryResult:
    material = request.make(seed)
    console.print(
        f"\n[bold]A service that learns {material.noun} while it serves[/bold] (seed {seed})", highlight=False
    )
    values = {
        "learning.preset": material.preset,
        "learning.seed": seed,
        "updater.settle_seconds": 2,
        **assignments(request.assignments),
    }
    started = time.monotonic()
    work = Path(tempfile.mkdtemp(prefix="lucir-demo-"))
    try:
        with MemoryPeak() as memory:
            service = run_service(material, work, request.output / f"stack-{seed}.log", as_options(values), console)
            compared = _compared(material, seed, values, work, request.output / f"finetune-{seed}.log", console)
    finally:
        if request.keep:
            console.print(f"  kept: {work}", highlight=False)
        else:
            shutil.rmtree(work, ignore_errors=True)
    story = StoryResult(
        seed, service, material, compared, memory.peak_bytes, memory.peak_parts, time.monotonic() - started
    )
    console.print(tables(story))
    for fact in facts(story):
        console.print(f"  {fact}", highlight=False)
    return story


def _compared(
    material: Material, seed: int, values: dict[str, Any], work: Path, log: Path, console: Console
) -> tuple[Measured, ...]:
    """The same drops learnt in another way, after the service, so as not to disturb it."""
    if material.compared == "plain finetuning":
        return _read(_finetune(seed, values, work, log, console), material.phases)
    with console.status(f"{material.compared} on the same drops, to compare"):
        return _read(baseline_phases(material), material.phases)


def _finetune(seed: int, values: dict[str, Any], work: Path, log: Path, console: Console) -> list[dict[str, Any]]:
    """Run ``handlers.demo.plain_finetuning`` in a process of its own."""
    learning = nested(values)["learning"]
    spec, result = work / "finetune.json", work / "finetuned.json"
    spec.write_text(
        json.dumps(
            {
                "seed": seed,
                "preset": learning["preset"],
                "overrides": learning.get("overrides", {}),
                "device": learning.get("device", "auto"),
            }
        ),
        encoding="utf-8",
    )
    columns = (TextColumn("  {task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress, log.open("w", encoding="utf-8") as file:
        task = progress.add_task("plain finetuning on the same drops, to compare", total=1.0)

        def take(line: str) -> None:
            file.write(line + "\n")
            if line.replace(".", "", 1).isdigit():
                progress.update(task, completed=float(line))

        command = [sys.executable, "-P", "-m", "handlers.demo.plain_finetuning", str(spec), str(result)]
        process = GuardedProcess(command, {**os.environ, "PYTHONUNBUFFERED": "1"}, 2.0, take)
        try:
            ended = process.wait(FINETUNE_SECONDS)
        finally:
            process.terminate()
            process.wait(4.0)
    if not ended or process.poll() != 0:
        raise DemoError(f"finetuning failed; see {log}")
    results: list[dict[str, Any]] = json.loads(result.read_text(encoding="utf-8"))
    return results


def _read(results: list[dict[str, Any]], phases: tuple[tuple[str, ...], ...]) -> tuple[Measured, ...]:
    before: Measured | None = None
    found = []
    for new, result in zip(phases, results, strict=True):
        before = measured(result["right"], result["counts"], new, before)
        found.append(before)
    return tuple(found)


def _interrupt(*_: object) -> NoReturn:
    """SIGTERM ends the story as Ctrl-C does: through every ``finally``."""
    raise KeyboardInterrupt
