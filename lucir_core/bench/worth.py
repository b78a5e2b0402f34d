"""In which order the runs of a suite are carried out, and how much of it is left."""

from collections.abc import Sequence
from pathlib import Path

from lucir_core.bench.result_file import read_json
from lucir_core.bench.spec import RunSpec
from lucir_core.errors import StateError
from lucir_core.methods import create_method


def phases_done(spec: RunSpec, output: Path) -> int:
    """Phases of the run that are measured already."""
    if (output / f"{spec.name}.json").is_file():
        return len(spec.protocol.phase_sizes)
    notes = output / "work" / spec.name / "run.json"
    try:
        return len(read_json(notes)["phases"]) if notes.is_file() else 0
    except StateError:
        return 0  # damaged: the run itself says so, and the others are carried out


NEARLY_DONE = 0.25
"""A run that was begun goes before all others where at most this share of its work is left."""


def by_worth(specs: Sequence[RunSpec], output: Path) -> list[RunSpec]:
    """Runs that are nearly done first, those with the least work left before others; then the rest as they are listed.

    A limit of time then leaves finished runs behind, the first lines of the suite before the last ones. A run of which
    little is done keeps its place in the list: its work is not lost, and others may be worth more.
    """
    left = {spec.name: sum(_work(spec)[phases_done(spec, output) :]) for spec in specs}
    nearly = [spec for spec in specs if 0 < left[spec.name] <= NEARLY_DONE * sum(_work(spec))]
    rest = [spec for spec in specs if spec not in nearly]
    return [*sorted(nearly, key=lambda spec: left[spec.name]), *rest]


def work_done(specs: Sequence[RunSpec], output: Path) -> tuple[float, float]:
    """(done, all) of the runs, in classes times epochs: what a phase's time grows with where classes are equally large.

    A phase of a method that is given every image counts all classes seen, another one the new ones.
    """
    done = sum(sum(_work(spec)[: phases_done(spec, output)]) for spec in specs)
    return done, sum(sum(_work(spec)) for spec in specs)


def _work(spec: RunSpec) -> list[float]:
    config, sizes = spec.config, spec.protocol.phase_sizes
    first = config.initial_epochs or config.epochs
    every = create_method(spec.method).needs_every_image
    return [
        float((sum(sizes[: phase + 1]) if every else size) * (config.epochs if phase else first))
        for phase, size in enumerate(sizes)
    ]
