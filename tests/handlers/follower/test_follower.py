"""A follower: what it serves and when, what it asks of the store, what it tells."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from handlers.torchserve.attempts import MOST_ATTEMPTS
from model_store.versions import VersionStore
from tests.handlers.follower.conftest import Replica
from tests.support.servers.torchserve_double import version_folders
from tests.support.waiting import wait_for

Start = Callable[..., Replica]
Publish = Callable[..., int]


@pytest.fixture
def replica(start: Start, publish: Publish) -> Replica:
    """One that serves version 1."""
    publish()
    replica = start()
    replica.wait_serves(1)
    return replica


def test_from_an_empty_store_to_the_first_version(start: Start, publish: Publish) -> None:
    replica = start()
    wait_for(lambda: replica.get("/readyz").status_code == 200)  # it answers "nothing learnt yet"
    assert replica.follower.status.served is None
    assert replica.get("/healthz").json() == {"status": "ok"}
    publish()
    replica.wait_serves(1)
    assert replica.predict() == 1


def test_a_key_that_may_only_read_is_enough(replica: Replica, publish: Publish, writer: VersionStore) -> None:
    publish()
    replica.wait_serves(2)
    writer.rollback(1)
    replica.wait_serves(1)
    status = replica.get("/api/status").json()
    assert (status["current_version"], status["served_version"], status["store"]["ok"]) == (1, 1, True)
    assert status["errors"] == []
    assert set(status) == {
        "current_version",
        "served_version",
        "server_error",
        "serving_copy",
        "errors",
        "store",
        "started_at",
    }  # what only an updater has: a lease, a phase, what waits


FULL = [(429, {"error": "the queue is full"}), (503, {"code": 503, "type": "ServiceUnavailableException"})]
"""As both engines say it."""


def test_a_full_queue_says_nothing_of_a_version(replica: Replica, publish: Publish) -> None:
    replica.server.full = FULL * MOST_ATTEMPTS
    publish()
    replica.wait_serves(2)
    assert not replica.server.full
    assert replica.metric("lucir_swaps_total", result="failed") in (None, 0)


def test_an_idle_follower_asks_for_the_pointer_and_for_nothing_else(replica: Replica) -> None:
    wait_for(lambda: replica.server.registered == [1])
    replica.store.calls.clear()
    wait_for(lambda: len(replica.store.calls) >= 10)
    assert set(Counter(replica.store.calls)) == {("read", "versions/current.json")}


def test_a_swap_reads_the_pointer_no_more_often_than_an_idle_follower(start: Start, publish: Publish) -> None:
    """And of the version its manifest and its model."""
    replica = start()
    wait_for(lambda: replica.get("/readyz").status_code == 200)
    replica.store.calls.clear()
    publish()
    replica.wait_serves(1)
    counted = Counter(replica.store.calls)
    del counted["read", "versions/current.json"]
    assert counted == {("read", "versions/1/manifest.json"): 3, ("download", "versions/1/model.onnx"): 1}


def test_an_unreachable_store_changes_nothing_and_is_shown(replica: Replica, publish: Publish) -> None:
    replica.store.away = True
    wait_for(lambda: not replica.get("/api/status").json()["store"]["ok"])
    assert "cannot be reached" in replica.get("/api/status").json()["store"]["error"]
    assert replica.predict() == 1
    assert replica.get("/readyz").status_code == replica.get("/healthz").status_code == 200
    wait_for(lambda: (replica.metric("lucir_store_errors_total") or 0) > 2)
    publish()
    replica.store.away = False
    replica.wait_serves(2)
    wait_for(lambda: bool(replica.get("/api/status").json()["store"]["ok"]))


def test_a_replica_that_starts_without_the_store_serves_what_it_had(start: Start, publish: Publish) -> None:
    publish()
    first = start()
    first.wait_serves(1)
    first.stop()
    second = start(away=True)
    second.wait_serves(1)
    assert second.follower.problem is None
    assert second.get("/api/status").json()["store"]["ok"] is False
    publish()
    second.store.away = False
    second.wait_serves(2)


def test_a_replica_that_never_reached_the_store_says_so(start: Start, publish: Publish) -> None:
    publish()
    replica = start(away=True)
    wait_for(lambda: "cannot be read" in replica.get("/readyz").text)
    assert replica.get("/readyz").status_code == 503
    assert replica.server.registered == []
    replica.store.away = False
    replica.wait_serves(1)


def test_a_damaged_version_is_never_served(
    replica: Replica, publish: Publish, writer: VersionStore, tmp_path: Path
) -> None:
    publish(point=False)
    (tmp_path / "store/versions/2/model.onnx").write_bytes(b"model 3" * 1000)
    writer.point_to(2, "test")
    wait_for(lambda: "model.onnx is not what its manifest records" in str(replica.get("/api/status").json()))
    wait_for(lambda: replica.metric("lucir_current_version") == 2)  # set at the end of the step that found it
    assert replica.predict() == 1
    assert replica.metric("lucir_served_version") == 1
    assert replica.metric("lucir_swaps_total", result="failed") == 1
    assert "lucir-2" not in version_folders(replica.settings.models_folder)
    publish()
    replica.wait_serves(3)


@pytest.mark.slow
def test_local_copies_are_bounded(start: Start, publish: Publish) -> None:
    replica = start()
    for number in range(1, 5):
        assert publish() == number
        replica.wait_serves(number)
    models = replica.settings.models_folder
    wait_for(lambda: version_folders(models) == {"lucir-3", "lucir-4"})
    replica.stop()
    # What another process left, which ended before it could tidy up.
    (models / "lucir-2").mkdir()
    start().wait_serves(4)
    wait_for(lambda: version_folders(models) == {"lucir-3", "lucir-4"})


def test_metrics(replica: Replica) -> None:
    answer = replica.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert families["lucir_current_version"].samples[0].value == 1
    assert families["lucir_served_version"].samples[0].value == 1
    swaps = [sample for sample in families["lucir_swaps"].samples if "_total" in sample.name]
    assert {sample.labels["result"]: sample.value for sample in swaps} == {"succeeded": 1, "failed": 0}
    assert "lucir_swap_duration_seconds" in families
    assert "process_resident_memory_bytes" in families


@pytest.mark.parametrize(("path", "word"), [("/", "/api/status"), ("/api/versions", "the updater has")])
def test_other_pages_say_where_to_look(start: Start, path: str, word: str) -> None:
    answer = start().get(path)
    assert answer.status_code == 404
    assert word in answer.json()["error"]


@pytest.mark.slow
def test_ten_followers_of_one_writer_converge(start: Start, publish: Publish, writer: VersionStore) -> None:
    replicas = [start(f"replica-{number}") for number in range(10)]
    for _ in range(3):
        publish()  # the later ones while the earlier ones are being mirrored
    for replica in replicas:
        replica.wait_serves(3)
    writer.rollback(1)
    for replica in replicas:
        replica.wait_serves(1)
    assert [replica.predict() for replica in replicas] == [1] * 10
    for replica in replicas:
        assert replica.metric("lucir_swaps_total", result="failed") == 0
        assert version_folders(replica.settings.models_folder) <= {"lucir-0", "lucir-1", "lucir-2", "lucir-3"}
