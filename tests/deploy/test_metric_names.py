"""Every metric that a panel, an alert or its test names is one that is exported, with labels it has."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from handlers.inference.traffic_metrics import UNKNOWN, TrafficMetrics
from handlers.process_registry import ModelProcesses
from handlers.sidecar.machine_metrics import MachineCollector
from handlers.torchserve.swap_metrics import SWAP_RESULTS
from handlers.updater.metrics import IMAGE_RESULTS, KINDS, UPDATE_RESULTS, Metrics
from tests.support.autoscaler_queries import autoscaler_queries

GPU = ("lucir_gpu_utilization_ratio", "lucir_gpu_memory_used_bytes", "lucir_gpu_memory_size_bytes")
"""Only where there is one."""
OF_PROMETHEUS = {"up", "ALERTS"}
KEYWORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
WORD = re.compile(r"(?<![\w.$])[a-zA-Z_:][\w:]*(?!\s*\()\b")

CODED = {"lucir_request_duration_seconds_count", "lucir_request_duration_seconds_bucket"}
"""Labelled with any HTTP status."""
VALUES = {
    "lucir_served_version": {"job": {"lucir-updater", "lucir-follower"}},
    "lucir_current_version": {"job": {"lucir-updater", "lucir-follower"}},
    "lucir_accuracy_ratio": {"scope": {"all", "old", "new"}, "readout": {"cnn", "nme"}},
    "lucir_accuracy_bound_ratio": {"bound": {"low", "high"}},
    "lucir_refused_accuracy_ratio": {"scope": {"all", "old", "new"}, "readout": {"cnn", "nme"}},
    "lucir_images_total": {"result": set(IMAGE_RESULTS)},
    "lucir_updates_total": {"result": set(UPDATE_RESULTS)},
    "lucir_swaps_total": {"result": set(SWAP_RESULTS)},
    "lucir_current_version_kind": {"kind": set(KINDS)},
    "lucir_shared_accuracy_ratio": {"of": {"current", "parent"}},
    "lucir_answers_total": {"unknown": {*UNKNOWN.values(), "true|false"}},
    "lucir_batch_duration_seconds_sum": {"job": {"lucir-serving"}},
}


def metric_names(expression: str) -> set[str]:
    """The metrics in a PromQL expression: the words that are no function, keyword, label or string."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", GROUPING.sub("", expression))
    bare = re.sub(r'"[^"]*"', "", bare)
    calls = set(re.findall(r"([a-zA-Z_]\w*)\s*\(", bare))
    return {word for word in WORD.findall(bare) if word not in KEYWORDS and word not in calls and not word[0].isdigit()}


@pytest.fixture(scope="module")
def expressions(root: Path) -> dict[str, str]:
    """Every expression by where it stands."""
    dashboards = [json.loads(path.read_text()) for path in (root / "deploy" / "grafana" / "dashboards").iterdir()]
    rules = yaml.safe_load((root / "deploy" / "prometheus" / "rules" / "lucir.yml").read_text())
    return {
        **dict(pair for each in dashboards for pair in of_dashboard(each)),
        **dict(of_rules(rules)),
        **{f"autoscaler {name}": query for name, query in autoscaler_queries(root / "k8s").items()},
    }


def of_dashboard(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {dashboard['title']} {panel['title']} {target['refId']}", target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield f"annotation {annotation['name']}", annotation["expr"]


def of_rules(rules: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield f"rule {rule.get('alert') or rule['record']}", rule["expr"]


@pytest.fixture(scope="module")
def of_updater() -> dict[str, set[str]]:
    """From the updater's own registry."""
    metrics = Metrics()
    metrics.registry.register(MachineCollector(Path()))
    return label_names(metrics.registry) | {name: {"gpu"} for name in GPU}


@pytest.fixture(scope="module")
def of_serving() -> set[str]:
    """What is measured of requests, and of the processes that answer them."""
    metrics = TrafficMetrics()
    metrics.registry.register(ModelProcesses(list))
    return set(label_names(metrics.registry))


def label_names(registry: CollectorRegistry) -> dict[str, set[str]]:
    """Label names by series name."""
    found: dict[str, set[str]] = {}
    for family in registry.collect():
        suffixes = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",)}.get(family.type, ("",))
        for suffix in suffixes:
            labels = {label for sample in family.samples for label in sample.labels}
            found[family.name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    return found


def test_the_reader_of_expressions_finds_the_metrics_and_nothing_else() -> None:
    expression = (
        'histogram_quantile(0.5, sum by (le, job) (rate(a_bucket{x="in b"}[$__rate_interval]))) '
        "> 1e6 * on (instance) group_left (z) c:d offset 5m or vector(0) unless max_over_time(e[1d]) and time() - f"
    )
    assert metric_names(expression) == {"a_bucket", "c:d", "e", "f"}


def test_every_named_metric_is_exported(
    expressions: dict[str, str], of_updater: dict[str, set[str]], of_serving: set[str]
) -> None:
    recorded = {place.removeprefix("rule ") for place in expressions if ":" in place}
    for place, expression in expressions.items():
        names = metric_names(expression)
        assert names, place
        assert names <= set(of_updater) | of_serving | recorded | OF_PROMETHEUS, place


def test_every_label_value_that_is_asked_for_occurs(expressions: dict[str, str]) -> None:
    for place, expression in expressions.items():
        for name, matchers in SELECTOR.findall(expression):
            if not name.startswith("lucir_") or name in CODED:
                continue
            for label, value in MATCHER.findall(matchers):
                assert value.startswith("$") or value in VALUES[name][label], place


def test_the_dashboards_show_every_metric(
    expressions: dict[str, str], of_updater: dict[str, set[str]], of_serving: set[str]
) -> None:
    recorded = {place.removeprefix("rule "): text for place, text in expressions.items() if ":" in place}
    panels = [text for place, text in expressions.items() if place.startswith("panel")]
    panels += [text for name, text in recorded.items() if any(name in panel for panel in panels)]
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for text in panels for name in metric_names(text)}
    ours = {
        re.sub(r"_(bucket|sum|count)$", "", name) for name in {*of_updater, *of_serving} if name.startswith("lucir_")
    }
    assert ours <= shown


def test_the_contract_of_names_is_kept(of_updater: dict[str, set[str]]) -> None:
    """The public names: dashboards and alerts of users hang on them."""
    gauges = {
        "accuracy_ratio", "class_accuracy_ratio", "average_incremental_accuracy_ratio", "forgetting_ratio",
        "accuracy_images", "calibration_error_ratio", "unknown_false_alarms_ratio",
        "old_as_new_ratio", "classes", "exemplars", "phase", "phase_progress_ratio", "loss", "lambda", "eta",
        "waiting_images", "current_version", "served_version", "last_success_timestamp_seconds",
    }  # fmt: skip
    counters = {"images_total", "updates_total", "swaps_total", "store_errors_total"}
    histograms = {"phase_duration_seconds", "swap_duration_seconds", "drop_to_served_seconds"}
    names = gauges | counters | {f"{name}_bucket" for name in histograms}
    assert {f"lucir_{name}" for name in names} <= set(of_updater)
