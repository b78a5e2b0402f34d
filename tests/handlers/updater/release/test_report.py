"""A report from known figures: what is counted, what is shown, and that nothing of it can run."""

import base64
import hashlib
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from handlers.bucket.report_document import Report, Taken
from handlers.bucket.update_documents import Entry, Plan, Role
from handlers.updater.release.evaluate import Lineage, Predictions, summarise
from handlers.updater.release.report import mistakes
from handlers.updater.release.report.html import policy, policy_of, render, style
from handlers.updater.release.report.mistakes import KEPT, PER_PAIR, MistakeRecorder, load_mistakes
from handlers.updater.release.report.write import make_report
from model_store.manifest import Gate
from tests.support.documents import make_entry, make_plan
from tests.support.learning.specs import make_spec

EVIL = '<script>alert("x")</script>&'
CLASSES = ("cat", "dog", EVIL)
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
ANSWERS = np.array([0, 0, 1, 2, 1, 1, 1, 2, 2, 2, 0, 1])
"""Old classes: 5 right, 1 taken for another old one, 2 for the new one; new class: 2 right, 2 taken for old ones."""


def entries(name: str | None, role: Role, count: int, reason: str | None = None) -> list[Entry]:
    return [
        make_entry(
            f"incoming/{name}/{EVIL}{index}.png",
            role,
            class_name=name,
            reason=f"{reason} incoming/{name}/{index}" if reason == "an exact duplicate of" else reason,
        )
        for index in range(count)
    ]


def plan() -> Plan:
    found = (
        *entries(EVIL, "train", 8),
        *entries(EVIL, "holdout", 4),
        *entries("dog", "train", 3),
        *entries("dog", "rejected", 6, "an exact duplicate of"),
        *entries(None, "rejected", 1, f"its folder is {EVIL}"),
    )
    facts = {"parent": 1, "version": 2, "classes": CLASSES, "new_classes": (EVIL,), "updated_classes": ("dog",)}
    return make_plan("000002", found, resize=8, **facts)


def probabilities() -> np.ndarray:
    """Row i is the surer of its answer the higher i is."""
    rows = np.full((len(ANSWERS), len(CLASSES)), 0.1, np.float32)
    rows[np.arange(len(ANSWERS)), ANSWERS] = np.linspace(0.4, 0.9, len(ANSWERS))
    return rows


def decoded_images() -> np.ndarray:
    return np.arange(len(LABELS), dtype=np.uint8)[:, None, None, None] * np.full((1, 8, 8, 3), 20, np.uint8)


@pytest.fixture
def report(tmp_path: Path) -> Report:
    recorder = MistakeRecorder()
    recorder.see(decoded_images()[:7], LABELS[:7], probabilities()[:7])
    recorder.see(decoded_images()[7:], LABELS[7:], probabilities()[7:])
    recorder.save(tmp_path)
    parent = Lineage(1, 2, {"cat": 1.0, "dog": 0.75}, (0.9,), 0.875)
    gate = Gate(passed=False, reasons=("accuracy over the old classes fell from 87.5% to 62.5%",))
    evaluation = summarise(2, CLASSES, Predictions(LABELS, ANSWERS, LABELS), parent, gate)
    spec = make_spec(tmp_path, CLASSES, {"cat": 1.0, "dog": 0.75})
    return make_report(spec, plan(), evaluation, {"learn": 3.21})


def test_what_came_in_and_what_was_rejected(report: Report) -> None:
    rows = {row.name: (row.state, row.trained, row.held_out, row.rejected) for row in report.incoming}
    assert rows == {EVIL: ("new", 8, 4, 0), "dog": ("known", 3, 0, 6), "(no class)": ("none", 0, 0, 1)}
    assert [(one.count, one.reason) for one in report.rejections] == [
        (6, "an exact duplicate of another file"),
        (1, f"its folder is {EVIL}"),
    ]
    assert len(report.rejections[0].examples) == 5


def test_accuracy_before_and_after_and_what_is_confused(report: Report) -> None:
    figures = report.accuracy
    assert (figures.before_old, figures.old, figures.new) == (0.875, 5 / 8, 0.5)
    assert figures.interval == pytest.approx((0.320, 0.807), abs=5e-4)  # 7 of 12
    assert "32.0\u201380.7" in render(report)
    assert report.taken == Taken(old_right=5, old_as_old=1, old_as_new=2, new_right=2, new_as_new=0, new_as_old=2)
    assert {(one.true, one.predicted, one.kind, one.count) for one in report.confusions} == {
        ("cat", "dog", "old as old", 1),
        ("cat", EVIL, "old as new", 1),
        ("dog", EVIL, "old as new", 1),
        (EVIL, "cat", "new as old", 1),
        (EVIL, "dog", "new as old", 1),
    }
    assert [(row.name, row.before, row.after) for row in report.classes] == [
        (EVIL, None, 0.5),
        ("cat", 1.0, 0.5),
        ("dog", 0.75, 0.75),
    ]
    assert report.classes[2].interval == pytest.approx((0.3006, 0.9544), abs=1e-4)  # 3 of 4
    assert "30.1\u201395.4" in render(report)


def test_what_too_few_images_leave_open_is_shown(report: Report) -> None:
    gate = Gate(passed=True, undecided=("of class 'dog' 0 of 3 images are answered rightly",))
    page = render(report.model_copy(update={"gate": gate}))
    assert "inconclusive: too few images to tell" in page
    assert "0 of 3 images" in page


def test_the_mistakes_are_the_images_themselves(report: Report) -> None:
    assert [(one.true, one.predicted) for one in report.mistakes[:2]] == [("dog", EVIL), ("cat", EVIL)]
    assert len(report.mistakes) == 5
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(report.mistakes[0].png))))
    np.testing.assert_array_equal(shown, decoded_images()[7])
    assert report.mistakes[0].probability == pytest.approx(probabilities()[7].max(), abs=1e-4)


class Seen(HTMLParser):
    """Tags and attributes of a page; balanced, or it fails."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open_tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in {"meta", "img", "br"}:
            self.open_tags.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag


def test_the_page_is_one_file_that_cannot_run_anything(report: Report) -> None:
    text, css = render(report), style()
    page = Seen()
    page.feed(text)
    assert page.open_tags == []
    assert "script" not in page.tags
    assert page.tags.count("img") == len(report.mistakes)
    names = {name for name, _ in page.attributes}
    assert not names & {"style", "href", "onclick", "onerror", "action"}
    sources = [value or "" for name, value in page.attributes if name == "src"]
    assert all(re.fullmatch(r"data:image/png;base64,[A-Za-z0-9+/=]+", source) for source in sources)
    assert "url(" not in css
    assert "@import" not in css
    assert f"<style>{css}</style>" in text
    assert policy_of(text) == policy(css)
    assert "script-src" not in policy_of(text)
    other = text.replace(css, "p { color: red }")  # as an earlier release had it
    assert f"'sha256-{base64.b64encode(hashlib.sha256(b'p { color: red }').digest()).decode()}'" in policy_of(other)
    for words in ("Version 2", "refused by the gate", "fell from 87.5% to 62.5%", "an exact duplicate of another file"):
        assert words in text, words


def test_hostile_names_of_classes_and_files_are_shown_as_text(report: Report) -> None:
    quote = '" onload="alert(1)'
    hostile = report.model_copy(
        update={
            "update_id": EVIL,
            "asked": f"rename {EVIL!r} to 'x'",
            "seconds": {EVIL: 1.0},
            "matrix_classes": (quote, "dog", EVIL),
            "mistakes": tuple(one.model_copy(update={"true": quote, "predicted": EVIL}) for one in report.mistakes),
            "gate": report.gate.model_copy(update={"reasons": (EVIL,)}),
        }
    )
    text = render(hostile)
    page = Seen()
    page.feed(text)
    assert EVIL not in text
    assert "script" not in page.tags
    assert "onload" not in {name for name, _ in page.attributes}
    titles = {value for name, value in page.attributes if name == "title"}
    assert {quote, EVIL} <= titles  # shown, and whole
    assert ("alt", f"an image of {quote}") in page.attributes


@pytest.mark.parametrize("changes", [{"kind": "edited", "asked": "rename 'a' to 'b'"}, {"matrix": None}, {}])
def test_every_kind_of_report_can_be_rendered(report: Report, changes: dict[str, Any]) -> None:
    changed = report.model_copy(update=changes)
    page = render(changed)
    assert ("What came in" in page) == (changed.kind != "edited")
    assert ("Asked for" in page) == (changed.asked is not None)
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_mistakes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mistakes, "CANDIDATES", 60)
    recorder = MistakeRecorder()
    random = np.random.default_rng(0)
    classes = tuple(str(index) for index in range(40))
    for _ in range(30):
        labels = random.integers(0, 40, 20)
        rows = random.random((20, 40)).astype(np.float32)
        recorder.see(np.full((20, 300, 300, 3), 7, np.uint8), labels, rows)
    assert len(recorder._found) <= 2 * 60 + 20  # noqa: SLF001 (the memory that it holds on the way)
    recorder.save(tmp_path)
    found = load_mistakes(tmp_path, classes, 20)
    assert len(found) == KEPT
    pairs = [(one.true, one.predicted) for one in found]
    assert max(pairs.count(pair) for pair in pairs) <= PER_PAIR
    assert Image.open(io.BytesIO(base64.b64decode(found[0].png))).size == (96, 96)
    assert load_mistakes(tmp_path / "nothing", classes, 20) == ()


def test_a_thousand_classes_make_a_small_report(tmp_path: Path) -> None:
    classes = tuple(f"class {index}" for index in range(1000))
    labels = np.repeat(np.arange(1000), 2)
    answers = np.random.default_rng(1).integers(0, 1000, 2000)
    parent = Lineage(1, 900, {}, (0.5,), 0.5)
    evaluation = summarise(2, classes, Predictions(labels, answers, answers), parent, Gate(passed=True))
    big = plan().model_copy(update={"classes": classes, "new_classes": classes[900:]})
    made = make_report(make_spec(tmp_path, classes, dict.fromkeys(classes[:900], 0.5)), big, evaluation, {})
    assert (made.matrix, made.classes_left_out) == (None, 800)
    assert len(render(made)) < 400_000
    assert len(made.model_dump_json()) < 200_000
