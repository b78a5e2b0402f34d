"""Runs that begin alike learn phase 0 once: with the result that each alone has, also when they are cut off."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lucir_core.bench.datasets.dataset import Dataset, Split
from lucir_core.bench.result_file import read_json
from lucir_core.bench.run_protocol import Clock, RunProgress, TimeLimitReachedError, run_benchmark
from lucir_core.bench.shared_start import LATER, SharedStarts, start_address
from lucir_core.bench.spec import RunSpec
from lucir_core.data.phase_data import PhaseData
from lucir_core.methods.base import METHODS
from lucir_core.phase import run_phase
from lucir_core.state import CHECKPOINT
from lucir_core.testing import synthetic_images
from tests.support.learning.tiny import weights_equal

MakeSpec = Callable[..., RunSpec]

CHANGES: dict[str, Any] = {
    "less_forget": False,
    "lambda_base": 7.0,
    "lambda_rule": "paper",
    "lambda_max": 3.0,
    "score_mimic": True,
    "freeze_old": False,
    "ranking_weight": 0.0,
    "ranking_against": "any",
    "top_k": 1,
    "margin": 0.1,
    "imprint": False,
    "cbf.enabled": True,
    "cbf.epochs": 3,
    "cbf.ranking": False,
    "distillation.temperature": 3.0,
    "distillation.weight": 2.0,
    "distillation.cross_entropy": "new",
    "replay": True,
}
OWN_CHANGES = {
    "lucir": {"lucir.importance": 4.0, "lucir.separated_softmax": True, "lucir.boost.enabled": True},
}
"""Of settings that only one method has."""


def test_every_setting_that_is_left_out_is_changed_here() -> None:
    own = {".".join(name.split(".")[:2]) for changes in OWN_CHANGES.values() for name in changes}
    assert {name.split(".")[0] for name in CHANGES} | own == set(LATER)


@pytest.mark.parametrize("method", [name for name in METHODS.names() if name != "joint"])
def test_no_method_reads_them_in_phase_0(method: str, make_spec: MakeSpec) -> None:
    images = np.concatenate([synthetic_images(label, 8, 0) for label in range(2)])
    data = PhaseData(images, np.repeat([0, 1], 8), ("one", "two"))
    plain = make_spec(method)
    changed = make_spec(method, {**plain.settings, **CHANGES, **OWN_CHANGES.get(method, {})})
    first, second = (run_phase(spec.config, data, None, seed=3) for spec in (plain, changed))
    assert changed.config != plain.config
    data_set = Dataset("made", Split(images, data.labels), Split(images, data.labels), tuple("abcdef"))
    assert start_address(changed, data_set) == start_address(plain, data_set)
    assert weights_equal(first.model, second.model)
    assert first.exemplars.pngs == second.exemplars.pngs
    assert first.prototypes.equal(second.prototypes)


def _curves(result: dict[str, Any]) -> Any:
    return (
        result["cnn"],
        result["nme"],
        [{**phase, "seconds": 0, "flops": 0, "shared": None} for phase in result["phases"]],
    )


@pytest.fixture
def specs(make_spec: MakeSpec) -> list[RunSpec]:
    return [
        make_spec(label="plain"),
        make_spec(settings={"less_forget": False}, label="forgetful"),
        make_spec(settings={"lr": 0.05}, label="other"),
    ]


@pytest.mark.slow
def test_two_of_three_runs_share_and_say_so(dataset: Dataset, specs: list[RunSpec], tmp_path: Path) -> None:
    folder = tmp_path / "work" / "starts"
    starts = SharedStarts(folder, specs, dataset)
    shared, alone = (
        [read_json(run_benchmark(spec, dataset, tmp_path / where, starts=given)) for spec in specs]
        for where, given in (("shared", starts), ("alone", None))
    )
    assert [_curves(result) for result in shared] == [_curves(result) for result in alone]
    said = [result["phases"][0].get("shared") for result in shared]
    assert said[0] is None
    assert said[2] is None
    assert said[1]["run"] == specs[0].name
    assert said[1]["seconds"] > 0
    assert said[1]["flops"] == shared[0]["phases"][0]["flops"] > 0
    assert shared[1]["phases"][0]["flops"] == 0
    assert [path.name for path in folder.iterdir() if path.is_dir()] == [start_address(specs[0], dataset)]
    starts.tidy(specs[2:])
    assert not folder.exists()


def test_whoever_comes_next_goes_on_with_a_phase_0_that_was_cut_off(
    dataset: Dataset, specs: list[RunSpec], tmp_path: Path
) -> None:
    starts = SharedStarts(tmp_path / "starts", specs, dataset)
    seen: list[Any] = []
    with pytest.raises(TimeLimitReachedError):
        run_benchmark(specs[0], dataset, tmp_path, starts=starts, clock=Clock(0.0), report=seen.append)
    (before,) = seen
    assert (before.phase, before.training.epoch) == (0, 1)
    seen.clear()
    result = read_json(run_benchmark(specs[1], dataset, tmp_path, starts=starts, report=seen.append))
    assert [progress.training.epoch for progress in seen if progress.phase == 0 and progress.training] == [2, 3]
    whole = read_json(run_benchmark(specs[1], dataset, tmp_path / "alone"))
    assert _curves(result) == _curves(whole)


@pytest.mark.slow
def test_a_phase_0_that_a_run_brought_along_is_shared_and_a_damaged_one_is_learnt(
    dataset: Dataset, specs: list[RunSpec], tmp_path: Path
) -> None:
    def stop(progress: RunProgress) -> None:
        if progress.phase == 1:
            raise TimeLimitReachedError

    with pytest.raises(TimeLimitReachedError):
        run_benchmark(specs[0], dataset, tmp_path, report=stop)
    brought = tmp_path / "work" / specs[0].name / "phase-0" / CHECKPOINT
    whole = brought.read_bytes()
    starts = SharedStarts(tmp_path / "work" / "starts", specs, dataset)
    brought.write_bytes(whole[:100])
    with starts.turn(specs[1], lambda: None) as state:
        assert state is None
    brought.write_bytes(whole)
    result = read_json(run_benchmark(specs[1], dataset, tmp_path, starts=starts))
    assert result["phases"][0]["shared"]["run"] == specs[0].name
    assert result["phases"][0]["shared"]["seconds"] > 0
    alone = read_json(run_benchmark(specs[1], dataset, tmp_path / "alone"))
    assert _curves(result) == _curves(alone)


def test_a_run_waits_for_the_one_that_is_learning_their_start(
    dataset: Dataset, specs: list[RunSpec], tmp_path: Path
) -> None:
    starts = SharedStarts(tmp_path / "starts", specs, dataset)
    holding, waited = threading.Event(), threading.Event()

    def hold() -> None:
        with starts.turn(specs[0], lambda: None) as state:
            assert state is None
            holding.set()
            assert waited.wait(60)

    other = threading.Thread(target=hold)
    other.start()
    assert holding.wait(60)
    with starts.turn(specs[1], waited.set) as state:
        assert state is None  # the other one has given up: it is this one's to learn
    other.join(60)
    assert waited.is_set()


def test_other_images_classes_seeds_and_settings_are_other_starts(dataset: Dataset, make_spec: MakeSpec) -> None:
    specs = [make_spec(), make_spec(seed=2), make_spec(settings={"epochs": 2}), make_spec("icarl"), make_spec("joint")]
    assert len({start_address(spec, dataset) for spec in specs}) == len(specs)
