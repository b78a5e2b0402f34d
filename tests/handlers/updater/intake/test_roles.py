import hashlib
from dataclasses import replace
from typing import Any

from handlers.settings import UpdaterSettings
from handlers.updater.intake.roles import Rules, held_out
from handlers.updater.intake.roles import decide as give_roles
from handlers.updater.intake.uploaded_file import UploadedFile
from model_store.objects import ObjectInfo


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def uploaded(path: str, content: str, name: str | None, reason: str | None = None) -> UploadedFile:
    folder, _, rest = path.rpartition("/")
    info = ObjectInfo(key=f"incoming/{path}", size=len(content), etag="", modified=0.0)
    return UploadedFile(info, folder, rest, name, reason, sha(content))


def candidates(name: str, *contents: str) -> list[UploadedFile]:
    return [uploaded(f"{name}/{i}.png", content, name) for i, content in enumerate(contents)]


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


def test_duplicates_within_a_class_keep_the_first() -> None:
    verdicts = decide(candidates("cat", "a", "a", "b"), rules())
    assert roles(verdicts)[1] == "rejected"
    assert "duplicate of incoming/cat/0.png" in (verdicts[1].reason or "")
    assert roles(verdicts).count("rejected") == 1


def test_the_same_image_under_two_classes_is_rejected_in_both() -> None:
    verdicts = decide(candidates("cat", "a", "b", "c") + candidates("dog", "a", "d", "e"), rules())
    assert [role == "rejected" for role in roles(verdicts)] == [True, False, False, True, False, False]
    assert "'cat', 'dog'" in (verdicts[0].reason or "")


def test_what_was_learnt_before_is_rejected() -> None:
    verdicts = decide(candidates("cat", "a", "b", "c"), rules(learnt={sha("a"): "lynx"}))
    assert verdicts[0].role == "rejected"
    assert "'lynx'" in (verdicts[0].reason or "")


def test_what_measures_accuracy_is_never_trained_on() -> None:
    verdicts = decide(candidates("cat", "a", "b", "c"), rules(evaluation={sha("b"): "evaluation/cat/b.png"}))
    assert roles(verdicts)[1] == "rejected"
    assert "evaluation/cat/b.png" in (verdicts[1].reason or "")


def test_the_same_folder_again_is_rejected_as_a_whole() -> None:
    verdicts = decide(candidates("cat", "a", "b"), rules(learnt={sha("a"): "cat", sha("b"): "cat"}))
    assert roles(verdicts) == ["rejected"] * 2


def test_a_class_left_with_too_few_waits_for_more() -> None:
    found = [*candidates("cat", "a", "b"), uploaded("cat/x.png", "x", "cat", "no image")]
    verdicts = decide(found, rules(settings=UpdaterSettings(min_images=3)))
    assert roles(verdicts) == [None, None, "rejected"]


def test_a_marked_new_class_needs_two_images() -> None:
    marker = uploaded("cat/_READY", "", "cat")
    verdicts = decide([*candidates("cat", "a"), marker], rules(marked=("cat",)))
    assert roles(verdicts) == ["rejected", "marker"]
    assert "at least two" in (verdicts[0].reason or "")


def test_a_marked_known_class_needs_one_image() -> None:
    assert roles(decide(candidates("old", "a"), rules(marked=("old",)))) == ["train"]


def test_the_first_phase_waits_when_one_class_is_left() -> None:
    bad = [uploaded("dog/x.png", "x", "dog", "no image")]
    verdicts = decide(candidates("cat", "a", "b") + bad, rules(known=()))
    assert roles(verdicts) == [None, None, "rejected"]


def test_nothing_is_held_out_where_the_user_has_test_images_or_enough_are_held() -> None:
    assert set(roles(decide(candidates("cat", *"abcd"), rules(own_evaluation=("cat",))))) == {"train"}
    assert set(roles(decide(candidates("old", *"abcd"), rules(held_already={"old": 50})))) == {"train"}


def test_bad_names_are_rejected_with_their_reason() -> None:
    (verdict,) = decide([uploaded("x.png", "x", None, "directly in incoming/")], rules())
    assert (verdict.role, verdict.reason) == ("rejected", "directly in incoming/")
