"""A real stack that refines its network: a drop does not wait, a kill costs nothing, what is better is served."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.learning.refined import drawn_weights, frozen_overrides
from tests.support.processes.stack import Stack, digit_image, folders, running
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

ENDLESS = 100_000
"""Steps: hours."""


def settings(weights: Path, **refine: Any) -> tuple[str, ...]:
    return (
        "serving.engine=uvicorn",
        "learning.preset=photo",
        f"learning.overrides={json.dumps(frozen_overrides(weights, **refine))}",
        "learning.refine=on",
        "gate={max_old_accuracy_loss: 1, min_new_accuracy: 0, min_class_accuracy: 0}",
        "updater.settle_seconds=1",
        "updater.poll_seconds=1",
    )


def refines(stack: Stack) -> bool:
    """Whether it trains the last stages at this moment."""
    phase = stack.status().get("phase") or {}
    return bool(phase.get("refines")) and phase["stage"] in {"maps", "main", "balanced", "features"}


def document(stack: Stack, key: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stack.store.read(key, limit=1 << 20))
    return found


def test_a_network_is_refined_while_nothing_else_is_to_be_done(tmp_path: Path) -> None:
    weights = drawn_weights(tmp_path / "drawn.safetensors")
    with running(tmp_path / "data", settings=settings(weights, steps=ENDLESS)) as stack:
        assert stack.drop(folders(tmp_path / "first", "0123456789"))["version"] == 1
        wait_for(lambda: refines(stack), stack.process)
        assert stack.drop(folders(tmp_path / "more", "0", first=40, count=6))["version"] == 2
        given_up = document(stack, "updates/000002/done.json")
        assert (given_up["result"], given_up["reason"]) == ("superseded", "the refinement gives way: images arrive")
        wait_for(lambda: refines(stack), stack.process)
        stack.stop()

    with running(tmp_path / "data", settings=settings(weights)) as stack:
        wait_for(lambda: refines(stack) or stack.served() == 3, stack.process)
        stack.process_like(r"handlers\.updater$|handlers\.updater ").kill()
        wait_for(lambda: stack.served() == 3, stack.process)
        wait_for(lambda: stack.status().get("phase", "away") is None, stack.process)
        manifest = document(stack, "versions/3/manifest.json")
        assert (manifest["parent"], manifest["refinement"]["low"] > 0) == (2, True)
        assert document(stack, "updates/refined.json")["versions"].keys() == {"2"}
        assert stack.post(digit_image("0")).json()["model_version"] == 3
        assert "refined: " in stack.run("versions").stdout
        assert sorted(stack.store.folders("updates/")) == ["000001", "000002", "000003", "000004"]
