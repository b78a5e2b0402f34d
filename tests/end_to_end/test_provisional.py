"""Imprint first on a whole stack: a new class is answered provisionally, then by the learnt version."""

import json
from pathlib import Path

import pytest

from handlers.demo.load import LoadClient
from tests.support.processes.stack import digit_image, folders, running
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

# So long that the provisional version is served well before the learnt one, on a busy machine too.
LONG = (
    "learning.overrides={network: resnet8, size: 8, resize: 8, epochs: 150, initial_epochs: 4, cbf: {enabled: false}}"
)


@pytest.mark.timeout(600)
def test_a_new_class_is_answered_provisionally_and_then_as_learnt(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--set", "learning.imprint_first=true", "--set", LONG) as stack:
        assert stack.drop(folders(tmp_path / "first", "01"))["version"] == 1
        with LoadClient(stack.record.inference_url, [digit_image("0"), digit_image("2")]) as client:
            outcome = stack.drop(folders(tmp_path / "second", "2"))
            assert (outcome["provisional"], outcome["version"]) == (2, 3)
            assert outcome["provisional_seconds"] < outcome["seconds"]
            assert stack.served() == 3
            wait_for(lambda: client.first_answer(3))
        assert client.traffic().failed == 0, client.problems()
        assert {request.version for request in client.requests()} == {1, 2, 3}
        rows = json.loads(stack.run("versions", "--json").stdout)
        assert [(row["kind"], row["classes"], row["current"]) for row in rows] == [
            ("learnt", ["0", "1"], False),
            ("provisional", ["0", "1", "2"], False),
            ("learnt", ["0", "1", "2"], True),
        ]

        stack.run("rollback", 2)
        wait_for(lambda: stack.status().get("current_version") == 2)
        stack.stop()
    with running(tmp_path / "data") as stack:  # a rollback survives a restart of everything
        assert stack.served() == 2
