"""``lucir bench``: a run, a stop at the time limit and its status, the page, and what people get wrong."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from benchmarks.rehearsal.run import rehearse
from handlers.cli.bench.bench_run import method_and_preset
from handlers.cli.errors import FAILED, USAGE, CommandError
from handlers.cli.main import app
from lucir_core.bench.run_protocol import Clock, TimeLimitReachedError
from lucir_core.methods.finetune import Finetune
from lucir_core.testing import synthetic_images
from lucir_core.training.phase_run import PhaseRun
from tests.support.learning.strips import write_strips
from tests.support.waiting import PATIENCE

QUICK = ("--protocol", "custom", "--sizes", "2,2", "--set", "network=resnet8", "--set", "milestones=[]")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four classes in the form of the CIFAR-100 folder of strips."""
    for split, count in (("train", 8), ("test", 3)):
        images = np.concatenate([synthetic_images(label, count, side=32) for label in range(4)])
        write_strips(tmp_path / "data", split, list("abcd"), images, np.repeat(np.arange(4, dtype=np.uint8), count))
    return tmp_path / "data"


def bench(*arguments: object) -> str:
    """Run the command in this process; what `main` would turn into an exit status is raised."""
    result = CliRunner().invoke(app, ["bench", *map(str, arguments)])
    if isinstance(result.exception, Exception):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_runs_and_their_page(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    quick = (*QUICK, "--set", "epochs=1", "--order", "3,1,0,2", "--label", "quick")
    shown = bench("cifar100", "--data", data, "--output", output, "--seeds", 2, "--seed", 5, "--device", "cpu", *quick)
    assert "quick, custom, seed 6" in shown
    results = [json.loads(path.read_text()) for path in sorted(output.glob("*.json"))]
    assert [result["seed"] for result in results] == [5, 6]
    assert results[0]["classes"] == ["d", "b", "a", "c"]
    assert "report.md" in bench("report", output)
    assert "| quick |" in (output / "report.md").read_text()


def suite_of(path: Path, *runs: dict[str, Any], **settings: Any) -> Path:
    """Write the file of a suite of short runs; ``settings`` are those of the last one."""
    short = {"network": "resnet8", "milestones": [], "epochs": 1}
    whole = [{"protocol": "custom", "settings": short, **run} for run in runs]
    whole[-1]["settings"] = short | settings
    suite = {"description": "x", "dataset": "cifar100", "seeds": [1], "runs": whole}
    path.write_text(json.dumps(suite), encoding="utf-8")
    return path


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Two runs."""
    return suite_of(
        tmp_path / "tiny.yaml", {"method": "lucir", "sizes": [2, 2]}, {"method": "finetune", "sizes": [3, 1]}
    )


def test_a_suite(data: Path, suite: Path, tmp_path: Path) -> None:
    bench("suite", suite, "--data", data, "--output", tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [
        "cifar100.custom-1.finetune.1.json",
        "cifar100.custom-1.lucir.1.json",
        "confusion-cifar100-custom-1.png",
        "report.md",
    ]


@pytest.mark.slow
def test_a_suite_in_two_processes_is_the_same(
    data: Path, suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.cli.bench.bench_suite.threads_each", lambda jobs: 1)  # however many cores there are
    threads = torch.get_num_threads()
    shown = bench("suite", suite, "--data", data, "--output", tmp_path / "both", "--jobs", 2, "--device", "cpu")
    assert "lucir, custom, seed 1" in shown
    assert "finetune, custom, seed 1" in shown
    assert (tmp_path / "both" / "report.md").is_file()
    torch.set_num_threads(1)
    try:
        bench("suite", suite, "--data", data, "--output", tmp_path / "one", "--device", "cpu")
    finally:
        torch.set_num_threads(threads)
    for name in ("cifar100.custom-1.finetune.1.json", "cifar100.custom-1.lucir.1.json"):
        both, one = (json.loads((tmp_path / where / name).read_text()) for where in ("both", "one"))
        assert (both["cnn"], both["nme"]) == (one["cnn"], one["nme"])


def test_a_suite_learns_common_beginnings_once_and_goes_on_where_it_was_cut_off(data: Path, tmp_path: Path) -> None:
    runs = {"method": "lucir", "sizes": [2, 2]}, {"method": "lucir", "label": "no-lf", "sizes": [2, 1]}
    suite = suite_of(tmp_path / "ablation.yaml", *runs, less_forget=False)
    words = ("suite", suite, "--data", data, "--output", tmp_path / "out")
    first = bench(*words, "--run", "cifar100.custom-1.lucir.1")
    assert "phase 0 as learnt" not in first
    assert len(list((tmp_path / "out" / "work" / "starts").iterdir())) == 2  # the state and its lock
    shown = " ".join(bench(*words).split())
    assert "phase 0 as learnt by cifar100.custom-1.lucir.1 in" in shown
    assert "2 of 2 runs done, 100% of the work" in shown
    assert not (tmp_path / "out" / "work").exists()


@pytest.mark.slow
def test_a_run_that_fails_does_not_end_the_others(data: Path, tmp_path: Path) -> None:
    """The first of a suite diverges: it is told, the others are carried out, and the page shows them."""
    words = ("--data", data, "--output", tmp_path / "out", "--device", "cpu")
    wild = {"network": "resnet8", "milestones": [], "epochs": 3, "lr": 1e30}
    runs = (
        {"method": "finetune", "sizes": [2, 2], "label": "finetune-wild", "settings": wild},
        {"method": "lucir", "sizes": [2, 2]},
        {"method": "finetune", "sizes": [2, 2]},
    )
    suite = suite_of(tmp_path / "failing.yaml", *runs)
    with pytest.raises(CommandError, match=r"finetune-wild\.1 failed: training diverged.*the same command") as raised:
        bench("suite", suite, *words)
    assert raised.value.status == FAILED
    done = sorted(path.name for path in (tmp_path / "out").glob("*.json"))
    assert done == ["cifar100.custom-1.finetune.1.json", "cifar100.custom-1.lucir.1.json"]
    assert "| lucir |" in (tmp_path / "out" / "report.md").read_text()
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.json")}
    with pytest.raises(CommandError, match=r"finetune-wild\.1 failed"):
        bench("suite", suite, *words)
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.json")} == times
    suite_of(tmp_path / "failing.yaml", {**runs[0], "settings": {**wild, "lr": 0.1}}, *runs[1:])
    shutil.rmtree(tmp_path / "out" / "work")
    assert "3 of 3 runs done" in " ".join(bench("suite", suite, *words).split())


def test_seeds_go_on_past_one_that_fails(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in a method of one's own, which nobody foresaw."""
    learn, slips = Finetune.learn, ["a slip of the pen"]

    def fails_once(self: Finetune, run: PhaseRun) -> None:
        if slips:
            raise TypeError(slips.pop())
        learn(self, run)

    monkeypatch.setattr(Finetune, "learn", fails_once)
    words = ("cifar100", "--data", data, "--output", tmp_path / "out", "--device", "cpu", "--method", "finetune")
    with pytest.raises(CommandError, match=r"finetune\.5 failed: TypeError: a slip of the pen"):
        bench(*words, *QUICK, "--set", "epochs=1", "--seed", 5, "--seeds", 2)
    assert [path.name for path in (tmp_path / "out").glob("*.json")] == ["cifar100.custom-1.finetune.6.json"]
    slips.append("another slip")
    with pytest.raises(TypeError, match="another slip"):  # alone it is a bug like any other
        bench(*words, *QUICK, "--set", "epochs=1", "--seed", 5)


OWN = """
from lucir_core.methods import register_method
from lucir_core.methods.finetune import Finetune


@register_method("my_method")
class Mine(Finetune):
    pass
"""


@pytest.mark.slow
def test_a_method_of_ones_own_is_measured_without_a_change_of_the_repository(data: Path, tmp_path: Path) -> None:
    """In processes of their own: methods are registered once and for all in one."""
    (tmp_path / "my_methods.py").write_text(OWN)
    words = ("bench", "cifar100", "--data", data, "--output", "out", "--device", "cpu", *QUICK, "--set", "epochs=1")

    def lucir(*arguments: object) -> str:
        root = Path(__file__).parents[3]
        done = subprocess.run(
            [sys.executable, "-m", "handlers.cli.main", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return f"{done.returncode} {done.stdout} {done.stderr}"

    assert lucir(*words, "--import", "my_methods", "--method", "my_method").startswith("0 ")
    (path,) = (tmp_path / "out").glob("*.json")
    result = json.loads(path.read_text())
    assert (result["method"], result["label"], result["module"]) == ("my_method", "my_method", "my_methods")
    assert lucir("bench", "report", "out").startswith("0 ")  # what is shown needs no module
    page = (tmp_path / "out" / "report.md").read_text()
    assert "| my_method |" in page
    assert "--import my_methods" in page


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (None, "no_such_module", "--import no_such_module: no such module is installed or lies in"),
        (None, "mine.py", "name it as Python imports it"),
        ("1 / 0", "broken_module", "--import broken_module: the module fails .ZeroDivisionError"),
        ("import no_such_package", "needing_module", "--import needing_module: the module fails .ModuleNotFoundError"),
    ],
)
def test_modules_that_cannot_be_imported(
    text: str | None, name: str, message: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    if text is not None:
        (tmp_path / f"{name}.py").write_text(text)
    with pytest.raises(CommandError, match=message) as raised:
        bench("cifar100", "--data", data, "--output", tmp_path / "out", "--import", name)
    assert raised.value.status == USAGE


def test_one_run_of_a_suite(data: Path, suite: Path, tmp_path: Path) -> None:
    bench("suite", suite, "--data", data, "--output", tmp_path / "out", "--run", "cifar100.custom-1.lucir.1")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cifar100.custom-1.lucir.1.json"]
    with pytest.raises(CommandError, match=r"did you mean cifar100\.custom-1\.lucir\.1") as raised:
        bench("suite", suite, "--data", data, "--output", tmp_path / "out", "--run", "cifar100.custom-1.lucir.2")
    assert raised.value.status == USAGE


def test_validation_images_take_the_place_of_the_test_images(data: Path, tmp_path: Path) -> None:
    words = (*QUICK, "--set", "epochs=1", "--order", "3,1,0,2", "--validation", 2)
    bench("cifar100", "--data", data, "--output", tmp_path / "out", *words)
    (path,) = (tmp_path / "out").glob("*.json")
    result = json.loads(path.read_text())
    assert result["dataset"] == "cifar100-validation2"
    assert result["phases"][-1]["test_images"] == 4 * 2


@pytest.mark.slow
def test_runs_side_by_side_keep_the_time_limit_and_tell_of_errors(data: Path, suite: Path, tmp_path: Path) -> None:
    words = ("suite", suite, "--data", data, "--output", tmp_path / "out", "--jobs", 2, "--device", "cpu")
    with pytest.raises(CommandError, match=r"cifar100\.custom-1\.\w+\.1 failed: training diverged") as raised:
        bench(*words, "--set", "lr=1e30", "--set", "epochs=3")
    assert raised.value.status == FAILED
    with pytest.raises(CommandError, match="run the same command again to continue") as raised:
        bench(*words, "--time-limit", 1)
    assert raised.value.status == 75


def test_the_time_limit_between_two_runs_has_that_status_too(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def over(_: Clock) -> None:
        raise TimeLimitReachedError

    monkeypatch.setattr(Clock, "pause", over)
    words = (
        "cifar100",
        "--data",
        data,
        "--output",
        tmp_path / "out",
        "--seeds",
        2,
        "--device",
        "cpu",
        "--time-limit",
        99,
    )
    with pytest.raises(CommandError, match="99 s came first, 1 of 2 runs are left") as raised:
        bench(*words, *QUICK, "--set", "epochs=1")
    assert raised.value.status == 75
    assert len(list((tmp_path / "out").glob("*.json"))) == 1


def test_the_time_limit_has_a_status_of_its_own(data: Path, tmp_path: Path) -> None:
    long = (*QUICK, "--set", "epochs=2000", "--time-limit", 1)
    with pytest.raises(CommandError, match="1 of 1 runs are left; run the same command again") as raised:
        bench("cifar100", "--data", data, "--output", tmp_path / "out", *long)
    assert raised.value.status == 75
    assert list((tmp_path / "out" / "work").iterdir())


@pytest.mark.parametrize(
    ("arguments", "message", "status"),
    [
        (("--method", "lucia"), "did you mean lucir", USAGE),
        (("--set", "epoch=1"), "did you mean", USAGE),
        (("--set", "method=icarl"), "settings say method = icarl, and lucir would run", USAGE),
        (("--protocol", "b50", "--phases", "7"), "7 phases: choose one of 1, 2", USAGE),
        (("--order", "1,2,1"), "repeats class 1", USAGE),
        (("--protocol", "custom", "--sizes", "2,x"), "write whole numbers", USAGE),
        (("--device", "tpu-of-mine"), "choose auto, cpu or cuda", USAGE),
        (("--set", "memory_total=3", "--phases", "1"), "memory_total is 3 for 4 classes", USAGE),
        (("--data", "nowhere"), "no cifar100 in nowhere", FAILED),
    ],
)
def test_mistakes(data: Path, tmp_path: Path, arguments: tuple[str, ...], message: str, status: int) -> None:
    with pytest.raises(CommandError, match=message) as raised:
        bench("cifar100", "--data", data, "--phases", 2, "--output", tmp_path / "out", *arguments)
    assert raised.value.status == status
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("method", "preset", "expected"),
    [
        (None, None, ("lucir", "cifar100")),
        ("bic", None, ("bic", "cifar100_bic")),
        (None, "cifar100_bic", ("bic", "cifar100_bic")),
        ("finetune", "cifar100_bic", ("finetune", "cifar100_bic")),
    ],
)
def test_a_preset_brings_its_method_and_a_method_its_preset(
    method: str | None, preset: str | None, expected: tuple[str, str]
) -> None:
    assert method_and_preset(method, preset, "cifar100") == expected


def test_a_report_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="not a folder") as raised:
        bench("report", tmp_path / "nowhere")
    assert raised.value.status == FAILED


def folder_config(tmp_path: Path, *changes: str) -> dict[str, Any]:
    """The configuration of a short run over a folder of images, with these settings."""
    for split, count in (("train", 4), ("val", 2)):
        for name in ("ant", "bee", "cat", "dog"):
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for index in range(count):
                colours = np.random.default_rng(index).integers(0, 255, (16, 16, 3), np.uint8)
                Image.fromarray(colours).save(tmp_path / "data" / split / name / f"{index}.png")
    settings = ("epochs=1", "min_steps=1", "cbf.enabled=false", *changes)
    small = ("--protocol", "custom", "--sizes", "2,2", "--device", "cpu")
    assigned = [word for text in settings for word in ("--set", text)]
    bench("folder", "--data", tmp_path / "data", "--output", tmp_path / "out", *small, *assigned)
    (result,) = (tmp_path / "out").glob("*.json")
    config: dict[str, Any] = json.loads(result.read_text())["config"]
    return config


@pytest.mark.slow
def test_a_folder_of_images_is_learnt_from_scratch_by_default(tmp_path: Path) -> None:
    config = folder_config(tmp_path)
    assert (config["network"], config["size"], config["resize"]) == ("resnet18", 64, 72)


@pytest.mark.slow
def test_a_folder_of_images_at_another_size(tmp_path: Path) -> None:
    config = folder_config(tmp_path, "size=32", "resize=40")
    assert (config["size"], config["resize"]) == (32, 40)


def test_a_folder_of_images_has_the_size_of_a_network_of_timm(tmp_path: Path) -> None:
    config = folder_config(tmp_path, "network=timm:test_resnet")
    assert (config["size"], config["resize"]) == (160, 160)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_suite_rehearsed_is_cut_off_killed_moved_and_finished(tmp_path: Path) -> None:
    """The first line of the real suite, LUCIR with 5 phases, and its page."""
    shown = rehearse(tmp_path, "cifar100", 1.0, lines=1, rest=300.0)
    assert [piece["status"] for piece in shown["pieces"]] == [75, -9, 0]
    assert (shown["finished"], shown["in_pieces"], shown["phases"]) == (1, 1, 6)
    assert (shown["page"], shown["left_in_work"]) == (True, 0)
