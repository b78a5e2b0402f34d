"""The parts of ``lucir demo`` that need no stack: data, arithmetic, client, verdict, tables, plot."""

import io
import itertools
import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from sklearn.datasets import load_digits

from handlers.demo.digits import PHASES, split_digits
from handlers.demo.errors import DemoError
from handlers.demo.load import LoadClient, Request, Traffic
from handlers.demo.material import digits, write_folders
from handlers.demo.memory import MemoryPeak
from handlers.demo.phases import PhaseResult, ServiceResult
from handlers.demo.plot import save_plot
from handlers.demo.results_text import document, facts, tables
from handlers.demo.service_accuracy import Measured, ask_service, measured
from handlers.demo.verdict import StoryResult, shortcomings
from tests.support.present import present
from tests.support.waiting import PATIENCE, wait_for


def test_the_split_holds_a_fifth_of_each_class_back_and_loses_nothing() -> None:
    digits = split_digits(1)
    counts = np.bincount(load_digits().target)
    for label in range(10):
        train, test = digits.train[str(label)], digits.test[str(label)]
        assert len(train) + len(test) == counts[label]
        assert len(test) == round(counts[label] / 5)
    assert split_digits(1) == digits
    assert split_digits(2) != digits


def test_the_images_are_dark_digits_on_white(tmp_path: Path) -> None:
    folder = write_folders(split_digits(1).train, ("0", "1"), tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["0", "1"]
    image = np.asarray(Image.open(next((folder / "0").iterdir())))
    assert image.shape == (32, 32)
    assert image[0, 0] > 240  # a corner
    assert image.min() < 60


def result(right: dict[str, int], new: tuple[str, ...], before: Measured | None) -> Measured:
    return measured(right, dict.fromkeys(right, 10), new, before)


def test_accuracy_and_forgetting_by_hand() -> None:
    first = result({"a": 9, "b": 7}, ("a", "b"), None)
    second = result({"a": 8, "b": 8, "c": 10}, ("c",), first)
    third = result({"a": 5, "b": 6, "c": 10, "d": 1}, ("d",), second)
    assert (first.all, first.old, first.fresh, first.forgetting) == (0.8, None, 0.8, None)
    assert second.old == pytest.approx(0.8)
    assert second.old_before == pytest.approx(0.8)
    assert second.forgetting == pytest.approx(((0.9 - 0.8) + (0.7 - 0.8)) / 2)
    assert third.old == pytest.approx(0.7)
    assert third.old_before == pytest.approx(26 / 30)
    assert third.forgetting == pytest.approx(((0.9 - 0.5) + (0.8 - 0.6) + 0) / 3)


def answer_of(version: int, name: str) -> bytes:
    return json.dumps({"model_version": version, "predictions": [{"class": name}]}).encode()


def test_asking_the_service_counts_right_answers_by_class(serve: Callable[..., str]) -> None:
    url = serve(lambda _, __, body: (200, answer_of(3, body.decode()[0])))
    test = {"a": [b"a1", b"a2", b"b3"], "b": [b"b1", b"b2"]}
    found = ask_service(url, 3, test, ("a", "b"), None)
    assert found.class_accuracy == {"a": 2 / 3, "b": 1.0}
    with pytest.raises(DemoError, match="a test image was answered with 200"):
        ask_service(url, 4, test, ("a", "b"), None)


def ended(request: Request) -> float:
    return request.began + request.seconds


def test_the_client_tells_failures_from_nothing_learnt_yet(serve: Callable[..., str]) -> None:
    count = itertools.count()
    enough = threading.Event()

    def answer(*_: object) -> tuple[int, bytes]:
        number = next(count)
        if number > 30:
            enough.set()
        if number < 5:
            return 503, b'{"error": "nothing learnt yet"}'
        if number == 20:
            return 503, b'{"error": "worker died"}'
        return 200, answer_of(1 if number < 15 else 2, "a")

    with LoadClient(serve(answer), [b"x"]) as client:
        assert enough.wait(PATIENCE)
    traffic = client.traffic()
    assert traffic.failed == 1
    assert client.problems() == ['503: {"error": "worker died"}']
    assert sum(request.result == "nothing learnt" for request in client.requests()) == 5
    first = present(client.first_answer(2))
    assert all(request.version != 2 or ended(request) >= ended(first) for request in client.requests())
    assert client.traffic(0, first.began - 3600) == Traffic(0, 0, 0.0)


def test_a_server_that_is_gone_is_a_failure(serve: Callable[..., str]) -> None:
    with LoadClient("http://127.0.0.1:9", [b"x"]) as client:
        wait_for(client.requests)
    assert client.traffic().failed == client.traffic().sent > 0
    assert "ConnectError" in client.problems()[0]


def test_the_peak_of_memory_is_that_of_all_processes() -> None:
    with MemoryPeak() as memory:
        wait_for(lambda: memory.peak_bytes)
    assert 10 * 1024**2 < memory.peak_bytes < 100 * 1024**3
    assert sum(memory.peak_parts.values()) == memory.peak_bytes


def service_of(results: tuple[Measured, ...]) -> ServiceResult:
    """A service that reached these accuracies, without a failure."""
    traffic = Traffic(100, 0, 0.1)
    phases = (PhaseResult(one.new, number, 20, 0, 5.0, one, traffic, traffic) for number, one in enumerate(results, 1))
    return ServiceResult(tuple(phases), traffic, (), 6.0)


def story(last: int = 10, *, failed: int = 0, longest: float = 0.1, peak: int = 1 << 30, seed: int = 1) -> StoryResult:
    """A story in which every class has 10 test images, and ``last`` of them are right in the last phase."""
    phases, plain, before, plain_before = [], [], None, None
    names: tuple[str, ...] = ()
    for number, new in enumerate(PHASES):
        names = (*names, *new)
        right = last if number == 2 else 10
        before = measured(dict.fromkeys(names, right), dict.fromkeys(names, 10), new, before)
        plain_right = {name: 10 if name in new else 0 for name in names}
        plain_before = measured(plain_right, dict.fromkeys(names, 10), new, plain_before)
        traffic = Traffic(100, failed if number == 1 else 0, longest)
        phases.append(PhaseResult(new, number + 1, 500, 0, 30.0, before, traffic, traffic))
        plain.append(plain_before)
    service = ServiceResult(tuple(phases), Traffic(300, failed, longest), ("503: x",) if failed else (), 6.0)
    return StoryResult(seed, service, digits(seed), tuple(plain), peak, {"java": peak}, 200.0)


def test_a_good_story_reaches_everything() -> None:
    assert shortcomings([story()]) == []


@pytest.mark.parametrize(
    ("stories", "message"),
    [
        ([story(8)], "seed 1: accuracy 80.0%"),
        ([story(9)], "drop 3 cost the old digits 10.0%"),
        ([story(failed=2)], "2 of 300 requests failed (503: x)"),
        ([story(longest=1.5)], "a request took 1.50 s during swap 1"),
        ([story(peak=5 << 30)], "5.00 GiB of memory"),
        ([story(9), story(9), story(9)], "the mean accuracy is 90.0%, less than 93%"),
    ],
)
def test_each_shortcoming_is_named(stories: list[StoryResult], message: str) -> None:
    assert any(message in problem for problem in shortcomings(stories))


@pytest.mark.slow
def test_tables_document_and_plot(tmp_path: Path) -> None:
    stories = [story(), story(9, seed=2)]
    text = io.StringIO()
    Console(file=text, width=80).print(tables(stories[0]))
    assert "0 1 2 3 4" in text.getvalue()
    assert "\u2026" not in text.getvalue()  # nothing is cut off on a usual terminal
    assert "30.0%" in text.getvalue()  # finetuning at the end: 3 of 10 classes
    assert "300 requests, 0 failed" in facts(stories[0])[0]
    written = json.loads(json.dumps(document(stories)))
    assert written["mean_accuracy"] == pytest.approx(0.95)
    assert written["stories"][0]["drops"][2]["finetuning"]["all"] == pytest.approx(0.3)
    save_plot(stories, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert image.size[0] > 1000
        assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 20
