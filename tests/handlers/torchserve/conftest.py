import hashlib
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from handlers.settings import Settings
from handlers.sockets import management_socket
from handlers.stack.ports import free_ports
from handlers.stack.service_list import serving_service
from handlers.torchserve.canary import Canary
from handlers.torchserve.management import ManagementClient, RegisteredVersion
from handlers.torchserve.reconcile import Reconciler, ServingState
from model_store.directory.directory_store import DirectoryStore
from model_store.manifest import Manifest
from model_store.versions import VersionStore
from tests.support.images import encoded
from tests.support.waiting import PATIENCE

COLOURS = {"rot": (255, 0, 0), "grün": (0, 255, 0), "青": (0, 0, 255)}
"""Class names beyond ASCII on purpose."""

MakeVersion = Callable[..., Path]
MakeImage = Callable[..., bytes]
Begun = Callable[..., tuple["Stack", Reconciler]]


def colour_model(weights: NDArray[np.float32], prototypes: NDArray[np.float32], size: int) -> onnx.ModelProto:
    """Mean colour, normalised, times class colours: a classifier in the contract's form. weights: (3, classes)."""

    def constant(name: str, value: NDArray[Any]) -> onnx.TensorProto:
        return numpy_helper.from_array(value, name)

    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("Add", ["mean", "epsilon"], ["shifted"]),
        helper.make_node("LpNormalization", ["shifted"], ["feature"], axis=1, p=2),
        helper.make_node("MatMul", ["feature", "weights"], ["cosines"]),
        helper.make_node("MatMul", ["feature", "prototypes"], ["prototype_cosines"]),
        helper.make_node("Mul", ["cosines", "eta"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    classes = weights.shape[1]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", size, size, 3])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", classes])
            for name in ("probabilities", "cosines", "prototype_cosines")
        ],
        [
            constant("axes", np.array([1, 2], dtype=np.int64)),
            constant("epsilon", np.array([1e-3], dtype=np.float32)),
            constant("weights", weights),
            constant("prototypes", prototypes),
            constant("eta", np.array(10, dtype=np.float32)),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model


@pytest.fixture(scope="session")
def make_version() -> MakeVersion:
    """Write model.onnx and manifest.json of a colour classifier into a folder; returns the folder."""

    def make(folder: Path, version: int = 1, readout: str = "cnn", size: int = 16, **changes: Any) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        weights = np.array(list(COLOURS.values()), dtype=np.float32).T / 255
        # Turned by one class, so that the two readouts can be told apart.
        onnx.save(colour_model(weights, np.roll(weights, 1, axis=1), size), folder / "model.onnx")
        data = (folder / "model.onnx").read_bytes()
        names = list(COLOURS)
        manifest = {
            "format": 1,
            "version": version,
            "parent": version - 1 or None,
            "update_id": f"update-{version}",
            "created_at": "2026-01-02T03:04:05Z",
            "classes": names,
            "new_classes": names,
            "updated_classes": [],
            "preprocessing": {"size": size, "resize": size + 4, "crop": "center", "interpolation": "bilinear"},
            "readout": readout,
            "method": "lucir",
            "config": {},
            "counts": {part: dict.fromkeys(names, 1) for part in ("train", "holdout", "exemplars")},
            "files": {"model.onnx": {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}},
            "software": {},
            "timings": {},
        }
        (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}), encoding="utf-8")
        return folder

    return make


@pytest.fixture(scope="session")
def make_image() -> MakeImage:
    """A noisy image of one of the colours, as a file."""

    def make(name: str = "rot", form: str = "JPEG", side: int = 40, seed: int = 0) -> bytes:
        noise = np.random.default_rng(seed).integers(-20, 20, (side, side, 3))
        pixels = np.clip(np.array(COLOURS[name]) * 0.8 + 25 + noise, 0, 255).astype(np.uint8)
        return encoded(Image.fromarray(pixels), form)

    return make


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables that give a child these settings."""
    serving = settings.serving.model_dump(exclude_defaults=True)
    values = {f"LUCIR_SERVING__{name.upper()}": value for name, value in serving.items()}
    texts = {
        name: json.dumps(value) if isinstance(value, tuple | list) else str(value) for name, value in values.items()
    }
    return {"LUCIR_DATA": str(settings.data), **texts}


@dataclass
class Stack:
    """A store, its versions, and one serving engine that is started and stopped at will."""

    settings: Settings
    versions: VersionStore
    make_version: MakeVersion
    scratch: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        service = serving_service(self.settings, environment_of(self.settings))
        with (self.scratch / "engine.log").open("ab") as log:
            self.process = subprocess.Popen(
                service.command,
                env=dict(service.environment),
                cwd=service.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is None:
            return
        self.process.send_signal(number)
        self.process.wait(PATIENCE)
        self.process = None

    def publish(self, version: int, point: bool = True, canary: Canary | None = None, **changes: Any) -> Manifest:
        folder = self.make_version(self.scratch / f"built-{version}", version, **changes)
        document = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        manifest = Manifest.model_validate({**document, "files": {}})
        files = {"model.onnx": folder / "model.onnx"}
        if canary is not None:
            files["canary.json"] = folder / "canary.json"
            files["canary.json"].write_text(canary.model_dump_json())
        published = self.versions.publish(manifest, files)
        if point:
            self.versions.point_to(version, "test")
        return published

    def settle(
        self, reconciler: Reconciler, until: Callable[[ServingState], bool], timeout: float = PATIENCE
    ) -> ServingState:
        """Step as the loop does until a state is reached."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            state = reconciler.step()
            if until(state):
                return state
            time.sleep(0.1)
        raise AssertionError(f"still {reconciler.state}\n{self.log()[-3000:]}")

    def serve(self, reconciler: Reconciler, version: int, timeout: float = PATIENCE) -> ServingState:
        return self.settle(reconciler, lambda s: s.phase == "serving" and s.served == version, timeout)

    def loaded(self) -> dict[int, RegisteredVersion]:
        """The versions that the engine has loaded."""
        with ManagementClient(management_socket(self.settings)) as management:
            return management.versions()

    def log(self) -> str:
        return (self.scratch / "engine.log").read_text(errors="replace")

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.settings.inference_url + path, timeout=60)

    def post(self, image: bytes, path: str = "/predictions/lucir", **headers: str) -> httpx.Response:
        return httpx.post(self.settings.inference_url + path, content=image, headers=headers, timeout=60)


@pytest.fixture
def engine() -> str:
    """What serves; files of tests for both engines have a fixture of their own."""
    return "torchserve"


@pytest.fixture
def new_stack(tmp_path: Path, make_version: MakeVersion, engine: str) -> Iterator[Callable[..., Stack]]:
    """Make stacks of their own; whatever they started is stopped."""
    stacks: list[Stack] = []

    def make(**serving: Any) -> Stack:
        serving = {"engine": engine, **serving}
        scratch = tmp_path / f"stack{len(stacks)}"
        scratch.mkdir()
        ports = dict(zip(("port", "metrics_port"), free_ports(2), strict=True))
        settings = Settings.model_validate({"data": scratch / "data", "serving": {**ports, **serving}})
        store = DirectoryStore(scratch / "data" / "store")
        stacks.append(Stack(settings, VersionStore(store), make_version, scratch))
        return stacks[-1]

    yield make
    for stack in stacks:
        stack.stop(signal.SIGKILL)


@pytest.fixture
def stack(new_stack: Callable[..., Stack]) -> Stack:
    """A store that is empty and an engine that is running."""
    stack = new_stack()
    stack.start()
    return stack


@pytest.fixture
def reconciler(stack: Stack) -> Iterator[Reconciler]:
    with Reconciler(stack.settings, stack.versions) as reconciler:
        yield reconciler


@pytest.fixture
def begun(new_stack: Callable[..., Stack]) -> Iterator[Begun]:
    """Make stacks of their own that serve their version 1."""
    with ExitStack() as kept:

        def make(**serving: Any) -> tuple[Stack, Reconciler]:
            stack = new_stack(**serving)
            stack.start()
            stack.publish(1)
            reconciler = kept.enter_context(Reconciler(stack.settings, stack.versions))
            stack.serve(reconciler, 1)
            return stack, reconciler

        yield make
