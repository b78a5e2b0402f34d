"""What was chosen for a version on this machine, and by which rules: remembered beside its local copy. No runtime here.

The next process that loads the version here need not measure again; who reports what is served reads it too.
"""

import hashlib
import json
import logging
import platform
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Self

logger = logging.getLogger(__name__)

PUBLISHED: Final = "fp32"
"""The network itself, as ONNX Runtime computes it."""
NOT_FASTER: Final = "not faster here"
"""Why most copies are refused: it is so for all networks that differ in their numbers only."""
QUANTISED_FILE: Final = "model.int8.onnx"
CHOICE_FILE: Final = "serving_copy.json"
"""What was measured here of the version in the same folder."""


@dataclass(frozen=True, slots=True)
class CopyRules:
    """When a copy may answer; as in the settings."""

    auto: bool = True
    most_changes: float = 0.02
    """Largest share of images whose best class is another one."""
    most_change: float = 0.05
    """Largest change of a probability, a cosine or the score of the known."""

    @classmethod
    def of(cls, copies: str, most_changes: float, most_change: float) -> Self:
        """From the settings' words."""
        return cls(copies == "auto", most_changes, most_change)


NO_COPIES: Final = CopyRules(auto=False)


@dataclass(frozen=True, slots=True)
class Device:
    """What computes: so many threads of the processor, or a CUDA device by its number."""

    threads: int
    gpu: int | None = None


@dataclass(frozen=True, slots=True)
class MeasuredCopy:
    """How fast a copy is, and how near to the published network. ``refused``: why it may not answer, or empty."""

    name: str
    one_ms: float = 0.0
    """Milliseconds for one image alone."""
    batch_ms: float = 0.0
    """Milliseconds for an image of a batch."""
    changes: int = 0
    """Images whose best class is another one."""
    change: float = 0.0
    refused: str = ""

    @property
    def cost(self) -> float:
        """What is compared: half of the images come alone, half in batches."""
        return (self.one_ms + self.batch_ms) / 2


@dataclass(frozen=True, slots=True)
class Choice:
    """The copy that answers, and what was measured to find it; ``images``: how many it was compared on."""

    copy: str = PUBLISHED
    speed: float = 1.0
    """Times as fast as the published network."""
    images: int = 0
    measured: tuple[MeasuredCopy, ...] = ()

    @property
    def by_speed(self) -> bool:
        """Whether it holds for every network that is computed in the same time: no copy was refused for its answers."""
        return all(each.refused in ("", NOT_FASTER) for each in self.measured)

    @property
    def change(self) -> float:
        """Largest difference of an output that the copy has on any of the images."""
        return next((each.change for each in self.measured if each.name == self.copy), 0.0)


NOTHING_CHOSEN: Final = Choice()


def read_choice(folder: Path) -> Choice | None:
    """What was last chosen for the version in ``folder``, whoever did so; None where nothing was."""
    return _read(folder, None)


def remembered(folder: Path, rules: CopyRules, device: Device, digest: str) -> Choice | None:
    """What was chosen for the version with this model on this machine, under the same rules; None: measure."""
    return _read(folder, _key(rules, device, digest))


def chosen_alike(folder: Path, rules: CopyRules, device: Device, family: str) -> Choice | None:
    """What was chosen, on this machine and under the same rules, for a version beside this one whose network differs in
    its numbers only: as fast is this one's copy too, its answers have to be compared.
    """
    wanted = {**_key(rules, device, ""), "family": family}
    for file in sorted(folder.parent.glob(f"*/{CHOICE_FILE}"), reverse=True) if family else ():
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
            found = {**document["key"], "model": "", "family": document["family"]}
        except (OSError, ValueError, KeyError, TypeError):  # of a version that goes, or of an earlier release
            continue
        if found == wanted:
            return _read(file.parent, None)
    return None


def remember(folder: Path, choice: Choice, rules: CopyRules, device: Device, digest: str, family: str = "") -> None:
    """Write the choice beside the version. A folder that cannot be written to costs a measurement, nothing else.

    ``family``: the same for all networks that differ in their numbers only.
    """
    document = {"key": _key(rules, device, digest), "family": family, **asdict(choice)}
    temporary = folder / f"{CHOICE_FILE}.{time.monotonic_ns()}.partial"
    try:
        temporary.write_text(json.dumps(document, indent=2), encoding="utf-8")
        temporary.replace(folder / CHOICE_FILE)
    except OSError as error:
        logger.info("the choice of a serving copy is not remembered: %s", error)


def _read(folder: Path, key: dict[str, Any] | None) -> Choice | None:
    try:
        document = json.loads((folder / CHOICE_FILE).read_text(encoding="utf-8"))
        if document.pop("key") != key and key is not None:
            return None
        document.pop("family", None)
        return Choice(**{**document, "measured": tuple(MeasuredCopy(**each) for each in document["measured"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("%s is measured again: it cannot be read (%s)", folder / CHOICE_FILE, error)
        return None


def _key(rules: CopyRules, device: Device, digest: str) -> dict[str, Any]:
    machine = _machine() if device.gpu is None else f"{_machine()} cuda:{device.gpu} of {_graphics_cards()}"
    return {"model": digest, "threads": device.threads, "rules": asdict(rules), "machine": machine}


@cache
def _machine() -> str:
    """What the speed of a copy depends on: the processor and the runtimes."""
    processor = platform.machine()
    with suppress(OSError):  # not Linux
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
        told = [line for line in first.splitlines() if line.startswith(("model name", "flags", "Features"))]
        processor = hashlib.sha256("\n".join(told).encode()).hexdigest()
    packages = " ".join(_installed(name) for name in ("onnxruntime", "onnxruntime-gpu", "openvino"))
    return f"{processor} {packages}"


@cache
def _graphics_cards() -> str:
    """Their names, as the driver tells them; empty where it does not."""
    told = []
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        with suppress(OSError):
            told.append(file.read_text(encoding="utf-8").partition("\n")[0].partition(":")[2].strip())
    return ", ".join(told)


def _installed(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} -"
