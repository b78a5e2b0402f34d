"""What the process in front of TorchServe measures, and that Prometheus' own checker has nothing to say about it."""

import io
import socket
import threading
from pathlib import Path

import httpx
import pytest

from handlers.inference.traffic_metrics import TrafficMetrics, counts
from handlers.inference.workers.batch_reports import BatchReporter, BatchReports, GivenAnswer
from handlers.stack.ports import free_ports
from handlers.torchserve.frontend.frontend_file import FrontendFile
from handlers.torchserve.frontend.measured import Measure
from tests.support.waiting import PATIENCE, wait_for


def value(traffic: TrafficMetrics, name: str, **labels: str) -> float:
    return traffic.registry.get_sample_value(name, labels) or 0.0


LINES = b"""2026-11-27T03:53:40,474 INFO  MODEL_LOG - a line for people
lucir-access /127.0.0.1:5 "POST /predictions/lucir HTTP/1.1" 200 12
lucir-access /127.0.0.1:5 "PUT /predictions/lucir/3 HTTP/1.1" 400 3
lucir-access /127.0.0.1:5 "POST /v2/models/lucir/infer HTTP/1.1" 200 40
lucir-access /127.0.0.1:5 "GET /ping HTTP/1.1" 200 0
lucir-access /127.0.0.1:5 "POST /predictions/lucir?probe HTTP/1.1" 200 7
lucir-access 0.0.0.0 "GET /models/lucir HTTP/1.1" 200 1
lucir-access not as it should be
"""


def test_the_access_log_is_counted_and_not_passed_on(tmp_path: Path) -> None:
    measure, passed_on = Measure(tmp_path / "none", tmp_path / "none"), io.BytesIO()
    measure.read(io.BytesIO(LINES), passed_on, lambda: None)
    assert passed_on.getvalue() == LINES.splitlines(keepends=True)[0]
    assert value(measure.traffic, "lucir_request_duration_seconds_count", code="200") == 2
    assert value(measure.traffic, "lucir_request_duration_seconds_count", code="400") == 1
    assert value(measure.traffic, "lucir_request_duration_seconds_sum", code="200") == pytest.approx(0.052)
    assert value(measure.traffic, "lucir_request_duration_seconds_bucket", code="200", le="0.02") == 1


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/predictions/lucir", True),
        ("/predictions/lucir/7?top_k=3", True),
        ("/v2/models/lucir/infer", True),
        ("/predictions/lucir?probe", False),
        ("/predictions/lucir?top_k=3&probe", False),
        ("/ping", False),
        ("/metrics", False),
        ("/", False),
    ],
)
def test_what_counts_as_a_request(target: str, expected: bool) -> None:
    assert counts(target) is expected


def test_workers_tell_of_their_batches_and_wait_for_nobody(tmp_path: Path) -> None:
    path = tmp_path / "batches.sock"
    reporter = BatchReporter(str(path))
    reporter.ran(3, 0.5)  # nobody is there
    BatchReporter(None).ran(3, 0.5)
    measure = Measure(tmp_path / "none", tmp_path / "none")
    reports = BatchReports(path)
    thread = threading.Thread(target=measure.receive, args=(reports,))
    thread.start()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"rubbish", str(path))
    reporter.ran(3, 0.02)
    reporter.ran(8, 0.06, [GivenAnswer(0.97, 0.9, False), GivenAnswer(0.4, 0.3, True)])
    wait_for(lambda: value(measure.traffic, "lucir_batch_images_count") == 2)
    reports.close()
    thread.join(PATIENCE)
    reporter.close()
    for name, labels, expected in (
        ("lucir_answers_total", {"unknown": "true"}, 1),
        ("lucir_answers_total", {"unknown": "false"}, 1),
        ("lucir_answer_confidence_ratio_sum", {}, 1.37),
        ("lucir_answer_cosine_ratio_bucket", {"le": "0.4"}, 1),
        ("lucir_batch_images_sum", {}, 11),
        ("lucir_batch_images_bucket", {"le": "4.0"}, 1),
        ("lucir_batch_duration_seconds_sum", {}, 0.08),
    ):
        assert value(measure.traffic, name, **labels) == pytest.approx(expected), (name, labels)


def test_the_page_answers_while_torchserve_does_not(tmp_path: Path) -> None:
    measure = Measure(tmp_path / "none", tmp_path / "none")
    (port,) = free_ports(1)
    server = measure.serve("127.0.0.1", port)
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False)
    finally:
        server.shutdown()
        server.server_close()
    assert answer.status_code == 200
    assert 'lucir_request_duration_seconds_count{code="200"} 0.0' in answer.text


def test_the_file_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    told = FrontendFile(("java", "-x"), tmp_path / "m", tmp_path / "r", tmp_path / "b", 8080, 2.5, "::", 8082)
    told.write(tmp_path / "frontend.json")
    assert FrontendFile.read(tmp_path / "frontend.json") == told
