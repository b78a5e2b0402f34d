"""From an empty store to answers, as a new user goes: ask, drop, ask again, look, roll back."""

import json
import re
from pathlib import Path

import httpx
import pytest

from handlers.demo.load import LoadClient
from tests.support.processes.stack import digit_image, folders, running
from tests.support.servers.kept_alive import check_none_was_cut, under_way
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_nothing_learnt_then_drops_and_a_rollback_while_a_client_asks(tmp_path: Path) -> None:
    with running(tmp_path / "data") as stack:
        before = stack.post(digit_image("0"))
        assert before.status_code == 503
        assert "drop at least two class folders" in before.json()["error"]
        assert str(stack.data / "store" / "incoming") in before.json()["error"]
        wait_for(lambda: "lucir is ready" in stack.output())  # said a moment after it was recorded

        with LoadClient(stack.record.inference_url, [digit_image("0"), digit_image("1")]) as client:
            first = stack.drop(folders(tmp_path / "first", "01"))
            assert (first["version"], first["rejected"], first["failure"]) == (1, [], "")
            assert stack.served() == 1
            second = stack.drop(folders(tmp_path / "second", "2"))
            assert second["version"] == 2
            assert stack.served() == 2
            for version in (None, 1, 2):
                wait_for(lambda version=version: client.first_answer(version))
            stack.run("rollback", 1)
            assert stack.served() == 1
            rolled_back = client.traffic()
        assert rolled_back.failed == 0, client.problems()
        assert {request.version for request in client.requests()} == {None, 1, 2}

        _look_around(stack.record.updater_url, stack.record.metrics_url)
        (tmp_path / "two.png").write_bytes(digit_image("2"))
        answers = json.loads(stack.run("predict", tmp_path / "two.png", "--top-k", 2, "--json").stdout)
        assert answers[0]["model_version"] == 1
        assert {each["class"] for each in answers[0]["predictions"]} == {"0", "1"}
        rows = json.loads(stack.run("versions", "--json").stdout)
        assert [(row["version"], row["current"], row["classes"]) for row in rows] == [
            (1, True, ["0", "1"]),
            (2, False, ["0", "1", "2"]),
        ]

        third = stack.drop(folders(tmp_path / "third", "3"))  # learnt on top of what was rolled back to
        assert third["version"] == 3
        assert json.loads(stack.run("versions", "--json").stdout)[2]["classes"] == ["0", "1", "3"]
        assert "served version" in stack.run("status").stdout

        clients = under_way(f"{stack.record.inference_url}/predictions/lucir", digit_image("0"))
        stack.stop()
        check_none_was_cut(clients)


def _look_around(updater: str, torchserve_metrics: str) -> None:
    def metric(name: str) -> float:
        text = httpx.get(f"{updater}/metrics", timeout=60, trust_env=False).text
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert found, f"{name} is no metric in:\n{text}"
        return float(found[1])

    wait_for(lambda: metric("lucir_served_version") == 1)
    assert metric("lucir_current_version") == 1
    assert 0 <= metric('lucir_accuracy_ratio{readout="cnn",scope="all"}') <= 1
    assert httpx.get(f"{updater}/healthz", timeout=60, trust_env=False).status_code == 200
    assert httpx.get(f"{updater}/readyz", timeout=60, trust_env=False).status_code == 200
    assert "<html" in httpx.get(updater, timeout=60, trust_env=False).text
    assert (
        "lucir_request_duration_seconds_count"
        in httpx.get(f"{torchserve_metrics}/metrics", timeout=60, trust_env=False).text
    )
