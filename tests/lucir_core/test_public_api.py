import re
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

import lucir_core
from lucir_core.testing import synthetic_phase

README = Path(lucir_core.__file__).parent.parent / "README.md"


def test_the_example_of_the_readme_learns_and_exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = [
        code for code in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL) if "run_phase" in code
    ]
    assert len([line for line in program.splitlines() if line]) <= 10
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "README.md", "exec"), {})
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    images = synthetic_phase({0: 20, 1: 20, 2: 20}, 3, seed=9)
    (probabilities,) = session.run(["probabilities"], {"images": images.images})
    assert (probabilities.argmax(axis=1) == images.labels).mean() > 0.5


def test_every_public_name_is_there() -> None:
    for name in lucir_core.__all__:
        assert getattr(lucir_core, name).__doc__, name
    with pytest.raises(AttributeError, match=r"no attribute 'run_phases'.*run_phase"):
        lucir_core.run_phases  # noqa: B018  # looked up for its error


def test_importing_the_library_does_not_import_torch() -> None:
    program = (
        "import sys, lucir_core, lucir_core.evaluate; lucir_core.load_preset('small'); print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
