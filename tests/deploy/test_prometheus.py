"""What Prometheus' own tools say of its configuration, the alerts and the updater's metrics."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from handlers.inference.traffic_metrics import TrafficMetrics
from handlers.torchserve.swap_metrics import ServingMetrics
from handlers.updater.metrics import Metrics
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.deploy

FOLDER = Path("deploy", "prometheus")


@pytest.fixture
def promtool(program: Callable[[str, str], str], root: Path) -> Callable[..., str]:
    """``promtool(*arguments)``: its output; a failure fails the test with it."""

    def run(*arguments: str, text: bytes | None = None) -> str:
        command = [program("promtool", "prometheus"), *arguments]
        result = subprocess.run(
            command, cwd=root / FOLDER, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE
        )
        assert result.returncode == 0, result.stdout.decode()
        return result.stdout.decode()

    return run


@pytest.fixture(scope="module")
def alerts(root: Path) -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load((root / FOLDER / "rules" / "lucir.yml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def test_configuration_and_rules_are_valid(promtool: Callable[..., str]) -> None:
    assert "1 rule files found" in promtool("check", "config", "prometheus.yml")


@pytest.mark.slow
def test_alerts_fire_when_they_should_and_only_then(promtool: Callable[..., str]) -> None:
    promtool("test", "rules", "rules_test.yml")


def test_the_updaters_metrics_follow_the_conventions(promtool: Callable[..., str]) -> None:
    assert promtool("check", "metrics", text=Metrics().render()) == ""


def test_the_metrics_of_requests_and_of_a_follower_follow_them_too(promtool: Callable[..., str]) -> None:
    traffic = TrafficMetrics()
    traffic.answered(200, 0.02)
    traffic.ran(3, 0.01)
    assert promtool("check", "metrics", text=traffic.render()) == ""
    assert promtool("check", "metrics", text=ServingMetrics().render()) == ""


def test_each_alert_is_seen_firing_and_silent(root: Path, alerts: dict[str, dict[str, Any]]) -> None:
    """Within one case, so that it is the change of its series that makes it fire."""
    cases = yaml.safe_load((root / FOLDER / "rules_test.yml").read_text())["tests"]
    seen: set[str] = set()
    for case in cases:
        firing = [
            {sample["labels"].split('"')[1] for sample in check["exp_samples"]}
            for check in case.get("promql_expr_test", [])
        ]
        if not all(firing):
            seen.update(*firing)
    assert seen == set(alerts)


def test_each_alert_says_what_happened_and_what_to_do(alerts: dict[str, dict[str, Any]]) -> None:
    for name, alert in alerts.items():
        assert alert["labels"]["severity"] in {"info", "warning", "critical"}, name
        assert len(alert["annotations"]["summary"]) > 10, name
        assert len(alert["annotations"]["description"]) > 20, name


def test_each_alert_has_a_paragraph_that_says_what_to_do(root: Path, alerts: dict[str, dict[str, Any]]) -> None:
    sections = re.split(r"^### ", (root / "docs" / "alerts.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    paragraphs = {name: text for name, _, text in (section.partition("\n") for section in sections)}
    assert set(paragraphs) == set(alerts)
    for name, alert in alerts.items():
        assert alert["annotations"]["runbook"] == f"docs/alerts.md#{name.lower()}"
        assert len(paragraphs[name].split()) > 20, name
