"""TorchServe with PyTorch, as its documentation has it (``pip install torchserve torch torchvision captum``, Java).

Its own handler for image classification (``torchserve_handler``), the network in TorchScript, two workers that take
batches; a body is an image file.
"""

import json
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from benchmarks.serving.others.network import BATCH, LONGEST_MS, WAIT_MS, WORKERS, version_folder

TORCHSCRIPT = "PEER_TORCHSCRIPT"
"""Names the variable with the network's file."""
VERSION = "1.0"


def main() -> None:
    """Serve until it is stopped: the process becomes TorchServe's Java."""
    port, file = sys.argv[1], Path(os.environ[TORCHSCRIPT])
    store = file.with_name("torchserve_peer")
    write_model(store / "lucir", file)
    config = store / "config.properties"
    config.write_text(_config(int(port), store), encoding="ascii")
    package, java = find_spec("ts"), shutil.which("java")
    if package is None or package.origin is None or java is None:
        raise SystemExit("TorchServe needs the package torchserve and Java: install them")
    home = Path(package.origin).parent.parent
    classes = str(home / "ts" / "frontend" / "*")
    begin = [java, f"-Dmodel_server_home={home}", f"-Djava.io.tmpdir={store}", "-cp", classes]
    server = ["org.pytorch.serve.ModelServer", "--python", sys.executable, "-f", str(config)]
    command = [*begin, *server, "-s", str(store), "-m", "lucir=lucir", "-ncs"]
    folders = {"LOG_LOCATION": str(store), "METRICS_LOCATION": str(store), "TMPDIR": str(store)}
    environment = {**os.environ, **folders, "OMP_NUM_THREADS": "1"}
    os.execve(java, command, environment)  # noqa: S606 (there is nothing of a shell's to be had)


def write_model(folder: Path, network: Path) -> None:
    """The folder that TorchServe takes in the place of an archive."""
    manifest = json.loads((version_folder() / "manifest.json").read_text(encoding="utf-8"))
    (folder / "MAR-INF").mkdir(parents=True)
    shutil.copy(network, folder / "network.pt")
    shutil.copy(Path(__file__).with_name("torchserve_handler.py"), folder)
    sides = {name: manifest["preprocessing"][name] for name in ("resize", "size")}
    model = {"modelName": "lucir", "modelVersion": VERSION, "handler": "torchserve_handler.py"}
    documents = {
        "sides.json": sides,
        "index_to_name.json": dict(enumerate(manifest["classes"])),
        "MAR-INF/MANIFEST.json": {"runtime": "python", "model": {**model, "serializedFile": "network.pt"}},
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document), encoding="utf-8")


def _config(port: int, store: Path) -> str:
    rules = {"minWorkers": WORKERS, "maxWorkers": WORKERS, "batchSize": BATCH, "maxBatchDelay": WAIT_MS}
    model = {VERSION: {"defaultVersion": True, "marName": "lucir", **rules, "responseTimeout": LONGEST_MS // 1000}}
    values = {
        "inference_address": f"http://127.0.0.1:{port}",
        "management_address": f"unix:{store / 'management.sock'}",
        "metrics_address": f"unix:{store / 'metrics.sock'}",
        "grpc_inference_port": 0,
        "grpc_management_port": 0,
        "disable_token_authorization": "true",
        "disable_system_metrics": "true",
        "job_queue_size": 1000,
        "models": json.dumps({"lucir": model}),
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


if __name__ == "__main__":
    main()
