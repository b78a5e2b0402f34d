"""What bad input gets: a clear message, never a lost file, and the service goes on."""

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from handlers.demo.load import LoadClient
from tests.support.images import encoded, png
from tests.support.processes.stack import DIGITS, Stack, digit_image, folders
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def megapixels(width: int, height: int) -> bytes:
    """A valid 1-bit PNG of this size, a few kilobytes on disk."""
    return png(1, 0, [bytes(width // 8)] * height, width)


BAD = {
    "text.png": (b"this is no image at all", "is not an image"),
    "truncated.png": (DIGITS.train["2"][30][:150], "truncated"),
    "one.png": (encoded(Image.new("RGB", (1, 1)), "PNG"), "1x1"),
    "huge.png": (megapixels(20_000, 10_000), "200"),
}


def places(stack: Stack) -> dict[str, Counter[str]]:
    """sha256 -> how often it lies in each of incoming, archive, rejected. Reasons and markers are not originals."""
    found: dict[str, Counter[str]] = {}
    for area in ("incoming", "archive", "rejected"):
        for info in stack.store.list(f"{area}/"):
            if not info.key.endswith((".reason.json", "_READY")):
                digest = hashlib.sha256(stack.store.read(info.key)).hexdigest()
                found.setdefault(digest, Counter())[area] += 1
    return found


def reasons(stack: Stack) -> dict[str, str]:
    """The reason of each rejected file, by its key."""
    found = {}
    for info in stack.store.list("rejected/"):
        if info.key.endswith(".reason.json"):
            document = json.loads(stack.store.read(info.key))
            found[document["key"]] = document["reason"]
    return found


def test_bad_requests_get_their_message(learnt: Stack) -> None:
    for name, (data, _) in BAD.items():
        answer = learnt.post(data)
        assert answer.status_code == 400, name
        assert answer.json()["error"]
    assert learnt.post(b"").status_code == 400
    assert learnt.post(digit_image("0")).status_code == 200


def test_bad_files_are_rejected_with_their_reason_and_the_good_ones_learnt(learnt: Stack, tmp_path: Path) -> None:
    folder = folders(tmp_path / "drop", "2")
    for name, (data, _) in BAD.items():
        (folder / "2" / name).write_bytes(data)
    originals = [path.read_bytes() for path in (folder / "2").iterdir()]
    before = learnt.served() or 0
    with LoadClient(learnt.record.inference_url, [digit_image("0")]) as client:
        outcome = learnt.drop(folder)
    assert client.traffic().failed == 0, client.problems()
    assert outcome["version"] == before + 1
    rejected = {entry["key"].rsplit("/", 1)[1]: entry["reason"] for entry in outcome["rejected"]}
    assert set(rejected) == set(BAD)
    for name, (_, words) in BAD.items():
        assert words.lower() in rejected[name].lower(), rejected[name]
    for data in originals:
        assert sum(places(learnt)[hashlib.sha256(data).hexdigest()].values()) == 1


def test_odd_folders_by_file_manager(learnt: Stack, tmp_path: Path) -> None:
    """Control characters, 300 characters (more than a file system takes: 250), one image, no image at all."""
    incoming = learnt.data / "store" / "incoming"
    originals = iter(DIGITS.train["8"])
    contents = {}
    for name in ("bell\aand\nline", "x" * 250, "_hidden"):
        (incoming / name).mkdir(parents=True)
        contents[name] = next(originals)
        (incoming / name / "1.png").write_bytes(contents[name])
    (incoming / "nothing").mkdir()
    (incoming / "single").mkdir()
    (incoming / "single" / "1.png").write_bytes(next(originals))

    def refused() -> list[str] | None:
        found = [reason for key, reason in reasons(learnt).items() if any(name in key for name in contents)]
        return found if len(found) == len(contents) else None

    text = " ".join(wait_for(refused))
    # Reasons are written first, then the files are moved.
    wait_for(lambda: not any(name in info.key for info in learnt.store.list("incoming/") for name in contents))
    assert "control character" in text
    assert "250 characters; at most 100" in text
    assert "underscore" in text

    def waits() -> dict[str, str] | None:
        found = {entry["class"]: entry["reason"] for entry in learnt.status().get("waiting", [])}
        return found if {"nothing", "single"} <= set(found) else None

    waiting = wait_for(waits)
    assert "empty" in waiting["nothing"]
    assert "1 of at least 10 images" in waiting["single"]
    assert "single" in learnt.run("status").stdout
    (incoming / "nothing").rmdir()
    where = places(learnt)
    assert all(where[hashlib.sha256(data).hexdigest()] == Counter(rejected=1) for data in contents.values())


def test_the_same_folder_twice_is_learnt_once(learnt: Stack, tmp_path: Path) -> None:
    folder = folders(tmp_path / "drop", "3")
    first = learnt.drop(folder)
    answer = learnt.run("drop", folder, "--wait", "--json", check=False)
    again = json.loads(answer.stdout)["outcome"]
    assert answer.returncode == 1
    assert "every file of it was refused" in answer.stderr
    assert again["version"] is None
    assert len(again["rejected"]) == 24
    assert all("learnt before, as '3'" in entry["reason"] for entry in again["rejected"])
    assert learnt.served() == first["version"]
    where = places(learnt)
    for path in (folder / "3").iterdir():
        assert where[hashlib.sha256(path.read_bytes()).hexdigest()] == Counter(archive=1, rejected=1)


def test_a_drop_while_a_phase_runs_is_the_next_phase(learnt: Stack, tmp_path: Path) -> None:
    before = learnt.served() or 0
    learnt.run("drop", folders(tmp_path / "one", "4"))
    learner = learnt.held_learner()
    learnt.run("drop", folders(tmp_path / "two", "5"))
    learner.resume()
    wait_for(lambda: learnt.served() == before + 2)
    rows = json.loads(learnt.run("versions", "--json").stdout)
    assert [row["new_classes"] for row in rows[-2:]] == [["4"], ["5"]]


def test_more_images_of_a_known_class_update_it(learnt: Stack, tmp_path: Path) -> None:
    before = learnt.served() or 0
    outcome = learnt.drop(folders(tmp_path / "more", "0", first=24))
    assert outcome["version"] == before + 1
    row = json.loads(learnt.run("versions", "--json").stdout)[-1]
    assert (row["new_classes"], row["updated_classes"]) == ([], ["0"])
