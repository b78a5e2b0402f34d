"""The invariants of the simulation see what is wrong, and nothing else."""

import hashlib
import json
from collections.abc import Callable

import pytest

from model_store.documents import encode
from model_store.manifest import FileRecord, Pointer, Refinement, now
from model_store.objects import StoreUnavailableError
from tests.support.present import present
from tools.manifests import make_manifest
from tools.simulation.bucket import Bucket
from tools.simulation.invariants import Invariants
from tools.simulation.learning import REFINED
from tools.simulation.scheduler import Scheduler

TWICE = json.dumps([0, 0, "ab" * 32]).encode()
"""A model that has learnt an image twice."""


@pytest.fixture
def bucket() -> Bucket:
    return Bucket(Scheduler("1"))


@pytest.fixture
def invariants(bucket: Bucket) -> Invariants:
    return Invariants(bucket)


def published(bucket: Bucket, number: int, model: bytes = b'[0, 0, ""]', refinement: Refinement | None = None) -> None:
    files = {"model.onnx": FileRecord(size=len(model), sha256=hashlib.sha256(model).hexdigest())}
    bucket.put(f"versions/{number}/model.onnx", model)
    manifest = make_manifest(number, files=files)
    if refinement is not None:
        manifest = manifest.model_copy(update={"refinement": refinement, "parent": number - 1})
    bucket.put(f"versions/{number}/manifest.json", encode(manifest))


def pointed(bucket: Bucket, number: int, epoch: int = 1, removing: tuple[int, ...] = ()) -> None:
    pointer = Pointer(version=number, previous=None, reason="", changed_at=now(), epoch=epoch, removing=removing)
    bucket.put("versions/current.json", encode(pointer))


def test_a_class_alone_may_wait_until_something_is_served(bucket: Bucket, invariants: Invariants) -> None:
    bucket.put("incoming/dog/1.png", b"image")
    bucket.put("incoming/dog/_READY", b"")
    bucket.put("rejected/000001/dog/2.png", b"half")
    invariants.write_on("rejected/000001/dog/2.png", b"whole")
    assert invariants.is_settled()
    published(bucket, 1)
    pointed(bucket, 1)
    assert not invariants.is_settled()
    bucket.remove("incoming/dog/1.png")
    assert not invariants.is_settled()
    bucket.remove("rejected/000001/dog/2.png")
    assert invariants.is_settled()  # a marker alone waits for images that may come


def test_an_update_that_an_updater_writes_down_when_it_has_been_forgotten(
    bucket: Bucket, invariants: Invariants
) -> None:
    bucket.put("updates/000002/intent.json", b"")
    assert invariants.unended() == ["000002"]
    for key in ("updates/000002/done.json", "updates/000003/intent.json", "updates/000003/done.json"):
        bucket.put(key, b"")
    bucket.remove("updates/000002/done.json")
    assert invariants.unended() == []
    bucket.put("updates/000004/intent.json", b"")
    assert invariants.unended() == ["000004"]
    for key in bucket.keys("updates/000003/") + bucket.keys("updates/000004/"):
        bucket.remove(key)
    assert invariants.unended() == ["000002"]  # the newest is gone on with


def test_an_image_whose_only_copy_goes(bucket: Bucket, invariants: Invariants) -> None:
    invariants.upload("incoming/ant/1.png", b"image")
    bucket.put("archive/000001/ant/1.png", b"image")
    bucket.remove("incoming/ant/1.png")
    assert invariants.broken is None
    bucket.put("archive/000001/ant/1.png", b"another")
    assert invariants.broken == "the only copy of an image is gone: archive/000001/ant/1.png"


@pytest.mark.parametrize(("copied", "uploaded"), [(False, 0), (True, 1)])
def test_an_image_that_a_person_takes_back(bucket: Bucket, invariants: Invariants, copied: bool, uploaded: int) -> None:
    """Also between the copy and the deletion that a move is in a bucket."""
    invariants.upload("incoming/ant/1.png", b"image")
    if copied:
        bucket.put("archive/000001/ant/1.png", b"image")
    invariants.take_away("incoming/ant/1.png")
    assert invariants.broken is None
    assert sum(invariants.uploaded.values()) == uploaded
    invariants.at_the_end({})
    assert invariants.broken is None


def test_an_image_in_two_places_in_the_end(bucket: Bucket, invariants: Invariants) -> None:
    invariants.upload("archive/000001/ant/1.png", b"image")
    bucket.put("rejected/000001/ant/1.png", b"image")
    assert invariants.broken is None
    invariants.at_the_end({})
    assert "is in 2 places" in present(invariants.broken)


def test_a_version_that_is_pointed_to_and_does_not_verify(bucket: Bucket, invariants: Invariants) -> None:
    published(bucket, 1)
    pointed(bucket, 1)
    assert invariants.broken is None
    bucket.put("versions/1/model.onnx", b"late")
    assert invariants.broken == "version 1 is published and does not verify: model.onnx"


def test_a_removal_that_leaves_the_manifest_to_the_end(bucket: Bucket, invariants: Invariants) -> None:
    for number in (1, 2):
        published(bucket, number)
    pointed(bucket, 2, removing=(1,))
    for name in ("manifest.json", "model.onnx"):
        bucket.remove(f"versions/1/{name}")
    assert invariants.broken is None
    published(bucket, 1)  # by who slept: whole or not, it is removed again
    bucket.remove("versions/1/model.onnx")
    assert invariants.broken is None
    published(bucket, 3)
    pointed(bucket, 2, removing=(1, 3))
    bucket.remove("versions/3/model.onnx")
    assert invariants.broken == "version 3 is published and does not verify: model.onnx"


@pytest.mark.parametrize("name", ["updates/000001/attempts.json", "versions/1/claim.json"])
def test_an_owner_of_an_earlier_epoch(bucket: Bucket, invariants: Invariants, name: str) -> None:
    for epoch in (None, 2):
        bucket.put(name, json.dumps({"epoch": epoch}).encode())
    bucket.remove(name)
    for epoch in (1, 3):
        bucket.put(name, json.dumps({"epoch": epoch}).encode())
    assert invariants.broken is None
    bucket.put(name, json.dumps({"epoch": 2}).encode())
    assert invariants.broken == f"the epoch of {name} went back from 3 to 2"


@pytest.mark.parametrize("learnt", ["cd" * 16 + "ab" * 16, "ab" * 16])
def test_a_refined_version_has_learnt_what_its_parent_has(bucket: Bucket, invariants: Invariants, learnt: str) -> None:
    published(bucket, 1, json.dumps([0, 0, "ab" * 16 + "cd" * 16]).encode())
    published(bucket, 2, json.dumps([0, 0, learnt]).encode(), refinement=REFINED)
    forgotten = "version 2 refines version 1 and has not learnt the same images" if len(learnt) == 32 else None
    assert invariants.broken == forgotten


def leases(bucket: Bucket) -> None:
    for name in ("one", "other"):
        bucket.put("updates/lease.json", json.dumps({"term": 1, "name": name}).encode())


@pytest.mark.parametrize(
    ("acts", "broken"),
    [
        ((lambda bucket: pointed(bucket, 7),), "the pointer names version 7, which is not there"),
        (
            (
                lambda bucket: published(bucket, 1),
                lambda bucket: pointed(bucket, 1, epoch=3),
                lambda bucket: pointed(bucket, 1, epoch=2),
            ),
            "the pointer's epoch went back from 3 to 2",
        ),
        ((lambda bucket: published(bucket, 1, TWICE),), "version 1 has learnt an image twice"),
        ((leases,), "epoch 1 belongs to one and to other"),
    ],
)
def test_what_may_not_be_in_a_bucket(
    bucket: Bucket, invariants: Invariants, acts: tuple[Callable[[Bucket], None], ...], broken: str
) -> None:
    for act in acts:
        assert invariants.broken is None
        act(bucket)
    assert invariants.broken == broken


def test_an_updater_that_meets_what_it_does_not_know(invariants: Invariants) -> None:
    invariants.failed(StoreUnavailableError("the answer was lost"))
    assert invariants.broken is None
    invariants.failed(KeyError("version"))
    assert invariants.broken == "an updater met what it does not know: KeyError('version')"


@pytest.mark.parametrize(
    ("answers", "broken"),
    [
        ([(0, 0), (1, 0), (2, 0), (2, 0)], None),
        ([(1, 0), (2, 0), (1, 0)], "one went back to version 1: the pointer named [2] since"),
        ([(2, 0), (0, 0)], "one went back to version 0: the pointer named [2] since"),
        ([(3, 0)], "one went back to version 3: the pointer named [1, 2] since"),
        ([(1, 1)], "one answers with what was never published as version 1"),
    ],
)
def test_what_a_replica_answers(
    bucket: Bucket, invariants: Invariants, answers: list[tuple[int, int]], broken: str | None
) -> None:
    """By version, and whether it is another one than was published."""
    for number in (1, 2):
        published(bucket, number)
        pointed(bucket, number)
    content = (hashlib.sha256(b'[0, 0, ""]').hexdigest(), "another")
    for version, other in answers:
        invariants.answered("one", version, content[other] if version else "")
    assert invariants.broken == broken


@pytest.mark.parametrize(
    ("begun_after", "given", "broken"),
    [(2, 2, False), (2, 1, True), (1, 1, False), (1, 3, True), (0, 0, False), (0, 1, False), (2, 0, True)],
)
def test_a_request_that_other_workers_overtook_is_answered_as_when_it_began(
    bucket: Bucket, invariants: Invariants, begun_after: int, given: int, broken: bool
) -> None:
    content, begun = hashlib.sha256(b'[0, 0, ""]').hexdigest(), {0: invariants.answered_last("one")}
    for number in (1, 2):
        published(bucket, number)
        pointed(bucket, number)
        invariants.answered("one", number, content)
        begun[number] = invariants.answered_last("one")
    invariants.answered("one", given, content if given else "", begun[begun_after])
    assert (invariants.broken is not None) == broken
    invariants.broken = None
    invariants.answered("one", 2, content)
    assert invariants.broken is None  # nor is it forgotten what was answered last


def test_a_request_that_was_overtaken_says_nothing_of_those_that_follow(bucket: Bucket, invariants: Invariants) -> None:
    content = hashlib.sha256(b'[0, 0, ""]').hexdigest()
    for number in (1, 2):
        published(bucket, number)
        pointed(bucket, number)
    invariants.answered("one", 1, content)
    begun = invariants.answered_last("one")
    invariants.answered("one", 2, content)
    pointed(bucket, 1)  # a person goes back
    for number, overtaken in ((1, begun), (2, None), (1, None)):
        invariants.answered("one", number, content, overtaken)
    assert invariants.broken is None
    invariants.answered("one", 2, content)
    assert invariants.broken == "one went back to version 2: the pointer named [1] since"


@pytest.mark.parametrize(
    ("before", "then", "broken"),
    [(1, 1, False), (1, 0, True), (None, 1, False), (None, 0, False), (0, 0, False), (1, 3, True)],
)
def test_a_version_that_a_replica_says_does_not_work(
    bucket: Bucket, invariants: Invariants, before: int | None, then: int, broken: bool
) -> None:
    content = hashlib.sha256(b'[0, 0, ""]').hexdigest()
    for number in (3, 1, 2):
        published(bucket, number)
        pointed(bucket, number)
        invariants.answered("one", number, content)
    invariants.takes_back("one", 2, before)
    invariants.answered("one", then, content if then else "")
    assert (invariants.broken is not None) == broken


@pytest.mark.parametrize(
    ("acts", "broken"),
    [
        ("3 fails 2, 3, 3, 2", False),
        ("3 fails 2, 2, 3, 2", True),
        ("3 fails 2, 3, confirmed, 2", True),
        ("3 fails 0, 3, 0", False),
        ("3 fails 0, 0, 3, 0", True),
        ("3 fails 2, 1", True),
        ("3 fails 2, 2 fails 1, 1", False),
        ("3 fails 1, 1 fails 1, 2", False),
        ("3 fails 2, 2, 2 fails 1, 1", False),
        ("3 fails 2, 2 fails 1, 3, 1", True),
        ("3 fails 2, 2 fails 0, 0", False),
    ],
)
def test_a_version_that_does_not_work_may_answer_until_it_is_taken_back(
    bucket: Bucket, invariants: Invariants, acts: str, broken: bool
) -> None:
    """``3 fails 2``: version 3 does, and version 2 was confirmed before; a number is an answer."""
    content = hashlib.sha256(b'[0, 0, ""]').hexdigest()
    for number in (1, 2, 3):
        published(bucket, number)
        pointed(bucket, number)
        invariants.answered("one", number, content)
    for act in acts.split(", "):
        if "fails" in act:
            invariants.takes_back("one", int(act[0]), int(act[-1]))
        elif act == "confirmed":
            invariants.confirmed("one")
        else:
            invariants.answered("one", int(act), content if int(act) else "")
    assert (invariants.broken is not None) == broken


def test_an_answer_that_never_comes_and_replicas_that_differ_in_the_end(bucket: Bucket) -> None:
    lost, late = Invariants(bucket), Invariants(bucket)
    lost.lost("one: version 2 cannot be loaded")
    assert lost.broken == "a request was lost: one: version 2 cannot be loaded"
    published(bucket, 1)
    pointed(bucket, 1)
    late.at_the_end({"one": {1}})
    assert late.broken is None
    late.at_the_end({"one": {1, 0}})
    assert late.broken == "in the end one answers with [0, 1] instead of 1"
