"""The finetuning that ``lucir demo`` compares with: really trained, hardly."""

import json
from pathlib import Path

import pytest

from handlers.demo.plain_finetuning import main

FAST = {"network": "resnet8", "size": 8, "resize": 8, "epochs": 1, "cbf": {"enabled": False}}


@pytest.mark.slow
def test_each_phase_is_judged_on_all_test_images_so_far(tmp_path: Path) -> None:
    spec, result = tmp_path / "spec.json", tmp_path / "result.json"
    spec.write_text(json.dumps({"seed": 1, "preset": "digits", "overrides": FAST, "device": "auto"}))
    main([str(spec), str(result)])
    phases = json.loads(result.read_text())
    assert [sorted(phase["right"]) for phase in phases] == [list("01234"), list("0123456"), list("0123456789")]
    assert phases[0]["counts"]["0"] == 36
    assert all(0 <= phase["right"][name] <= phase["counts"][name] for phase in phases for name in phase["right"])
    old = sum(phases[2]["right"][name] for name in "0123456")
    assert old < 0.5 * sum(phases[2]["counts"][name] for name in "0123456")  # it forgets: that is the point
