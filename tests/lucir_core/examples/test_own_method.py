import runpy
from pathlib import Path

import pytest

from lucir_core import examples
from lucir_core.export.onnx_export import compare_onnx, export_onnx
from lucir_core.methods.base import METHODS
from lucir_core.phase import run_phase
from lucir_core.testing import synthetic_phase, tiny_config

PROGRAM = Path(str(examples.__file__)).with_name("own_method.py")


@pytest.fixture(autouse=True)
def registry_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests run over all registered methods."""
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))


def test_a_method_of_ones_own_learns_resumes_and_exports(tmp_path: Path) -> None:
    runpy.run_path(str(PROGRAM))
    config = tiny_config({"method": "feature_distance", "epochs": 2, "milestones": []})
    first = run_phase(config, synthetic_phase({0: 12, 1: 12}, 2), None)
    losses: list[float] = []
    second = run_phase(
        config, synthetic_phase({2: 12}, 3), first, report=lambda epoch: losses.append(epoch.losses["distance"])
    )
    assert second.classes == ("class-0", "class-1", "class-2")
    assert len(losses) == 2
    export_onnx(second, tmp_path / "model.onnx")
    check = compare_onnx(second, tmp_path / "model.onnx", synthetic_phase({0: 4, 2: 4}, 3, seed=1).images)
    assert check.max_probability_difference < 1e-5


def test_it_runs_as_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(PROGRAM), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert "distance" in lines[0]
    assert lines[-1] == "('class-0', 'class-1', 'class-2') [5 5 5]"


def test_it_is_short() -> None:
    assert len(PROGRAM.read_text().splitlines()) < 60
