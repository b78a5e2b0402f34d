"""Where a run was made: code, versions, hardware."""

import os
import platform
import shutil
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from lucir_core.runtime.distributed import world

PACKAGES = ("lucir", "torch", "torchvision", "numpy")


def environment(device: str, commit: str | None) -> dict[str, Any]:
    """Plain values for JSON. commit: of the code, where its folder has no history to ask (on another machine)."""
    return {
        "commit": commit or code_commit(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "hardware": hardware(device),
    }


def hardware(device: str) -> dict[str, Any]:
    """The processor, and the GPU where `device` is one."""
    facts: dict[str, Any] = {
        "device": device,
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": world().size,
    }
    if torch.device(device).type == "cuda":
        properties = torch.cuda.get_device_properties(torch.device(device))
        facts["gpu"] = properties.name
        facts["gpu_memory_bytes"] = properties.total_memory
        facts["cuda"] = torch.version.cuda
    return facts


@cache
def code_commit() -> str | None:
    """The commit that this package stands in, `+` behind it with changes in Python or YAML files; None without Git."""
    git, folder = shutil.which("git"), Path(__file__).resolve().parents[1]
    if git is None:
        return None
    commands = ((git, "rev-parse", "HEAD"), (git, "status", "--porcelain", "--", "*.py", "*.yaml"))
    answers = [
        subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, encoding="utf-8")
        for command in commands
    ]
    if any(answer.returncode for answer in answers):
        return None
    return answers[0].stdout.strip() + ("+" if answers[1].stdout.strip() else "")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
