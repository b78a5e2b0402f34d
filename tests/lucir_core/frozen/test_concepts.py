"""What the backbone's own classifier says of images: kept with the head, part of the score, gone where it must be."""

import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image

from lucir_core.config.phase_config import load_preset
from lucir_core.edit.edit_state import forget_images, remove_class
from lucir_core.export.onnx_export import KNOWN, export_onnx, open_session
from lucir_core.frozen import analytic
from lucir_core.frozen.analytic import unit_rows
from lucir_core.frozen.calibrate import known_score, usual_bound
from lucir_core.frozen.frozen_head import with_head
from lucir_core.memory.image_blobs import image_digest
from lucir_core.models.heads import CAP, AnalyticHead, Concepts, capped_units
from lucir_core.phase import PhaseData, run_phase
from lucir_core.state import LearnerState, load_state, save_state
from tests.support.present import present

CLASSES = ("flower", "palace", "sky")
PLACES = {"flower": ("flower.jpg", 100, 260), "palace": ("china.jpg", 150, 200), "sky": ("china.jpg", 0, 20)}


def parts(count: int, seed: int) -> np.ndarray:
    """(3 * count, 96, 96, 3): parts of two photographs."""
    random, images = np.random.default_rng(seed), []
    for name, first, last in PLACES.values():
        photograph = load_sample_image(name)
        for _ in range(count):
            top, left = random.integers(first, last), random.integers(0, 540)
            images.append(photograph[top : top + 96, left : left + 96])
    return np.stack(images)


@pytest.fixture(scope="module")
def state() -> LearnerState:
    data = PhaseData(parts(6, 1), np.repeat(np.arange(3), 6).astype(np.int64), CLASSES)
    return run_phase(load_preset("photo", {"size": 96, "resize": 96}), data, None)


def concepts(state: LearnerState) -> Concepts:
    head = state.model.head
    assert isinstance(head, AnalyticHead)
    return present(head.concepts)


def test_the_served_score_is_the_one_that_was_calibrated(state: LearnerState, tmp_path: Path) -> None:
    images = parts(3, 2)
    export_onnx(state, tmp_path / "model.onnx")
    known, features = open_session(tmp_path / "model.onnx").run([KNOWN, "features"], {"images": images})
    temperature = present(state.calibration).temperature
    ridge = state.model.head(torch.from_numpy(features)).logits.numpy() * temperature
    cosine = (unit_rows(features) @ state.prototypes.numpy().T).max(axis=1)
    rows = torch.from_numpy(features)
    concept = concepts(state).cosines(rows).numpy().max(axis=1)
    capped = present(concepts(state).capped_cosines(rows)).numpy().max(axis=1)
    np.testing.assert_allclose(known[:, 0], known_score(cosine, ridge.max(axis=1), concept, capped), atol=1e-5)
    assert abs(known[:, 0] - known_score(cosine, ridge.max(axis=1), concept)).max() > 0.01


def test_a_version_of_before_the_capped_means_keeps_its_score(state: LearnerState, tmp_path: Path) -> None:
    """Its bound was made for it; whatever makes the head anew makes both."""
    old, images = copy.deepcopy(state), parts(3, 2)
    concepts(old).capped = None
    save_state(old, tmp_path)
    read = load_state(tmp_path)
    export_onnx(read, tmp_path / "model.onnx")
    known, features = open_session(tmp_path / "model.onnx").run([KNOWN, "features"], {"images": images})
    ridge = read.model.head(torch.from_numpy(features)).logits.numpy() * present(read.calibration).temperature
    cosine = (unit_rows(features) @ read.prototypes.numpy().T).max(axis=1)
    concept = concepts(read).cosines(torch.from_numpy(features)).numpy().max(axis=1)
    np.testing.assert_allclose(known[:, 0], known_score(cosine, ridge.max(axis=1), concept), atol=1e-5)
    assert with_head(read).calibration == state.calibration


def test_a_number_far_above_the_others_counts_no_more_than_the_cap() -> None:
    feature = torch.ones(2, 400)
    feature[1, 0] = 1000.0
    plain, peaked = capped_units(feature)
    assert plain[0].item() == pytest.approx(0.05)
    assert peaked[0].item() / peaked[1].item() == pytest.approx(CAP / 20 * math.hypot(1000, math.sqrt(399)))
    torch.testing.assert_close(capped_units(7.0 * feature), capped_units(feature))
    torch.testing.assert_close(capped_units(-feature), -capped_units(feature))
    torch.testing.assert_close(capped_units(torch.zeros(1, 5)), torch.zeros(1, 5))


def test_it_is_read_back_without_the_package(
    state: LearnerState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_state(state, tmp_path)
    monkeypatch.setattr("lucir_core.frozen.concepts.is_installed", lambda _: False)
    again = with_head(load_state(tmp_path))
    for name, value in concepts(state).state_dict().items():
        torch.testing.assert_close(concepts(again).state_dict()[name], value)
    assert again.calibration == state.calibration


def test_an_image_that_is_deleted_is_in_no_mean(state: LearnerState) -> None:
    images, labels = parts(6, 1), np.repeat(np.arange(3), 6).astype(np.int64)
    never = run_phase(state.config, PhaseData(images[1:], labels[1:], CLASSES), None)
    forgotten, left = forget_images(state, [image_digest(images[0])]), remove_class(state, "flower")
    for name in ("means", "capped"):
        torch.testing.assert_close(getattr(concepts(forgotten), name), getattr(concepts(never), name))
        torch.testing.assert_close(getattr(concepts(left), name), getattr(concepts(state), name)[1:])


def test_very_many_images_go_without(state: LearnerState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analytic, "MANY_ROWS", 10)
    many = with_head(state)
    assert isinstance(many.model.head, AnalyticHead)
    assert many.model.head.concepts is None
    save_state(many, tmp_path)
    assert load_state(tmp_path).calibration == many.calibration


def bound(state: LearnerState) -> float:
    return present(present(with_head(state).calibration).known_cosine)


def test_the_usual_bound_counts_for_the_backbone_that_it_was_measured_with() -> None:
    """Not for one that was refined, at another size or with an expansion in the head."""
    large = parts(4, 1).repeat(3, axis=1).repeat(3, axis=2)
    data = PhaseData(large, np.repeat(np.arange(3), 4).astype(np.int64), CLASSES)
    state = run_phase(load_preset("photo", {"resize": 288}), data, None)
    refined = replace(state, features=replace(present(state.features), seen=np.zeros(12, bool)))
    usual, own = usual_bound(4, 3), bound(refined)
    assert min(usual, own) < bound(state) < max(usual, own)
    assert bound(replace(state, config=load_preset("photo", {"size": 192}))) == own
    expanded = bound(replace(state, config=load_preset("photo", {"analytic.expansion": 64})))
    assert expanded == bound(replace(refined, config=load_preset("photo", {"analytic.expansion": 64})))
