"""The speed benchmark: what it computes from its rounds, and a small real one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lucir_core.bench.datasets.dataset import Dataset, Split
from lucir_core.bench.result_file import read_json
from lucir_core.bench.speed.compare import BEST, Plan, Variant, compare, phase_images, summary, variants
from lucir_core.bench.speed.equality import step_equality
from lucir_core.bench.speed.speed_page import rows, write_page
from lucir_core.testing import synthetic_images
from lucir_core.training import recorded_epoch

SINGLE = torch.Tensor.float


def hundred_classes(count: int) -> Dataset:
    images = np.concatenate([synthetic_images(label, count, side=32) for label in range(100)])
    labels = np.repeat(np.arange(100), count)
    return Dataset("made", Split(images, labels), Split(images, labels), tuple(f"class {i}" for i in range(100)))


def test_figures_are_medians_of_ratios_within_rounds() -> None:
    rates = {
        "reference": [100.0, 50.0, 100.0],
        "ours": [200.0, 150.0, 250.0],
        "no teacher": [250.0, 180.0, 500.0],
        "without keep_memory": [100.0, 100.0, 125.0],
        "with compiled": [400.0, 300.0, 250.0],
    }
    figures = summary(rates)
    assert figures["over_reference"] == 2.5
    assert figures["teacher_share"] == pytest.approx(0.25)
    assert figures["gain_of"] == {"keep_memory": 2.0}
    assert figures["gain_with"] == {"compiled": 2.0}
    assert figures["images_per_second"]["ours"] == 200.0


def test_a_phase_has_exemplars_of_old_classes_and_all_of_new_ones() -> None:
    images, labels = phase_images(hundred_classes(25))
    assert np.bincount(labels).tolist() == [20] * 50 + [25] * 10
    assert len(images) == len(labels)


def test_every_acceleration_of_the_device_is_left_out_once() -> None:
    for device, only in (("cpu", {"keep_memory"}), ("cuda:0", {"captured", "fused", "epoch_graphs"})):
        names = [variant.name for variant in variants(device)]
        assert {f"without {name}" for name in only} <= set(names)
        assert len(names) == len(set(names))


@pytest.mark.slow
def test_one_step_with_each_acceleration_is_the_plain_step_and_a_wrong_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images, labels = phase_images(hundred_classes(1))
    found = step_equality(
        images, labels, (50, 10), "cpu", ["folded_teacher", "epoch_graphs"], network="resnet8", batch_size=16
    )
    assert list(found) == ["off", "folded_teacher", "epoch_graphs"]
    assert all(facts["equal"] and 0 < facts["error"] < 1e-4 for facts in found.values()), found
    assert torch.Tensor.float is SINGLE

    views = recorded_epoch.augment_batch
    monkeypatch.setattr(recorded_epoch, "augment_batch", lambda images, *rest: views(images.flip(0), *rest))
    found = step_equality(images, labels, (50, 10), "cpu", ["epoch_graphs"], network="resnet8", batch_size=16)
    assert found["off"]["equal"]
    assert not found["epoch_graphs"]["equal"]


def test_without_a_compiler_nothing_compiled_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert BEST not in [variant.name for variant in variants("cpu")]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_small_comparison(tmp_path: Path) -> None:
    plan = Plan(rounds=2, steps=1, network="resnet8", batch_size=8, warmup=1)
    chosen = [variant for variant in variants("cpu") if variant.name in ("reference", "ours", "no teacher")]
    measured = compare(hundred_classes(2), "cpu", plan, [*chosen, Variant("all off", "ours", "off")])
    assert {name: len(values) for name, values in measured["images_per_second"].items()} == {
        "reference": 2,
        "ours": 2,
        "no teacher": 2,
        "all off": 2,
    }
    assert all(value > 0 for values in measured["images_per_second"].values() for value in values)
    facts = {"network": plan.network, "batch_size": plan.batch_size}
    result = {"plan": facts, "summary": summary(measured["images_per_second"]), **measured}
    write_page(result, tmp_path)
    assert read_json(tmp_path / "speed.json")["summary"] == result["summary"]
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")
    assert [row[0] for row in rows(result)] == ["reference", "ours", "no teacher", "all off"]
