"""Every block of the documents that a reader would type is run beside one stack, or says why not."""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from handlers.cli.main import app
from tests.support.document_blocks import blocks
from tests.support.learning.refined import drawn_weights, frozen_overrides
from tests.support.processes.stack import DIGITS, Stack, running
from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", *(f"docs/{name}.md" for name in ("quickstart", "export", "client", "backup"))]
"""Those with blocks that are run, in the order of a person who reads them."""
OTHERS = sorted(
    {str(path.relative_to(ROOT)) for path in [*ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")]} - set(DOCUMENTS)
)
CLASSES = {"cat": "0", "dog": "1", "kitten": "2", "tomcat": "3", "parrot": "4", "robin": "5"}
SETTINGS = (
    "learning.preset=photo",  # with a small network in place of its own
    "serving.engine=uvicorn",
    "gate={max_old_accuracy_loss: 1, min_new_accuracy: 0}",  # these are digits
    "updater.poll_seconds=0.3",
    "updater.settle_seconds=0.5",
)


@pytest.mark.parametrize("document", OTHERS)
def test_what_is_not_run_says_why(document: str) -> None:
    silent = [block.text for block in blocks(ROOT, document) if not block.not_run]
    assert silent == [], f"{document}: run these in {Path(__file__).name}, or say why not above them"


def write(path: Path, data: bytes) -> None:
    """A digit as a JPEG of the size of a small photograph."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(io.BytesIO(data)) as image:
        image.convert("RGB").resize((64, 64)).save(path, quality=95)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """What the documents take for granted: folders of images, and images to ask about."""
    for name in ("cat", "dog", "kitten", "tomcat", "parrot"):
        for number, data in enumerate(DIGITS.train[CLASSES[name]][:8]):
            write(tmp_path / "pets" / name / f"{number}.jpg", data)
    for number, data in enumerate(DIGITS.train[CLASSES["robin"]][:8]):
        write(tmp_path / "birds" / "robin" / f"{number}.jpg", data)
    (tmp_path / "birds" / "robin" / "note.jpg").write_text("not an image")
    for name, index in (("cat.jpg", 0), ("cat-7.jpg", 1), ("cat-8.jpg", 2), ("holiday/1.jpg", 3), ("holiday/2.jpg", 4)):
        write(tmp_path / name, DIGITS.test["0"][index])
    return tmp_path


def on_this_desk(text: str, stack: Stack, desk: Path) -> str:
    """Ports that are free here, and folders that may be written."""
    for port, url in (("8080", stack.record.inference_url), ("8090", stack.record.updater_url)):
        text = re.sub(rf"http://(?:127\.0\.0\.1|localhost):{port}", url, text)
    return text.replace("/backups/", f"{desk}/backups/")


def lucir(words: list[str]) -> tuple[int, str]:
    """A command of ``lucir`` in this process, which has imported everything: its status, and what it says."""
    answer = CliRunner().invoke(app, words)
    return answer.exit_code, answer.output


def shell(line: str, desk: Path) -> tuple[int, str]:
    """Any other command. ``python`` is this one; curl succeeds with any answer, and is looked at."""
    bash = shutil.which("bash")
    assert bash is not None
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [bash, "-c", line], cwd=desk, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    wrong = line.startswith("curl") and '"model_version"' not in done.stdout
    return done.returncode or int(wrong), done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_is_run_works(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    typed: set[str] = set()
    network = json.dumps(frozen_overrides(drawn_weights(desk / "drawn.safetensors")))
    with running(desk / "lucir-data", settings=(*SETTINGS, f"learning.overrides={network}")) as stack:
        for block in (block for document in DOCUMENTS for block in blocks(ROOT, document) if not block.not_run):
            if block.kind == "python":
                exec(compile(on_this_desk(block.text, stack, desk), block.document, "exec"), {})
                continue
            for line in block.lines:
                command = line.replace(".venv/bin/", "")
                if command in typed:  # the documents repeat what a reader of one of them needs
                    continue
                typed.add(command)
                here = on_this_desk(command, stack, desk)
                words = shlex.split(here)
                status, said = lucir(words[1:]) if words[0] == "lucir" else shell(here, desk)
                assert status == 0, f"{block.document}: {line}\n{said}"
    assert {command.split()[1] for command in typed if command.startswith("lucir ")} >= {
        *("drop", "predict", "class", "correct", "image", "report", "export", "backup", "restore")
    }
