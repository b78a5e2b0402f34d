"""A Prometheus with the deployed configuration scrapes a stack that has learnt twice; every query is put to it."""

import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import httpx
import pytest
import yaml
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from handlers.demo.load import LoadClient
from handlers.process_registry import MetricSet, ModelProcesses
from handlers.sidecar.http import WebServer
from handlers.stack.ports import free_ports
from tests.support.autoscaler_queries import OF_A_NAMESPACE, adapter_rule, autoscaler_queries
from tests.support.processes.stack import Stack, digit_image, folders, running
from tests.support.waiting import PATIENCE, wait_for

pytestmark = [pytest.mark.deploy, pytest.mark.slow, pytest.mark.timeout(600)]

SCRAPE_SECONDS = 1
FEW = 3
"""Images of a class that is too small to be learnt."""
RATE_INTERVAL = "10m"
"""So long that all that happened lies within it, however slowly it went."""
LABELS_OF_A_POD = {"namespace": "lucir", "pod": "lucir-replica-0"}
"""As a cluster's Prometheus adds them."""
RISE = 0.002
"""Of the seconds of work in each of the last 120 s: what some hundred requests add, and an idle minute does not."""
MAY_BE_EMPTY = {
    "Refused versions",  # all is well
    "New version",  # but for a minute after one
    "Since it moved last",  # no update runs
    "GPU",  # there is none
    # Of a version with a frozen backbone, which this one has not.
    "Calibration and unknown",
    # Of a provisional version, which this stack, with imprint_first off, never makes.
    "From drop to provisional version",
}
QUICK = (
    "learning.preset=digits",
    "learning.overrides={epochs: 2, cbf: {epochs: 1, milestones: []}}",
    "updater.settle_seconds=1",
    "updater.poll_seconds=1",
    # So few epochs are about the metrics, not about accuracy.
    "gate={max_old_accuracy_loss: 1, min_new_accuracy: 0}",
)


def drop(stack: Stack, digit: str, count: int = 30) -> None:
    """A class folder of real digits, as a file manager would write it."""
    folders(stack.data / "store" / "incoming", digit, count=count)


def wait_served(stack: Stack, version: int) -> None:
    """Until predictions come from a version; requests go on all the while."""
    wait_for(lambda: (stack.served() or 0) >= version)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """``lucir up`` on an empty store and ports of its own."""
    with running(tmp_path_factory.mktemp("live") / "data", settings=QUICK) as stack:
        yield stack


@dataclass(frozen=True)
class Prometheus:
    """A running server's HTTP API."""

    client: httpx.Client

    def ask(self, path: str, **parameters: str) -> Any:
        answer = self.client.get(f"/api/v1/{path}", params=parameters)
        assert answer.is_success, f"{parameters}: {answer.text}"
        document = answer.json()
        assert not document.get("warnings"), document
        return document["data"]

    def values(self, expression: str) -> list[float]:
        """The samples of an instant query that are numbers."""
        found = [float(sample["value"][1]) for sample in self.ask("query", query=expression)["result"]]
        return [value for value in found if not math.isnan(value)]


@pytest.fixture(scope="module")
def model_processes() -> Iterator[str]:
    """Where the metrics are that only the other engine has, here of this process."""
    metrics = MetricSet()
    metrics.registry.register(ModelProcesses(lambda: [os.getpid()]))
    server = WebServer(Starlette(routes=[Route("/metrics", lambda _: Response(metrics.render()))]), "127.0.0.1", 0)
    server.start()
    yield f"http://127.0.0.1:{server.port}"
    server.stop()


@pytest.fixture(scope="module")
def prometheus(
    stack: Stack,
    model_processes: str,
    root: Path,
    program: Callable[[str, str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Prometheus]:
    """The deployed configuration with the stack's addresses in place of the containers', and a quicker clock."""
    folder = tmp_path_factory.mktemp("prometheus")
    source = root / "deploy" / "prometheus"
    config = yaml.safe_load((source / "prometheus.yml").read_text())
    config["global"] = dict.fromkeys(("scrape_interval", "evaluation_interval"), f"{SCRAPE_SECONDS}s")
    config["rule_files"] = [str(source / pattern) for pattern in config["rule_files"]]
    urls = {"lucir-updater": stack.record.updater_url, "lucir-serving": stack.record.metrics_url}
    config["scrape_configs"] = [job for job in config["scrape_configs"] if job["job_name"] in urls]  # no replicas here
    for job in config["scrape_configs"]:
        job.pop("file_sd_configs", None)
        target = {"targets": [urls[job["job_name"]].removeprefix("http://")]}
        job["static_configs"] = [target | {"labels": LABELS_OF_A_POD}]
    other = {"targets": [model_processes.removeprefix("http://")]}
    config["scrape_configs"].append({"job_name": "model-processes", "static_configs": [other]})
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_ports(1)[0]}"
    command = [
        program("prometheus", "prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        with httpx.Client(base_url=f"http://{address}", trust_env=False, timeout=60) as client:
            server = Prometheus(client)
            wait_for(lambda: listens(client), process)
            wait_for(lambda: server.values("sum(up)") == [3.0], process)
            yield server
    finally:
        process.terminate()
        process.wait(PATIENCE)


def listens(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def learnt(stack: Stack, prometheus: Prometheus) -> Prometheus:
    """Two classes have been learnt, then a third; a fourth waits for more images. Prometheus has seen it all."""
    for digit in "01":
        drop(stack, digit)
    wait_served(stack, 1)
    drop(stack, "2")
    wait_served(stack, 2)
    # The second update ends a moment after its version is served.
    ends = ('lucir_updates_total{result="published"}', "lucir_drop_to_served_seconds_count")
    for query in ("lucir_served_version", *ends):
        wait_for(lambda query=query: prometheus.values(query) == [2.0])
    drop(stack, "3", count=FEW)
    wait_for(lambda: prometheus.values("lucir_waiting_images") == [float(FEW)])
    for _ in range(5):
        stack.post(digit_image("2"))
        time.sleep(SCRAPE_SECONDS)
    return prometheus


@pytest.fixture(scope="module")
def queries(root: Path) -> list[tuple[str, str]]:
    """(panel, expression) of all dashboards, with Grafana's variables filled in as when all are chosen."""
    found = []
    for path in sorted((root / "deploy" / "grafana" / "dashboards").iterdir()):
        dashboard = json.loads(path.read_text())
        panels = dashboard["panels"]
        found += [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", [])]
        found += [(annotation["name"], annotation["expr"]) for annotation in dashboard["annotations"]["list"]]
    values = {"__rate_interval": RATE_INTERVAL, "updater": ".*", "server": ".*", "replica": ".*"}
    filled = [(title, Template(expression).substitute(values)) for title, expression in found]
    assert not any("$" in expression for _, expression in filled)
    return filled


def test_every_query_of_the_dashboard_is_answered_with_numbers(
    learnt: Prometheus, queries: list[tuple[str, str]]
) -> None:
    def empty() -> list[str]:
        return [
            f"{title}: {expression}"
            for title, expression in queries
            if not learnt.values(expression) and title not in MAY_BE_EMPTY
        ]

    assert len(queries) > 60
    # After a single scrape that took too long, everything of that part is absent until the next one.
    with suppress(AssertionError):
        wait_for(lambda: not empty(), patience=60)
    assert empty() == []


def test_what_is_shown_is_what_happened(learnt: Prometheus) -> None:
    truth = {
        "lucir_classes": 3.0,
        "lucir_current_version": 2.0,
        "lucir_phase": 2.0,
        'lucir_updates_total{result="published"}': 2.0,
        'sum(lucir_images_total{result=~"trained|held_out"})': 90.0,
        "sum(lucir_waiting_images)": float(FEW),
        "lucir_drop_to_served_seconds_count": 2.0,
        "count(lucir_class_accuracy_ratio)": 3.0,
        'sum(lucir_request_duration_seconds_count{code="503"}) > bool 0': 1.0,  # before the first drop was learnt
    }
    for query, value in truth.items():
        assert wait_for(lambda query=query: learnt.values(query)) == [value], query


def test_every_rule_evaluates_and_no_alert_fires(learnt: Prometheus) -> None:
    rules = [rule for group in learnt.ask("rules")["groups"] for rule in group["rules"]]
    assert rules
    assert {rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] != "ok"} == {}
    assert {rule["name"] for rule in rules if rule.get("state") == "firing"} == set()


@pytest.mark.parametrize("part", ["worker", "page"])
def test_the_containers_health_checks_agree(stack: Stack, learnt: Prometheus, part: str) -> None:
    target = {"worker": stack.data / "run" / "management.sock", "page": f"{stack.record.updater_url}/readyz"}[part]
    command = [sys.executable, "-m", "handlers.stack.probe", part, str(target)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert (result.returncode, result.stderr) == (0, "")


def test_what_replicas_are_scaled_by_rises_under_load(stack: Stack, learnt: Prometheus, root: Path) -> None:
    assert learnt.values(adapter_rule(root / "k8s")["seriesQuery"])
    asked = autoscaler_queries(root / "k8s", OF_A_NAMESPACE)
    before = {name: one_number(learnt, query) for name, query in asked.items()}
    with LoadClient(stack.record.inference_url, [digit_image("0")], threads=4, think_seconds=0):
        for name, query in asked.items():
            wait_for(lambda name=name, query=query: one_number(learnt, query) > before[name] + RISE)
    keda, adapter = (one_number(learnt, query) for query in asked.values())
    assert keda == pytest.approx(adapter, abs=0.1)  # one server: the sum of all is what its pod has
    assert 0 < keda <= 1.05  # a server of one worker is full at 1


def one_number(prometheus: Prometheus, query: str) -> float:
    (value,) = prometheus.values(query)
    return value


def test_each_variable_of_a_dashboard_has_something_to_choose(learnt: Prometheus, root: Path) -> None:
    for path in (root / "deploy" / "grafana" / "dashboards").iterdir():
        for variable in json.loads(path.read_text())["templating"]["list"]:
            asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
            assert asked is not None, variable
            assert learnt.ask(f"label/{asked[2]}/values", **{"match[]": asked[1]}), variable["name"]
