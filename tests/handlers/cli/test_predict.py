"""``lucir predict`` against a real HTTP server."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.client import Client
from handlers.client.asking import TRIES
from handlers.client.predictions import classify
from handlers.settings import Settings
from handlers.stack.folder import claimed, write_record
from handlers.stack.run_stack import describe
from tests.handlers.cli.conftest import Run, refusal
from tests.support.quick_settings import changed
from tests.support.servers import small_server
from tests.support.servers.small_server import Asked


def answer(method: str, path: str, body: bytes) -> tuple[int, bytes]:
    assert (method, path) == ("POST", "/predictions/lucir")
    if body == b"good":
        predictions = [
            {"class": "[bold]cat\x1b[2J", "probability": 0.9, "cosine": 0.8},
            {"class": "dog", "probability": 0.1, "cosine": 0.2},
        ]
        return 200, json.dumps({"model_version": 7, "predictions": predictions}).encode()
    if body == b"pizza":
        predictions = [{"class": "cat", "probability": 0.6, "cosine": 0.3}]
        document = {"model_version": 7, "predictions": predictions, "unknown": True, "unknown_score": 0.6123}
        return 200, json.dumps(document).encode()
    if body == b"bad":
        return 400, b'{"error": "this is no image"}'
    return 503, b"overloaded"


def test_a_table_of_answers_and_errors(lucir: Run, serve: Callable[..., str], tmp_path: Path) -> None:
    for name in ("good", "bad", "other"):
        (tmp_path / name).write_text(name)
    result = lucir("predict", "good", "bad", "other", "missing", "--url", serve(answer))
    assert result.returncode == 1
    assert "[bold]cat\\x1b[2J" in result.stdout  # shown as it is, harmless
    assert "90.0%" in result.stdout
    assert "this is no image" in result.stdout
    assert "answered 503: overloaded" in result.stdout
    assert "cannot be read: No such file" in result.stdout


def test_rows_of_long_paths_are_told_apart(lucir: Run, serve: Callable[..., str], tmp_path: Path) -> None:
    deep = tmp_path / ("a folder with a long name " * 3) / ("and another one " * 5)
    files = [deep / side / f"{'x' * 60}{index}.jpg" for index in range(2) for side in ("left", "right")]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("good")
    result = lucir("predict", *files, "--url", serve(answer), COLUMNS="80")
    assert result.returncode == 0, result.stderr
    shown = "".join(line.split("  ")[0].strip() for line in result.stdout.splitlines())  # folded, not cut
    assert all(f"{file.parent.name}/{file.name}" in shown for file in files)
    assert "a folder" not in shown  # what all have in common tells nothing
    assert "\u2026" not in result.stdout


def test_a_folder_and_a_summary(lucir: Run, serve: Callable[..., str], tmp_path: Path) -> None:
    for name, content in (("in/b/2.png", "pizza"), ("in/a/1.JPG", "good"), ("in/bad.png", "bad"), ("in/notes", "x")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    url = serve(answer)
    result = lucir("predict", "in", "--url", url)
    assert result.returncode == 1
    names = [line.split()[0] for line in result.stdout.splitlines()[1:]]
    assert names[:3] == ["a/1.JPG", "b/2.png", "bad.png"]
    assert "3 images: [bold]cat\\x1b[2J 1, unknown 1; 1 without an answer" in result.stdout
    documents = json.loads(lucir("predict", "in/a", "in/b/2.png", "--json", "--url", url).stdout)
    assert [document["image"] for document in documents] == ["in/a/1.JPG", "in/b/2.png"]
    (tmp_path / "empty").mkdir()
    assert "empty holds no image" in lucir("predict", "empty", "--url", url).stderr


def test_json_and_success(lucir: Run, serve: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "good").write_text("good")
    result = lucir("predict", "good", "--json", "--url", serve(answer) + "/")
    assert result.returncode == 0
    (document,) = json.loads(result.stdout)
    assert document["image"] == "good"
    assert document["model_version"] == 7
    assert document["predictions"][1]["class"] == "dog"


def test_an_image_of_no_known_class_is_called_unknown(lucir: Run, serve: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "pizza").write_text("pizza")
    url = serve(answer)
    result = lucir("predict", "pizza", "--url", url)
    assert result.returncode == 0
    (row,) = (line for line in result.stdout.splitlines() if line.strip().startswith("pizza"))
    assert row.split()[-1] == "7"
    assert "unknown (score 0.61)" in row
    assert "cat 60%" in row  # what the image is most like, without a claim
    (document,) = json.loads(lucir("predict", "pizza", "--json", "--url", url).stdout)
    assert document["unknown"] is True
    assert document["unknown_score"] == 0.6123


def test_the_client_gives_unknown_as_typed_fields(serve: Callable[..., str], tmp_path: Path) -> None:
    for name in ("pizza", "good"):
        (tmp_path / name).write_text(name)
    pizza, good = classify(serve(answer), [tmp_path / "pizza", tmp_path / "good"], None, {})
    assert (pizza.unknown, pizza.unknown_score) == (True, 0.6123)
    assert (good.unknown, good.unknown_score) == (None, None)


@pytest.mark.parametrize("code", [500, 507])
def test_an_image_whose_worker_was_killed_is_asked_about_again(
    serve: Callable[..., str], tmp_path: Path, code: int
) -> None:
    asked = Counter[bytes]()
    died = json.dumps({"code": code, "type": "InternalServerException", "message": "Worker died."}).encode()

    def dying(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        asked[body] += 1
        if body == b"always":
            return code, died
        if body == b"its own":
            return 500, b'{"error": "the model is damaged"}'
        return (code, died) if asked[body] == 1 else answer(method, path, body)

    for name in ("good", "its own", "always", "other"):
        (tmp_path / name).write_text(name)
    files = [tmp_path / name for name in ("good", "its own", "always", "other")]
    good, own, always, other = classify(serve(dying), files, None, {})
    assert (good.error, good.version, asked[b"good"]) == ("", 7, 2)
    assert (own.error, asked[b"its own"]) == ("the model is damaged", 1)
    assert (always.error, asked[b"always"]) == ("Worker died.", TRIES)
    assert ("overloaded" in other.error, asked[b"other"]) == (True, 2)


def test_what_is_no_address_is_said(lucir: Run, tmp_path: Path) -> None:
    (tmp_path / "good").write_text("good")
    for url in ("localhost:8080", "http://a..b", "http://"):
        assert "write http://host:port" in refusal(lucir("predict", "good", "--url", url)), url


EMPTY = [
    (413, b"", "answered 413: Request Entity Too Large; what was sent is larger than the service"),
    (502, b"<html><h1>Bad Gateway</h1></html>", "answered 502: Bad Gateway; a proxy reached no service"),
    (404, b"", "answered 404: Not Found; there is no such address"),
    (599, b"", "answered 599: nothing more; see whether this is the address"),
    (200, b"<html>", "holds no predictions: see whether this is the address"),
    (200, b'{"predictions": [{"label": "cat"}], "model_version": 1}', "holds no predictions"),
    (200, b"[]", "holds no predictions"),
]


@pytest.mark.parametrize(("status", "body", "words"), EMPTY)
def test_an_answer_without_a_body_is_put_into_words(
    serve: Callable[..., str], tmp_path: Path, status: int, body: bytes, words: str
) -> None:
    (tmp_path / "good").write_text("good")
    (found,) = classify(serve(lambda *_: (status, body)), [tmp_path / "good"], None, {})
    assert words in found.error
    assert "<" not in found.error


def asking_for_a_key(asked: Asked) -> tuple[int, bytes]:
    if asked.headers.get("authorization") != "Bearer the key":
        return 401, b'{"error": "send a key"}'
    return answer(asked.method, asked.path, asked.body)


def test_the_key_of_a_running_stack_is_found(lucir: Run, tmp_path: Path) -> None:
    (tmp_path / "good").write_text("good")
    keys = tmp_path / "keys"
    keys.write_text("the key\n")
    with small_server.serving(asking_for_a_key) as port, small_server.serving(asking_for_a_key) as other:
        started = Settings(data=tmp_path / "lucir-data")
        with claimed(started):
            settings = changed(started, serving={"port": port, "api_key_file": keys})
            write_record(settings, describe(settings, "http://127.0.0.1:1", ready=True))
            assert "the key" not in (started.run_folder / "stack.json").read_text()
            assert lucir("predict", "good").returncode == 0
            told = lucir("predict", "good", "--json", LUCIR_SERVING__API_KEY="wrong")
            assert "the API key of your settings is not one of them" in told.stdout
            elsewhere = lucir("predict", "good", "--json", "--url", f"http://127.0.0.1:{other}")
            assert "send a key; give one with LUCIR_SERVING__API_KEY" in elsewhere.stdout
            keys.unlink()
            unread = lucir("predict", "good", "--json")
            assert (unread.returncode, f"the stack's keys are in {keys}" in unread.stdout) == (1, True)


def test_a_key_that_no_header_can_carry_is_said(lucir: Run, tmp_path: Path) -> None:
    (tmp_path / "good").write_text("good")
    said = refusal(lucir("predict", "good", LUCIR_SERVING__API_KEY="ключ"))
    assert "other letters than ASCII" in said
    assert "ключ" not in said


def test_without_a_key_the_client_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "good").write_text("good")
    with small_server.serving(asking_for_a_key) as port:
        (found,) = Client(tmp_path, url=f"http://127.0.0.1:{port}").predict(tmp_path / "good")
    assert found.error.startswith("send a key; give one with LUCIR_SERVING__API_KEY, or a file")
