"""Metrics stay few whatever people drop."""

from handlers.updater.metrics import OTHERS, WAITING_CLASSES, Metrics


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
