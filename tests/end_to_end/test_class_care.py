"""Classes renamed and removed, images deleted, all learnt again another way on a running stack, while a client asks."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from handlers.demo.load import LoadClient
from tests.support.processes.stack import Stack, digit_image, folders, running
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

FROZEN = {"network": "resnet8", "method": "analytic", "head": "analytic", "frozen": "true", "size": 32, "resize": 32}
"""A head on a frozen backbone, for images of another size than those of the stack."""


def classes(stack: Stack) -> list[str]:
    """The classes that answer now."""
    answer = httpx.post(
        f"{stack.record.inference_url}/predictions/lucir",
        content=digit_image("0"),
        headers={"x-top-k": "10"},
        timeout=60,
        trust_env=False,
    )
    return sorted(each["class"] for each in answer.json()["predictions"])


def edit(stack: Stack, *words: object) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(stack.run(*words, "--wait", "--json").stdout)
    assert document["done"]["result"] == "published"
    return document


@pytest.mark.timeout(600)
def test_a_class_gets_another_name_an_image_goes_a_class_goes(tmp_path: Path) -> None:
    with running(tmp_path / "data") as stack:
        assert stack.drop(folders(tmp_path / "first", "012"))["version"] == 1
        assert classes(stack) == ["0", "1", "2"]
        with LoadClient(stack.record.inference_url, [digit_image("0"), digit_image("1")]) as client:
            assert edit(stack, "class", "rename", "1", "one")["done"]["version"] == 2
            assert classes(stack) == ["0", "2", "one"]

            key = next(info.key for info in stack.store.list("archive/000001/0/"))
            answer = edit(stack, "image", "delete", key, "--yes")["answer"]
            assert (answer["deleted"], answer["version"]) == ([key], 3)
            assert key not in [info.key for info in stack.store.list("archive/")]

            removed = httpx.delete(f"{stack.record.updater_url}/api/classes/2", timeout=60, trust_env=False)
            assert removed.status_code == 202
            refused = stack.run("class", "rename", "one", "0", check=False)
            assert "lucir class merge one --into 0" in refused.stderr
            last = edit(stack, "class", "rename", "0", "zero")  # after the removal: requests are taken up in order
            assert last["done"]["version"] == 5
            assert classes(stack) == ["one", "zero"]
            wait_for(lambda: client.first_answer(5))
            values = [word for name, value in FROZEN.items() for word in ("--set", f"{name}={value}")]
            learnt = edit(stack, "relearn", "--preset", "digits", *values)
            assert (learnt["done"]["version"], classes(stack)) == (6, ["one", "zero"])
            wait_for(lambda: client.first_answer(6))
            traffic = client.traffic()
        assert traffic.failed == 0, client.problems()
        assert {request.version for request in client.requests()} >= {1, 2, 5, 6}
        state = httpx.get(f"{stack.record.updater_url}{removed.json()['state']}", timeout=60, trust_env=False).json()
        assert len(state["answer"]["files"]) == 24

        page = httpx.get(f"{stack.record.updater_url}/versions/1/report", timeout=60, trust_env=False)
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "What came in" in page.text
        report = json.loads(stack.run("report", 1, "--json").stdout)
        assert [(row["name"], row["state"]) for row in report["incoming"]] == [(name, "new") for name in "012"]
        assert json.loads(stack.run("report", 5, "--json").stdout)["asked"] == "rename '0' to 'zero'"
        report = json.loads(stack.run("report", "--json").stdout)
        assert report["asked"] == "learn everything again with preset 'digits'"
        assert [(row["name"], row["trained"]) for row in report["incoming"]] == [("one", 24), ("zero", 23)]
