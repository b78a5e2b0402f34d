"""The whole loop in real processes with real training: a drop becomes a version, whatever is killed on the way."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from handlers.bucket.update_documents import Plan
from handlers.inference.preprocess import crop
from handlers.settings import Settings
from handlers.updater.release.evaluate import open_model
from handlers.updater.workflow.learn_steps import STEPS
from handlers.updater.workflow.provisional_steps import STEPS as PROVISIONAL_STEPS
from lucir_core.memory.image_blobs import ImageBlobs
from model_store.directory.directory_store import DirectoryStore
from model_store.versions import VersionStore
from tests.handlers.conftest import DigitFiles, Drop, Launch
from tests.support.present import present
from tests.support.processes.updater_process import end, hold_child, log_of, status_of
from tests.support.quick_settings import changed
from tests.support.stores.outcome import ended, hashes, learnt_once
from tests.support.waiting import PATIENCE, wait_for

pytestmark = pytest.mark.slow


@pytest.mark.timeout(900)  # three trainings
def test_drops_become_versions_and_every_byte_stays(
    settings: Settings,
    store: DirectoryStore,
    root: Path,
    drop: Drop,
    digit_files: DigitFiles,
    launch: Launch,
) -> None:
    drop("zero", 0)
    bad = drop("one", 1) / "bad.png"
    bad.write_bytes(b"no image")
    dropped = hashes(root, "incoming")
    process = launch(settings)
    assert wait_for(lambda: ended(root, "000001"), process).result == "published"
    assert hashes(root, "archive", "rejected") == dropped
    assert list(store.list("incoming/")) == []
    assert json.loads((root / "rejected/000001/one/bad.png.reason.json").read_bytes())["reason"]

    # One new class, one known class, and the first folder once more, in one drop.
    drop("two", 2)
    drop("one", 1, 6, first=20)
    drop("zero", 0)
    done = wait_for(lambda: ended(root, "000002"), process)
    assert (done.result, done.version) == ("published", 2)
    plan = Plan.model_validate_json((root / "updates/000002/plan.json").read_bytes())
    assert (plan.classes, plan.new_classes, plan.updated_classes) == (("one", "zero", "two"), ("two",), ("one",))
    assert {entry.class_name for entry in plan.of_role("rejected")} == {"zero"}
    assert all("learnt before" in (entry.reason or "") for entry in plan.of_role("rejected"))
    learnt_once(root, 2)

    versions = VersionStore(store)
    assert versions.numbers() == [1, 2]
    evaluation, manifest = versions.evaluation(2), versions.manifest(2)
    assert manifest.parent == 1
    assert len(evaluation.history) == 2
    assert evaluation.parent_old is not None
    holdout = ImageBlobs.load(root / "versions/2/holdout.safetensors")
    assert holdout.classes == manifest.classes
    assert dict(zip(holdout.classes, holdout.counts().tolist(), strict=True)) == manifest.counts.holdout
    # What is written down is what the model answers.
    session = open_model(root / "versions/2/model.onnx", 1)
    size = manifest.preprocessing.size
    images = [crop(holdout.decode(index), size) for index in range(len(holdout))]
    (answers,) = session.run(["probabilities"], {"images": np.stack(images)})
    assert np.mean(answers.argmax(1) == holdout.labels) == pytest.approx(evaluation.cnn.all)

    listed = httpx.get(f"{settings.updater_url}/api/versions").json()
    assert [version["version"] for version in listed["versions"]] == [1, 2]
    metrics = httpx.get(f"{settings.updater_url}/metrics").text
    assert "lucir_current_version 2.0" in metrics
    assert f'lucir_accuracy_ratio{{readout="cnn",scope="all"}} {evaluation.cnn.all}' in metrics

    # After a rollback learning starts from what is served, which does not know the images that came after it.
    versions.rollback(1)
    drop("two", 2)
    done = wait_for(lambda: ended(root, "000003"), process)
    assert (done.result, done.version) == ("published", 3)
    assert (versions.manifest(3).parent, versions.manifest(3).classes) == (1, ("one", "zero", "two"))

    end(process)


@pytest.mark.timeout(900)  # twenty-one starts of a process
def test_an_update_survives_a_kill_at_every_step(settings: Settings, root: Path, drop: Drop, launch: Launch) -> None:
    drop("zero", 0)
    drop("one", 1, marked=True)
    dropped = hashes(root, "incoming")
    left_out = {name for name, _, _ in PROVISIONAL_STEPS} | {"fall-back"}  # see test_provisional_loop
    for name in [step.name for step in STEPS if step.name not in left_out]:
        for when in ("before", "after"):
            process = launch(settings, f"{name}:{when}")
            assert process.wait(PATIENCE) == -signal.SIGKILL, (name, when)
            assert hashes(root, "incoming", "archive", "rejected") == dropped, (name, when)
    process = launch(settings)
    wait_for(lambda: status_of(settings).get("last_update"), process)
    done = present(ended(root, "000001"))
    assert (done.result, done.version) == ("published", 1)
    assert hashes(root, "archive") == dropped
    assert not (root / "updates" / "000002").exists()
    assert VersionStore(DirectoryStore(root)).numbers() == [1]
    assert log_of(settings).count("phase learnt") == 1  # nothing that was durable was done again


def test_a_killed_child_is_started_again_and_dies_with_its_parent(
    settings: Settings, root: Path, drop: Drop, launch: Launch
) -> None:
    drop("zero", 0)
    drop("one", 1)
    process = launch(settings)
    first = hold_child(settings, process)
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: status_of(settings)["errors"], process)
    second = hold_child(settings, process)
    errors: list[dict[str, Any]] = status_of(settings)["errors"]
    assert any("killed (signal 9)" in error["message"] for error in errors)
    process.kill()
    process.wait()
    while Path(f"/proc/{second}").exists():  # the kernel kills it; its new parent reaps it
        if "State:\tZ" in Path(f"/proc/{second}/status").read_text(encoding="utf-8"):
            break
    process = launch(settings)
    assert wait_for(lambda: ended(root, "000001"), process).result == "published"
    learnt_once(root, 1)


def test_a_drop_that_cannot_be_learnt_is_set_aside_and_others_go_on(
    settings: Settings, root: Path, drop: Drop, launch: Launch
) -> None:
    diverging = {**settings.learning.overrides, "lr": 1e30, "epochs": 6, "batch_size": 8}
    broken = changed(settings, learning={"overrides": diverging})
    drop("zero", 0)
    drop("one", 1)
    dropped = hashes(root, "incoming")
    process = launch(broken)
    done = wait_for(lambda: ended(root, "000001"), process)
    assert done.result == "failed"
    assert "learn failed 3 times" in (done.reason or "")
    assert hashes(root, "incoming") == dropped
    states = wait_for(lambda: [w for w in status_of(broken)["waiting"] if w["state"] == "failed"], process)
    assert {state["class"] for state in states} == {"zero", "one"}
    end(process)
    # It stays so after a restart, until something in the folders changes.
    process = launch(settings)
    wait_for(lambda: len([w for w in status_of(settings).get("waiting", []) if w["state"] == "failed"]) == 2, process)
    for name in ("zero", "one"):
        (root / "incoming" / name / "_READY").touch()
    assert wait_for(lambda: ended(root, "000002"), process).result == "published"


def test_a_refused_version_is_kept_and_not_served(
    settings: Settings, root: Path, store: DirectoryStore, drop: Drop, launch: Launch
) -> None:
    strict = changed(settings, gate={"min_new_accuracy": 1.0})
    drop("zero", 8, 20)
    drop("one", 1, 20)
    process = launch(strict)
    done = wait_for(lambda: ended(root, "000001"), process)
    assert (done.result, done.version) == ("refused", 1)
    assert "gate.min_new_accuracy" in (done.reason or "")
    versions = VersionStore(store)
    assert versions.current() is None
    assert not versions.evaluation(1).gate.passed
    assert list(store.list("incoming/")) == []
    assert "refused" in str(status_of(strict)["errors"])


def test_the_store_going_away_is_shown_and_survived(
    settings: Settings, root: Path, tmp_path: Path, launch: Launch
) -> None:
    process = launch(settings)
    wait_for(lambda: status_of(settings), process)
    shutil.move(root, tmp_path / "away")
    assert "is gone" in wait_for(lambda: status_of(settings)["store"]["error"], process)
    metrics = httpx.get(f"{settings.updater_url}/metrics").text
    assert "lucir_store_errors_total 0.0" not in metrics
    shutil.move(tmp_path / "away", root)
    wait_for(lambda: status_of(settings)["store"]["ok"], process)
