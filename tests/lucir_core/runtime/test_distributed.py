"""Two real processes over Gloo learn what one process learns."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from handlers.stack.ports import free_ports
from lucir_core.bench.result_file import read_json
from lucir_core.errors import ConfigError
from lucir_core.models.global_norm import GlobalBatchNorm2d, share_statistics
from lucir_core.runtime.distributed import World, gathered, processes, shared_batch, world
from lucir_core.state import LearnerState, load_state
from tests.support.processes import two_processes
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.timeout(1200)  # the first test learns everything, twice

METHODS = ("lucir", "finetune", "icarl", "icarl_original", "eeil", "bic", "der")
CHILD = Path(str(two_processes.__file__))


def run_processes(count: int, *arguments: str) -> None:
    """As torchrun starts them; fails with what they wrote."""
    (port,) = free_ports(1)
    base = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    children = [
        subprocess.Popen(
            [sys.executable, str(CHILD), *arguments],
            env={**os.environ, **(base if count > 1 else {}), **({"RANK": str(rank)} if count > 1 else {})},
            stdout=pipe,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(count)
    ]
    try:
        said = [child.communicate(timeout=2 * PATIENCE)[0] for child in children]
    finally:
        for child in children:
            child.kill()
    assert [child.returncode for child in children] == [0] * count, "\n".join(said)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Results of one process and of two: two phases of every method, and a benchmark run."""
    alone, together = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("together")
    run_processes(1, str(alone), *METHODS)
    run_processes(2, str(together), *METHODS)
    return alone, together


def states(folders: tuple[Path, Path], method: str) -> tuple[LearnerState, LearnerState]:
    one, two = (load_state(folder / method) for folder in folders)
    return one, two


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_learn_what_one_learns(folders: tuple[Path, Path], method: str) -> None:
    one, two = states(folders, method)
    before = load_state(folders[0] / f"{method}-start").model.state_dict()
    ours, theirs = one.model.state_dict(), two.model.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(
            theirs[name], value, rtol=1e-3, atol=1e-3, msg=lambda text, name=name: f"{name}: {text}"
        )
    # DER keeps its first branch and trains a copy of it.
    pairs = [(value, before.get(name.replace("branches.1", "branches.0"))) for name, value in ours.items()]
    moved = max(float((now - old).abs().max()) for now, old in pairs if old is not None and old.shape == now.shape)
    assert moved > 0.01
    assert one.exemplars.pngs == two.exemplars.pngs
    torch.testing.assert_close(two.prototypes, one.prototypes, rtol=1e-3, atol=1e-3)
    assert not any(isinstance(module, GlobalBatchNorm2d) for module in two.model.modules())


@pytest.mark.slow
def test_reported_losses_are_those_of_the_whole_batch(folders: tuple[Path, Path]) -> None:
    one, two = (json.loads((folder / "losses.json").read_text()) for folder in folders)
    assert [sorted(epoch) for epoch in one] == [sorted(epoch) for epoch in two]
    for ours, theirs in zip(one, two, strict=True):
        assert theirs == pytest.approx(ours, rel=1e-3, abs=1e-5)


@pytest.mark.slow
def test_a_benchmark_run_has_the_same_curve_and_one_set_of_files(folders: tuple[Path, Path]) -> None:
    (one,), (two,) = ([read_json(path) for path in (folder / "bench").glob("*.json")] for folder in folders)
    for readout in ("cnn", "nme"):
        assert two[readout]["curve"] == pytest.approx(one[readout]["curve"], abs=0.021)
    assert two["pieces"][0]["hardware"]["processes"] == 2
    assert not (folders[1] / "bench" / "work").exists()


def test_shares_cover_a_batch_and_differ_by_one_at_most() -> None:
    for size in (1, 2, 3, 8):
        for count in (1, 2, 7, 128):
            parts = [World(rank, size).share(count) for rank in range(size)]
            assert [i for part in parts for i in range(count)[part]] == list(range(count))
            assert World(0, size).sizes(count) == [len(range(count)[part]) for part in parts]
            assert max(World(0, size).sizes(count)) - min(World(0, size).sizes(count)) <= 1


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with processes("cpu") as device:
        assert device == "cpu"
        assert world() == World(0, 1)
        assert world().broadcast("yes") == "yes"
    features = torch.ones(3, 2)
    assert gathered(features) is features


def test_a_loss_that_adds_images_of_its_own_is_refused_in_a_shared_batch() -> None:
    with shared_batch(4), pytest.raises(ConfigError, match="runs in one process only"):
        gathered(torch.ones(8, 2))


def test_statistics_are_shared_and_taken_back() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm2d(4)))
    share_statistics(model, on=True)
    assert [type(module) for module in (model[0], model[1][0])] == [GlobalBatchNorm2d] * 2
    share_statistics(model, on=False)
    assert [type(module) for module in (model[0], model[1][0])] == [nn.BatchNorm2d] * 2
