"""Space and GPUs, from a program that answers as nvidia-smi does and from one that does not."""

import shutil
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from handlers.sidecar.machine_metrics import MachineCollector

ANSWER = "0, 37, 1024, 81559\n1, [N/A], 0, 81559\n"


def registry(data: Path) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(MachineCollector(data))
    return registry


def program(folder: Path, text: str) -> None:
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_space_is_that_of_the_data_folder_even_before_it_is_made(tmp_path: Path) -> None:
    told = registry(tmp_path / "not" / "yet")
    assert told.get_sample_value("lucir_data_size_bytes") == shutil.disk_usage(tmp_path).total
    assert 0 < (told.get_sample_value("lucir_data_free_bytes") or 0) <= shutil.disk_usage(tmp_path).total


def test_gpus_are_told_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, f"printf '{ANSWER}'")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    told = registry(tmp_path)
    assert told.get_sample_value("lucir_gpu_utilization_ratio", {"gpu": "0"}) == pytest.approx(0.37)
    assert told.get_sample_value("lucir_gpu_memory_used_bytes", {"gpu": "0"}) == 1024 * 1024 * 1024
    assert told.get_sample_value("lucir_gpu_memory_size_bytes", {"gpu": "1"}) == 81559 * 1024 * 1024
    assert told.get_sample_value("lucir_gpu_utilization_ratio", {"gpu": "1"}) is None


@pytest.mark.parametrize("text", ["exit 9", "echo no figures"])
def test_a_program_that_fails_takes_no_other_figure_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    program(tmp_path, text)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert (registry(tmp_path).get_sample_value("lucir_data_free_bytes") or 0) > 0
