"""Imprint first, in real processes with real training: what is served meanwhile, and what kills leave of it."""

import base64
import os
import shutil
import signal
from pathlib import Path

import httpx
import numpy as np
import pytest

from handlers.bucket.seen_images import Learnt
from handlers.bucket.update_documents import Plan
from handlers.inference.preprocess import crop
from handlers.settings import Settings
from handlers.torchserve.canary import Canary
from handlers.updater.release.evaluate import open_model
from lucir_core.memory.image_blobs import ImageBlobs
from lucir_core.state import load_state
from model_store.versions import VersionStore
from tests.handlers.conftest import Drop, Launch
from tests.support.processes.updater_process import end, hold_child, log_of, status_of
from tests.support.quick_settings import changed
from tests.support.stores.outcome import ended, hashes, learnt_once
from tests.support.stores.published import pointed
from tests.support.waiting import PATIENCE, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def quick(settings: Settings) -> Settings:
    """No server to wait for, a provisional version of every drop."""
    return changed(settings, learning={"imprint_first": True})


@pytest.mark.timeout(600)  # three trainings
def test_a_provisional_version_answers_until_the_learnt_one_does(
    quick: Settings, root: Path, versions: VersionStore, drop: Drop, launch: Launch
) -> None:
    drop("zero", 0)
    drop("one", 1)
    process = launch(quick)
    assert wait_for(lambda: ended(root, "000001"), process).version == 1  # a first phase has nothing to imprint on

    drop("two", 2)
    drop("one", 1, 6, first=20)
    wait_for(lambda: pointed(versions) == 2, process)
    assert ended(root, "000002") is None
    done = wait_for(lambda: ended(root, "000002"), process)
    assert (done.result, done.version, done.provisional) == ("published", 3, 2)
    assert pointed(versions) == 3
    manifests = {number: versions.manifest(number) for number in versions.numbers()}
    assert [(each.kind, each.parent) for each in manifests.values()] == [
        ("learnt", None),
        ("provisional", 1),
        ("learnt", 1),
    ]
    assert (manifests[2].new_classes, manifests[2].updated_classes) == (("two",), ())
    assert manifests[3].updated_classes == ("one",)
    first, provisional, learnt = (versions.evaluation(number) for number in (1, 2, 3))
    assert (provisional.history, provisional.class_best) == (first.history, first.class_best)
    assert learnt.history == (*first.history, learnt.cnn.all)
    assert provisional.parent_old == learnt.parent_old
    learnt_once(root, 3)
    _check_what_it_learnt(root)

    listed = httpx.get(f"{quick.updater_url}/api/versions").json()["versions"]
    assert [version["kind"] for version in listed] == ["learnt", "provisional", "learnt"]
    metrics = httpx.get(f"{quick.updater_url}/metrics").text
    assert f'lucir_versions_total{{kind="provisional",result="{provisional.gate.answer}"}} 1.0' in metrics
    assert 'lucir_current_version_kind{kind="learnt"} 1.0' in metrics
    assert "lucir_phase 2.0" in metrics

    # Of a known class alone there is nothing to imprint; a child that dies costs the provisional version, not the drop.
    drop("zero", 0, 6, first=20)
    assert wait_for(lambda: ended(root, "000003"), process).version == 4
    drop("three", 3)
    os.kill(hold_child(quick, process, "imprint"), signal.SIGKILL)
    done = wait_for(lambda: ended(root, "000004"), process)
    assert (done.result, done.version) == ("published", 6)
    assert versions.numbers() == [1, 3, 4, 6]  # retention has removed the provisional version that was replaced
    assert "no provisional version in update 000004" in str(status_of(quick)["errors"])


def _check_what_it_learnt(root: Path) -> None:
    """Version 2 answers among old classes as version 1 does, and has learnt nothing of the known class's images."""
    folder = root / "versions"
    exemplars = load_state(folder / "1").exemplars.decode_all(12)
    before, after = (
        open_model(folder / number / "model.onnx", 1).run(["cosines"], {"images": exemplars})[0] for number in "12"
    )
    np.testing.assert_allclose(after[:, :2], before, atol=1e-5)
    for number in "23":
        canary = Canary.model_validate_json((folder / number / "canary.json").read_bytes())
        assert 4 <= len(canary.pictures) <= 8
        held = ImageBlobs.load(folder / number / "holdout.safetensors")
        asked = [base64.b64decode(image.png) for image in canary.pictures]
        assert set(asked) <= set(held.pngs)
        inputs = np.stack([crop(held.decode(held.pngs.index(png)), 12) for png in asked])
        answers = open_model(folder / number / "model.onnx", 1).run(["probabilities"], {"images": inputs})[0]
        assert [held.classes[row.argmax()] for row in answers] == [image.answer for image in canary.pictures]
        np.testing.assert_allclose(answers.max(axis=1), [image.probability for image in canary.pictures], atol=1e-6)
    plan = Plan.model_validate_json((root / "updates/000002/plan.json").read_bytes())
    learnt = Learnt.load(folder / "2" / "learnt.safetensors")
    added = [entry for entry in plan.entries if learnt.find([entry.sha256])]
    assert {entry.class_name for entry in added if entry.role == "train"} == {"two"}
    assert {entry.class_name for entry in added if entry.role == "holdout"} == {"one", "two"}


WALKED = (
    *("imprint", "evaluate-provisional", "store-provisional", "point-provisional"),
    *("learn", "evaluate", "store", "point"),
)


@pytest.mark.timeout(1500)  # nineteen starts of a process
def test_kills_around_a_provisional_version_change_nothing(
    quick: Settings, root: Path, versions: VersionStore, drop: Drop, launch: Launch
) -> None:
    drop("zero", 0)
    drop("one", 1, marked=True)
    process = launch(quick)
    wait_for(lambda: ended(root, "000001"), process)
    end(process)
    drop("two", 2, marked=True)
    undisturbed = root.with_name("undisturbed")
    shutil.copytree(root, undisturbed)
    dropped = hashes(root, "incoming", "archive")
    for name in WALKED:
        for when in ("before", "after"):
            process = launch(quick, f"{name}:{when}")
            assert process.wait(PATIENCE) == -signal.SIGKILL, (name, when)
            assert hashes(root, "incoming", "archive") == dropped, (name, when)
            offered = WALKED.index(name) > 3 or (name, when) == ("point-provisional", "after")
            expected = 3 if (name, when) == ("point", "after") else 2 if offered else 1
            assert pointed(versions) == expected, (name, when)
    process = launch(quick)
    done = wait_for(lambda: ended(root, "000002"), process)
    assert (done.result, done.version, versions.numbers(), pointed(versions)) == ("published", 3, [1, 2, 3], 3)
    assert log_of(quick).count("phase learnt") == 2  # nothing that was durable was done again
    end(process)

    process = launch(quick.model_copy(update={"store": undisturbed.as_uri(), "data": root.with_name("other")}))
    wait_for(lambda: ended(undisturbed, "000002"), process)
    for number in ("2", "3"):
        for name in ("checkpoint.safetensors", "exemplars.safetensors", "model.onnx", "learnt.safetensors"):
            found, expected_bytes = ((folder / "versions" / number / name) for folder in (root, undisturbed))
            assert found.read_bytes() == expected_bytes.read_bytes(), (number, name)


@pytest.mark.timeout(600)
def test_a_refused_learnt_version_leaves_the_provisional_one_in_place(
    quick: Settings, root: Path, versions: VersionStore, drop: Drop, launch: Launch
) -> None:
    """Training that forgets everything old: the gate refuses it, and not the imprinted version."""
    forgetful = {
        **quick.learning.overrides,
        "initial_epochs": 12,
        "epochs": 12,
        "replay": False,
        "less_forget": False,
        "ranking_weight": 0,
    }
    strict = changed(quick, learning={"overrides": forgetful}, gate={"max_old_accuracy_loss": 0.4})
    drop("zero", 0, 40)
    drop("one", 1, 40)
    process = launch(strict)
    wait_for(lambda: ended(root, "000001"), process)
    assert pointed(versions) == 1
    drop("six", 6, 40)
    done = wait_for(lambda: ended(root, "000002"), process)
    assert (done.result, done.version, done.provisional) == ("refused", 3, 2)
    assert "the provisional version 2 stays served" in (done.reason or "")
    assert pointed(versions) == 2
    assert "version 2 stays served" in str(status_of(strict)["errors"])
    wait_for(lambda: 'kind="provisional"} 1.0' in httpx.get(f"{strict.updater_url}/metrics").text, process)
