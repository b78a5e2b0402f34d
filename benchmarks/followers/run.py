"""How soon N replicas on one machine serve what a writer publishes, and what they cost.

``python -m benchmarks.followers.run 10 --output benchmarks/followers/results.json``: starts N ``lucir follow`` on a
store of its own, with the engine that ``LUCIR_SERVING__ENGINE`` names, publishes two versions (a small ONNX classifier)
and rolls back, with a request a second to each replica all the time; writes seconds until all serve, failed requests
and memory.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from handlers.demo.digits import png
from handlers.demo.load import LoadClient
from handlers.settings import Settings
from handlers.stack.folder import StackRecord, find_stack
from handlers.torchserve.inference_port import Probe
from model_store.directory.directory_store import DirectoryStore
from model_store.versions import VersionStore
from tools.manifests import make_manifest
from tools.processes import process_tree

SIDE = 32
IMAGE = png(np.zeros((8, 8)), SIDE)


def main() -> None:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lucir-followers-") as folder:
        figures = measure(Path(folder), options.count)
    text = json.dumps(figures, indent=2) + "\n"
    sys.stdout.write(text)
    if options.output is not None:
        options.output.write_text(text, encoding="utf-8")


def measure(folder: Path, count: int) -> dict[str, Any]:
    """Seconds and mebibytes."""
    versions = VersionStore(DirectoryStore(folder / "store"))
    publish(versions, folder, 1)
    versions.point_to(1, "benchmark")
    started = time.monotonic()
    processes = [start(folder, number) for number in range(count)]
    try:
        records = [wait_ready(folder, number) for number in range(count)]
        figures: dict[str, Any] = {"replicas": count, "cores": os.cpu_count(), "all_ready": since(started)}
        clients = [LoadClient(each.inference_url, [IMAGE], threads=1, think_seconds=1.0) for each in records]
        with ExitStack() as load:
            for client in clients:
                load.enter_context(client)
            publish(versions, folder, 2)
            for name, move in (
                ("all_serve_a_new_version", lambda: versions.point_to(2, "benchmark")),
                ("all_serve_after_a_rollback", lambda: versions.rollback(1)),
            ):
                time.sleep(5)
                wanted, began = move().version, time.monotonic()
                times = converged(records, wanted, began)
                figures[name] = {"first": min(times), "last": max(times)}
            time.sleep(5)
            figures["memory_mib"] = memory(processes)
        traffic = [client.traffic() for client in clients]
        figures["requests"] = sum(each.sent for each in traffic)
        figures["failed_requests"] = sum(each.failed for each in traffic)
        return figures
    finally:
        for process in processes:
            process.send_signal(signal.SIGINT)
        for process in processes:
            process.wait(60)


def start(folder: Path, number: int) -> "subprocess.Popen[bytes]":
    """A replica with ports of the system's choice."""
    command = [sys.executable, "-m", "handlers.cli.main", "follow", "--free-ports"]
    places = ["--store", (folder / "store").as_uri(), "--data", str(folder / f"replica-{number}")]
    with (folder / f"{number}.log").open("wb") as log:
        return subprocess.Popen([*command, *places], stdout=log, stderr=log)


def wait_ready(folder: Path, number: int) -> StackRecord:
    """The record of a replica that is ready."""
    settings = Settings(data=folder / f"replica-{number}")
    for _ in range(3000):
        record = find_stack(settings)
        if record is not None and record.ready:
            return record
        time.sleep(0.1)
    raise RuntimeError((folder / f"{number}.log").read_text(encoding="utf-8"))


def converged(records: list[StackRecord], version: int, began: float) -> list[float]:
    """Seconds until each replica answers requests with the version."""
    times: dict[str, float] = {}
    while len(times) < len(records):
        for record in records:
            if record.inference_url not in times and ask(record.inference_url) == version:
                times[record.inference_url] = since(began)
        time.sleep(0.1)
    return list(times.values())


def ask(url: str) -> int | None:
    """The version that answers; None for a failure."""
    port = int(url.rsplit(":", 1)[1])
    settings = Settings.model_validate({"serving": {"port": port}})
    with closing(Probe(settings)) as probe:
        try:
            return probe.ask()
        except RuntimeError:
            return None


def memory(processes: list["subprocess.Popen[bytes]"]) -> dict[str, float]:
    """Proportional set size by kind of process: the mean over replicas, and the sum of everything."""
    kinds: dict[str, Callable[[str], bool]] = {
        "java": lambda words: "ModelServer" in words,
        "worker": lambda words: "model_service_worker" in words or "handlers.server.model_process" in words,
        "server": lambda words: "-m handlers.server" in words and "guard.py" not in words,
        "follower": lambda words: "handlers.follower" in words and "guard.py" not in words,
        "supervisor": lambda words: "handlers.cli.main" in words,
    }
    sums = dict.fromkeys([*kinds, "guards"], 0.0)
    for process in processes:
        for each in process_tree(process.pid):
            words = " ".join(each.cmdline())
            kind = next((name for name, matches in kinds.items() if matches(words)), "guards")
            sums[kind] += each.memory_full_info().pss / 2**20
    mean = {name: round(value / len(processes), 1) for name, value in sums.items()}
    return {**mean, "all_replicas": round(sum(sums.values()), 1)}


def since(began: float) -> float:
    """Seconds, to the tenth."""
    return round(time.monotonic() - began, 1)


def publish(versions: VersionStore, folder: Path, number: int) -> None:
    """A classifier of two classes by mean colour, in the contract's form."""
    outputs = ("probabilities", "cosines", "prototype_cosines")
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["cosines"]),
        helper.make_node("Identity", ["cosines"], ["prototype_cosines"]),
        helper.make_node("Softmax", ["cosines"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in outputs],
        [
            helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2]),
            helper.make_tensor("weights", TensorProto.FLOAT, [3, 2], [0.003, 0, 0, 0.003, 0, 0]),
        ],
    )
    file = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), file)
    manifest = make_manifest(number, side=SIDE, classes=("red", "green"))
    versions.publish(manifest, {"model.onnx": file})


if __name__ == "__main__":
    main()
