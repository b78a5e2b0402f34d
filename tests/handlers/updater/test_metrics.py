"""Metrics stay few whatever people drop."""

import math

import numpy as np

from handlers.settings import GateSettings
from handlers.updater.metrics import OTHERS, WAITING_CLASSES, Metrics
from handlers.updater.release.evaluate import Lineage, Predictions, summarise
from model_store.manifest import Calibration
from tools.manifests import make_manifest


def waiting(metrics: Metrics) -> dict[str, float]:
    (family,) = metrics.waiting.collect()
    return {sample.labels["class"]: sample.value for sample in family.samples}


def test_waiting_images_by_class() -> None:
    metrics = Metrics()
    metrics.show_waiting({"cat": 3, "dog": 5})
    assert waiting(metrics) == {"cat": 3, "dog": 5}
    metrics.show_waiting({"dog": 6})
    assert waiting(metrics) == {"dog": 6}


def test_of_very_many_waiting_classes_the_largest_are_named() -> None:
    metrics = Metrics()
    metrics.show_waiting({f"class-{number}": number + 1 for number in range(10_000)})
    found = waiting(metrics)
    assert len(found) == WAITING_CLASSES + 1
    assert found["class-9999"] == 10_000
    assert "class-9799" not in found
    assert found[OTHERS] == 9_800 * 9_801 / 2


def test_a_version_tells_what_its_accuracy_and_its_unknown_are_worth() -> None:
    labels = np.arange(40) % 2
    first = Lineage(None, 0, {}, (), None)
    evaluation = summarise(1, ("cat", "dog"), Predictions(labels, labels, labels), first, GateSettings())
    calibration = Calibration(images=40, temperature=0.1, calibration_error=0.02, known_cosine=0.6, false_alarms=0.05)
    metrics = Metrics()
    metrics.show_version(make_manifest(1, calibration=calibration), evaluation)
    assert metrics.registry.get_sample_value("lucir_accuracy_images") == 40
    assert metrics.registry.get_sample_value("lucir_unknown_false_alarms_ratio") == 0.05
    assert metrics.registry.get_sample_value("lucir_calibration_error_ratio") == 0.02
    metrics.show_version(make_manifest(2), evaluation)  # not calibrated
    assert math.isnan(metrics.registry.get_sample_value("lucir_unknown_false_alarms_ratio") or 0.0)
