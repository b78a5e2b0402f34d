"""The order of a suite's runs and how much of it is done."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lucir_core.bench.datasets.dataset import Dataset
from lucir_core.bench.run_protocol import RunProgress, TimeLimitReachedError, run_benchmark
from lucir_core.bench.spec import RunSpec
from lucir_core.bench.worth import by_worth, work_done


def test_runs_that_are_nearly_done_come_first_and_others_as_listed(
    dataset: Dataset, make_spec: Callable[..., RunSpec], tmp_path: Path
) -> None:
    # Sizes 2, 2, 1: after phases 0 and 1 a fifth of the work is left, after phase 0 three fifths.
    listed = [make_spec(label=label) for label in "abcd"]
    assert by_worth(listed, tmp_path) == listed
    for spec, phases in ((listed[1], 1), (listed[3], 2)):

        def stop(progress: RunProgress, phases: int = phases) -> None:
            if progress.phase == phases:
                raise TimeLimitReachedError

        with pytest.raises(TimeLimitReachedError):
            run_benchmark(spec, dataset, tmp_path, report=stop)
    assert [spec.label for spec in by_worth(listed, tmp_path)] == ["d", "a", "b", "c"]


def test_work_counts_classes_and_epochs(dataset: Dataset, make_spec: Callable[..., RunSpec], tmp_path: Path) -> None:
    specs = [make_spec("joint"), make_spec("finetune", {"initial_epochs": 5})]
    # Sizes 2, 2, 1 at 3 epochs: joint learns 2, 4 and 5 classes, finetune 2 (5 epochs), 2 and 1.
    assert work_done(specs, tmp_path) == (0.0, 33.0 + 19.0)
    run_benchmark(specs[1], dataset, tmp_path)
    assert work_done(specs, tmp_path) == (19.0, 52.0)
