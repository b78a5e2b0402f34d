"""Metrics stay few whatever people drop."""

import math
from datetime import timedelta

import numpy as np
import pytest
from prometheus_client.registry import Collector

from handlers.updater.metrics import CLASSES, OTHERS, Metrics
from handlers.updater.release.evaluate import FIRST, Predictions, summarise
from lucir_core.frozen.intervals import wilson
from model_store.manifest import Calibration, Evaluation, Gate
from tools.manifests import make_manifest


def shown(collector: Collector) -> dict[str, float]:
    """The values of a metric by its one label."""
    (family,) = collector.collect()
    return {label: sample.value for sample in family.samples for label in sample.labels.values()}


def test_waiting_images_by_class() -> None:
    metrics = Metrics()
    metrics.show_waiting({"cat": 3, "dog": 5})
    assert shown(metrics.waiting) == {"cat": 3, "dog": 5}
    metrics.show_waiting({"dog": 6})
    assert shown(metrics.waiting) == {"dog": 6}


def test_of_very_many_waiting_classes_the_largest_are_named() -> None:
    metrics = Metrics()
    metrics.show_waiting({f"class-{number}": number + 1 for number in range(10_000)})
    found = shown(metrics.waiting)
    assert len(found) == CLASSES + 1
    assert found["class-9999"] == 10_000
    assert "class-9799" not in found
    assert found[OTHERS] == 9_800 * 9_801 / 2


def test_a_version_tells_what_its_accuracy_and_its_unknown_are_worth() -> None:
    labels = np.arange(40) % 2
    evaluation = summarise(1, ("cat", "dog"), Predictions(labels, labels, labels), FIRST, Gate(passed=True))
    calibration = Calibration(images=40, temperature=0.1, calibration_error=0.02, known_cosine=0.6, false_alarms=0.05)
    metrics = Metrics()
    value = metrics.registry.get_sample_value
    metrics.show_version(make_manifest(1, calibration=calibration), evaluation)
    assert value("lucir_accuracy_images") == 40
    assert value("lucir_accuracy_bound_ratio", {"bound": "low"}) == wilson(40, 40).low
    assert value("lucir_accuracy_bound_ratio", {"bound": "high"}) == 1.0
    assert value("lucir_unknown_false_alarms_ratio") == 0.05
    assert value("lucir_calibration_error_ratio") == 0.02
    metrics.show_version(make_manifest(2), evaluation)  # not calibrated
    assert math.isnan(value("lucir_unknown_false_alarms_ratio") or 0.0)


def evaluation(version: int, accuracy: dict[str, float]) -> Evaluation:
    labels = np.arange(len(accuracy))
    base = summarise(version, tuple(accuracy), Predictions(labels, labels, labels), FIRST, Gate(passed=True))
    return base.model_copy(update={"class_accuracy": accuracy})


def test_a_version_is_compared_with_its_parent_over_the_classes_of_both() -> None:
    """A hard new class is not forgetting."""
    metrics = Metrics()
    parent = evaluation(1, {"cat": 0.9, "dog": 0.7, "gone": 0.1})
    metrics.show_version(make_manifest(2), evaluation(2, {"cat": 0.8, "dog": 0.7, "new": 0.2}), parent)
    assert shown(metrics.shared_accuracy) == {"current": pytest.approx(0.75), "parent": pytest.approx(0.8)}
    metrics.show_version(make_manifest(3), parent)
    assert shown(metrics.shared_accuracy) == {}


def test_of_very_many_classes_the_worst_are_named() -> None:
    metrics = Metrics(classes=3)
    accuracy = {f"class-{number}": number / 1000 for number in range(1000)}
    metrics.show_version(make_manifest(1), evaluation(1, accuracy))
    found = shown(metrics.class_accuracy)
    assert set(found) == {"class-0", "class-1", "class-2", OTHERS}
    assert found[OTHERS] == pytest.approx(0.501)


def test_a_rollback_is_no_step_back_of_the_last_success() -> None:
    metrics = Metrics()
    newer = make_manifest(2)
    older = make_manifest(1).model_copy(update={"created_at": newer.created_at - timedelta(days=2)})
    for manifest in (older, newer, older):
        metrics.show_version(manifest, evaluation(manifest.version, {"cat": 1.0, "dog": 1.0}))
    told = metrics.registry.get_sample_value("lucir_last_success_timestamp_seconds")
    assert told == newer.created_at.timestamp()


def test_a_running_update_tells_when_it_moved_last() -> None:
    metrics = Metrics()
    assert metrics.registry.get_sample_value("lucir_update_moved_timestamp_seconds") == 0
    metrics.phase_progress(0.5, {}, None, None)
    assert (metrics.registry.get_sample_value("lucir_update_moved_timestamp_seconds") or 0) > 1e9
    metrics.phase_ended()
    assert metrics.registry.get_sample_value("lucir_update_moved_timestamp_seconds") == 0
