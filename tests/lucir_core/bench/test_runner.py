"""Runs: what stands in a result, pieces, and settings that changed in between; kills are in methods/test_killed.py."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lucir_core.bench.datasets.dataset import Dataset, Split
from lucir_core.bench.result_file import FORMAT, read_json, read_results
from lucir_core.bench.run_protocol import Clock, RunProgress, TimeLimitReachedError, run_benchmark
from lucir_core.bench.spec import RunSpec
from lucir_core.errors import ConfigError, DataError, StateError
from lucir_core.state import load_state
from tests.support.learning.tiny import weights_equal

MakeSpec = Callable[..., RunSpec]


def without_times(result: dict[str, Any]) -> dict[str, Any]:
    """What must not depend on when and in how many pieces a run was made."""
    phases = [{key: value for key, value in phase.items() if key != "seconds"} for phase in result["phases"]]
    return {key: value for key, value in result.items() if key not in ("pieces", "seconds")} | {"phases": phases}


def test_a_result_holds_everything(dataset: Dataset, make_spec: MakeSpec, tmp_path: Path) -> None:
    seen: list[Any] = []
    result = read_json(run_benchmark(make_spec(), dataset, tmp_path, report=seen.append))
    assert result["protocol"]["order"] == [4, 0, 5, 2, 1, 3]
    assert result["classes"] == ["class 4", "class 0", "class 5", "class 2", "class 1"]
    assert [phase["classes"] for phase in result["phases"]] == [2, 4, 5]
    assert result["config"]["epochs"] == 3
    for readout in ("cnn", "nme"):
        confusion = np.array(result[readout]["confusion"])
        assert confusion.sum(axis=1).tolist() == [5] * 5
        assert result[readout]["last"] == pytest.approx(np.trace(confusion) / 25)
        curve = result[readout]["curve"]
        assert result[readout]["average"] == pytest.approx(sum(curve) / 3)
        last = result["phases"][-1][readout]
        assert last["all"] == pytest.approx((20 * last["old"] + 5 * last["new"]) / 25)
        groups = [phase[readout]["groups"] for phase in result["phases"]]
        lost = (max(groups[0][0], groups[1][0]) - groups[2][0] + groups[1][1] - groups[2][1]) / 2
        assert result[readout]["forgetting"] == pytest.approx(lost)
    assert [phase["lambda"] for phase in result["phases"]] == [None, 5.0, 10.0]
    assert all(phase["eta"] > 0 and phase["seconds"] > 0 for phase in result["phases"])
    assert result["flops"] == sum(phase["flops"] for phase in result["phases"]) > 1e6
    (piece,) = result["pieces"]
    assert {"commit", "versions", "hardware", "started", "seconds"} <= set(piece)
    assert seen[-1].accuracy == result["cnn"]["last"]
    assert not (tmp_path / "work" / make_spec().name).exists()


def test_a_method_that_needs_every_image_gets_them(dataset: Dataset, make_spec: MakeSpec, tmp_path: Path) -> None:
    result = read_json(run_benchmark(make_spec("joint"), dataset, tmp_path))
    assert len(result["phases"]) == 3


def test_pieces_equal_one_go(dataset: Dataset, make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec()
    whole = read_json(run_benchmark(spec, dataset, tmp_path / "whole", keep_states=True))
    for _ in range(30):
        try:
            path = run_benchmark(spec, dataset, tmp_path / "pieces", clock=Clock(0.0), keep_states=True)
            break
        except TimeLimitReachedError:
            continue
    pieces = read_json(path)
    assert len(pieces["pieces"]) > 3
    assert without_times(pieces) == without_times(whole)
    first, second = (load_state(tmp_path / name / "work" / spec.name / "phase-2") for name in ("whole", "pieces"))
    assert weights_equal(first.model, second.model)


def test_a_finished_run_is_not_run_again(dataset: Dataset, make_spec: MakeSpec, tmp_path: Path) -> None:
    path = run_benchmark(make_spec("finetune", {"epochs": 1, "milestones": []}), dataset, tmp_path)
    before = path.read_bytes()
    assert run_benchmark(make_spec("finetune", {"epochs": 1, "milestones": []}), dataset, tmp_path) == path
    assert path.read_bytes() == before
    # As if it had been made before there was such a setting: it then has its default.
    older = read_json(path)
    del older["config"]["augment"]["cutout"]
    path.write_text(json.dumps(older))
    assert run_benchmark(make_spec("finetune", {"epochs": 1, "milestones": []}), dataset, tmp_path) == path
    with pytest.raises(StateError, match=r"other settings \(config.epochs, config.milestones\)"):
        run_benchmark(make_spec("finetune"), dataset, tmp_path)


def test_a_run_begun_with_other_data_or_settings_is_refused(
    dataset: Dataset, make_spec: MakeSpec, tmp_path: Path
) -> None:
    with pytest.raises(TimeLimitReachedError):
        run_benchmark(make_spec(), dataset, tmp_path, clock=Clock(0.0))
    with pytest.raises(StateError, match=r"other settings \(config.lr\)"):
        run_benchmark(make_spec(settings={"lr": 0.2}), dataset, tmp_path)
    darker = Dataset("tiny", Split(dataset.train.images // 2, dataset.train.labels), dataset.test, dataset.classes)
    with pytest.raises(StateError, match=r"other settings \(data\)"):
        run_benchmark(make_spec(), darker, tmp_path)


def test_classes_that_the_data_set_does_not_have(dataset: Dataset, make_spec: MakeSpec, tmp_path: Path) -> None:
    fewer = Dataset("tiny", dataset.train, Split(dataset.test.images[:1], dataset.test.labels[:1]), dataset.classes)
    with pytest.raises(DataError, match="has no test image"):
        run_benchmark(make_spec(), fewer, tmp_path)
    with pytest.raises(ConfigError, match="did you mean epochs"):
        make_spec(settings={"epoch": 1})


def test_a_run_under_way_elsewhere_is_left_alone(dataset: Dataset, make_spec: MakeSpec, tmp_path: Path) -> None:
    spec, refused = make_spec("finetune", {"epochs": 1, "milestones": []}), []

    def again(_: RunProgress) -> None:
        with pytest.raises(StateError, match=r"another process works on .*: wait for it, or choose another --output"):
            run_benchmark(spec, dataset, tmp_path)
        refused.append(spec)

    path = run_benchmark(spec, dataset, tmp_path, report=again)
    assert refused
    assert run_benchmark(spec, dataset, tmp_path) == path


def test_a_run_that_lost_its_state_or_its_result_says_so(dataset: Dataset, make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec("joint", {"epochs": 1, "milestones": []})

    def stop(progress: RunProgress) -> None:
        if progress.accuracy is not None:
            raise TimeLimitReachedError

    with pytest.raises(TimeLimitReachedError):
        run_benchmark(spec, dataset, tmp_path, report=stop)
    shutil.rmtree(tmp_path / "work" / spec.name / "phase-0")
    with pytest.raises(StateError, match="has lost the state of phase 0: remove the folder"):
        run_benchmark(spec, dataset, tmp_path)
    (tmp_path / f"{spec.name}.json").write_text(json.dumps({"format": FORMAT, "method": "joint"}))
    for read in (lambda: run_benchmark(spec, dataset, tmp_path), lambda: read_results(tmp_path)):
        with pytest.raises(StateError, match=r"is no whole result of a run .*dataset, protocol.*: remove it"):
            read()
