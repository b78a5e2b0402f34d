import runpy
from pathlib import Path

import pytest

from lucir_core import examples
from lucir_core.config.method_registry import DECLARED
from lucir_core.config.phase_config import config_from_dict
from lucir_core.errors import ConfigError
from lucir_core.export.onnx_export import compare_onnx, export_onnx
from lucir_core.methods.base import METHODS
from lucir_core.phase import run_phase
from lucir_core.state import load_state, save_state
from lucir_core.testing import synthetic_phase, tiny_config

PROGRAM = Path(str(examples.__file__)).with_name("own_method.py")


@pytest.fixture(autouse=True)
def registry_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests run over all registered methods."""
    for registry in (METHODS, DECLARED):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))  # noqa: SLF001 (nothing else may forget)


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


def test_its_settings_are_a_branch_of_its_own_configs_only(tmp_path: Path) -> None:
    settings = runpy.run_path(str(PROGRAM))["DistanceSettings"]
    config = tiny_config({"method": "feature_distance", "feature_distance.weight": 0.5, "epochs": 1, "milestones": []})
    assert config.settings_of(settings).weight == 0.5
    assert config_from_dict(config.to_dict()) == config
    save_state(run_phase(config, synthetic_phase({0: 6, 1: 6}, 2), None), tmp_path)
    assert load_state(tmp_path).config == config
    assert "feature_distance" not in tiny_config().to_dict()
    with pytest.raises(ConfigError, match="has no DistanceSettings"):
        tiny_config().settings_of(settings)
    with pytest.raises(ConfigError, match=r"unknown key 'feature_distance.wait': did you mean weight"):
        tiny_config({"method": "feature_distance", "feature_distance.wait": 1})
    with pytest.raises(ConfigError, match="registered twice"):
        runpy.run_path(str(PROGRAM))


def test_it_runs_as_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(PROGRAM), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert "distance" in lines[0]
    assert lines[-1] == "('class-0', 'class-1', 'class-2') [5 5 5]"


def test_it_is_short() -> None:
    assert len(PROGRAM.read_text().splitlines()) < 75
