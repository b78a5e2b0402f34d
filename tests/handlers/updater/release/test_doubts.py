"""Labels that are to be looked at: features made by hand, so that what is odd is known."""

import numpy as np
import pytest

from handlers.bucket.report_document import Report
from handlers.updater.release.report.doubts import WARNED_SHARE, find_doubts
from handlers.updater.release.report.html import render
from lucir_core.memory.feature_memory import FeatureMemory
from tests.handlers.updater.release.test_report import report

__all__ = ["report"]
CLASSES = ("cat", "dog", "owl")


def memory(labels: np.ndarray, looks: np.ndarray, phases: np.ndarray) -> FeatureMemory:
    """Each image near the axis of the class that it looks like, at most 0.9 alike to any other image."""
    draw = np.random.default_rng(0)
    features = np.eye(32, dtype=np.float32)[looks] + draw.normal(0, 0.1, (len(looks), 32)).astype(np.float32)
    digests = np.arange(len(labels) * 16, dtype=np.int64).astype(np.uint8).reshape(-1, 16)
    digests[:, 0] = np.arange(len(labels))
    return FeatureMemory(features, labels, phases, digests)


def test_exchanged_labels_of_this_update_are_named_with_their_keys() -> None:
    looks = np.repeat([0, 1, 2], 10)
    labels, phases = looks.copy(), np.repeat([0, 1, 1], 10)
    labels[0] = 1  # of the update before: reported then
    labels[[12, 13, 24]] = 2, 2, 1
    rows = memory(labels, looks, phases)
    keys = {rows.digests[row].tobytes(): f"archive/000002/{row}.png" for row in range(30)}
    doubts = find_doubts(rows, CLASSES, keys)
    named = {(one.key, one.name, one.looks_like) for one in doubts.mislabelled}
    assert named == {
        ("archive/000002/12.png", "owl", "dog"),
        ("archive/000002/13.png", "owl", "dog"),
        ("archive/000002/24.png", "dog", "owl"),
    }
    assert doubts.judged == 20
    assert doubts.share == pytest.approx(0.15)
    assert doubts.share > WARNED_SHARE
    assert {(pair.name, pair.other) for pair in doubts.lookalikes} == {("dog", "owl")}


def test_the_same_image_in_two_classes_is_named_once_whenever_it_came() -> None:
    labels, phases = np.repeat([0, 1, 2], 8), np.repeat([0, 1, 1], 8)
    rows = memory(labels, labels, phases)
    rows.features[9] = rows.features[2]  # dog, new, as a cat that is old
    rows.features[17] = rows.features[12]  # owl, new, as a dog that is new
    doubts = find_doubts(rows, CLASSES, {})
    assert {(pair.name, pair.other) for pair in doubts.duplicates} == {("dog", "cat"), ("dog", "owl")}
    assert len(doubts.duplicates) == 2


def test_an_image_that_the_version_is_judged_by_is_named_whatever_its_class() -> None:
    labels = np.repeat([0, 1], 8)
    rows = memory(labels, labels, np.repeat([0, 1], 8))
    asked = np.stack([rows.features[10] * 2, rows.features[3], np.ones(32, np.float32)]).astype(np.float32)
    key = f"archive/{10}.png"
    doubts = find_doubts(rows, CLASSES, {rows.digests[10].tobytes(): key}, (asked, np.array([1, 0, 2])))
    # Row 3 is of an earlier update: it was named then.
    assert [(one.key, one.name, one.other_key) for one in doubts.duplicates] == [(key, "dog", "evaluation/dog/")]
    assert find_doubts(rows, CLASSES, {}).duplicates == ()


def test_classes_with_fewer_than_five_images_are_not_judged() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    doubts = find_doubts(memory(labels, 1 - labels, np.zeros(8, np.int64)), CLASSES, {})
    assert (doubts.judged, doubts.share, doubts.mislabelled) == (0, 0.0, ())


def test_the_page_shows_doubts_and_reads_reports_without(report: Report) -> None:
    assert "Labels to look at" not in render(report)
    looks = np.repeat([0, 1, 2], 10)
    labels = looks.copy()
    labels[[12, 24]] = 2, 1
    doubts = find_doubts(memory(labels, looks, np.zeros(30, np.int64)), CLASSES, {})
    page = render(report.model_copy(update={"doubts": doubts}))
    assert "Labels to look at" in page
    assert "6.7" in page
    old = report.model_dump(mode="json")
    del old["doubts"], old["accuracy"]["interval"]
    assert Report.model_validate(old).doubts is None
