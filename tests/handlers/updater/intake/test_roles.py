from dataclasses import replace
from typing import Any

import pytest

from handlers.settings import UpdaterSettings
from handlers.updater.intake.roles import Rules, held_out
from handlers.updater.intake.roles import decide as give_roles
from handlers.updater.intake.uploaded_file import UploadedFile
from model_store.objects import ObjectInfo
from tests.support.stores.inspected import sha


def uploaded(path: str, content: str, name: str | None, reason: str | None = None) -> UploadedFile:
    folder, _, rest = path.rpartition("/")
    info = ObjectInfo(key=f"incoming/{path}", size=len(content), etag="", modified=0.0)
    return UploadedFile(info, folder, rest, name, reason, sha(content))


def candidates(name: str, *contents: str) -> list[UploadedFile]:
    return [uploaded(f"{name}/{i}.png", content, name) for i, content in enumerate(contents)]


def archived(name: str, *contents: str) -> list[UploadedFile]:
    """Images of an update that was refused."""
    return [
        replace(file, info=replace(file.info, key=f"archive/000001/{name}/{file.path}"))
        for file in candidates(name, *contents)
    ]


def decide(files: list[UploadedFile], rules: Rules) -> list[UploadedFile]:
    """Copies with their roles."""
    judged = [replace(file) for file in files]
    give_roles(judged, rules)
    return judged


def rules(**changes: Any) -> Rules:
    values: dict[str, Any] = {
        "settings": UpdaterSettings(min_images=2),
        "known": ("old",),
        "learnt": {},
        "learnt_counts": {},
        "marked": (),
        "own_evaluation": (),
        "held_already": {},
        "evaluation": {},
    }
    return Rules(**(values | changes))


def roles(verdicts: list[UploadedFile]) -> list[str | None]:
    return [verdict.role for verdict in verdicts]


def test_a_plain_class_is_split() -> None:
    verdicts = decide(candidates("cat", *"abcdefghij"), rules())
    assert sorted(map(str, roles(verdicts))) == ["holdout"] * 2 + ["train"] * 8


def test_the_split_is_by_content_and_not_by_order() -> None:
    forward = candidates("cat", *"abcdefghij")
    backward = forward[::-1]
    held = {one.sha256 for one in decide(forward, rules()) if one.role == "holdout"}
    again = {one.sha256 for one in decide(backward, rules()) if one.role == "holdout"}
    assert held == again == set(sorted(c.sha256 for c in forward)[:2])


def test_held_out_bounds() -> None:
    assert held_out([sha("a")], 0.2, 50) == frozenset()
    assert len(held_out([sha("a"), sha("b")], 0.01, 50)) == 1
    assert len(held_out([sha("a"), sha("b")], 0.89, 50)) == 1
    assert len(held_out([sha(str(i)) for i in range(1000)], 0.2, 50)) == 50
    assert held_out([sha("a"), sha("b")], 0.5, 0) == frozenset()


FATES = {
    None: "waits",
    "train": "learnt",
    "holdout": "learnt",
    "rejected": "rejected",
    "marker": "marker",
}
CAT_AND_DOG = candidates("cat", "a", "b", "c") + candidates("dog", "a", "d", "e")
MARKER = uploaded("cat/_READY", "", "cat")
NO_IMAGE = "no image"


@pytest.mark.parametrize(
    ("files", "changes", "fates", "reason"),
    [
        pytest.param(
            candidates("cat", "a", "b", "a"),
            {},
            "learnt learnt rejected",
            "duplicate of incoming/cat/0.png",
            id="twice",
        ),
        pytest.param(
            CAT_AND_DOG, {}, "rejected learnt learnt rejected learnt learnt", "'cat', 'dog'", id="in two classes"
        ),
        pytest.param(
            candidates("cat", "a", "b", "c"),
            {"learnt": {sha("a"): "lynx"}},
            "rejected learnt learnt",
            "'lynx'",
            id="learnt before",
        ),
        pytest.param(
            candidates("cat", "a", "b", "c"),
            {"evaluation": {sha("b"): "evaluation/cat/b.png"}},
            "learnt rejected learnt",
            "evaluation/cat/b.png",
            id="measures accuracy",
        ),
        pytest.param(
            candidates("cat", "a", "b"),
            {"learnt": {sha("a"): "cat", sha("b"): "cat"}},
            "rejected rejected",
            "'cat'",
            id="the same folder again",
        ),
        pytest.param(
            [*candidates("cat", "a", "b"), uploaded("cat/x.png", "x", "cat", NO_IMAGE)],
            {"settings": UpdaterSettings(min_images=3)},
            "waits waits rejected",
            NO_IMAGE,
            id="too few are left",
        ),
        pytest.param(
            [*candidates("cat", "a"), MARKER],
            {"marked": ("cat",)},
            "rejected marker",
            "at least two",
            id="a marked new class of one",
        ),
        pytest.param(
            [*candidates("cat", "a", "b"), uploaded("dog/x.png", "x", "dog", NO_IMAGE)],
            {"known": ()},
            "waits waits rejected",
            NO_IMAGE,
            id="one class of a first phase is left",
        ),
        pytest.param(
            [*archived("cat", "a", "b"), uploaded("cat/x.png", "x", "cat", NO_IMAGE), MARKER],
            {"known": (), "marked": ("cat",)},
            "waits waits rejected marker",
            NO_IMAGE,
            id="what waits lies in the archive",
        ),
        pytest.param(
            [*archived("cat", "a"), *candidates("cat", "b"), MARKER],
            {"known": (), "marked": ("cat",)},
            "waits waits waits",
            "",
            id="what waits lies in both",
        ),
        pytest.param(
            [uploaded("x.png", "x", None, "directly in incoming/")],
            {},
            "rejected",
            "directly in incoming/",
            id="a bad name",
        ),
    ],
)
def test_what_becomes_of_each_file(files: list[UploadedFile], changes: dict[str, Any], fates: str, reason: str) -> None:
    verdicts = decide(files, rules(**changes))
    assert " ".join(FATES[verdict.role] for verdict in verdicts) == fates
    assert all(reason in (verdict.reason or "") for verdict in verdicts if verdict.role == "rejected")


def test_nothing_is_held_out_where_the_user_has_test_images_or_enough_are_held() -> None:
    assert set(roles(decide(candidates("cat", *"abcd"), rules(own_evaluation=("cat",))))) == {"train"}
    assert set(roles(decide(candidates("old", *"abcd"), rules(held_already={"old": 50})))) == {"train"}
    assert roles(decide(candidates("old", "a"), rules(marked=("old",)))) == ["train"]  # of a known class one is enough
