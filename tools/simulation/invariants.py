"""What must be true after every change of the store, and at the end of a history."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any
from unicodedata import normalize

from handlers.bucket.dropped_names import class_name, why_left_alone
from handlers.bucket.layout import INCOMING, READY_MARKER, REASON_SUFFIX
from handlers.updater.errors import LearningError
from model_store.local_files import is_full
from model_store.manifest import Manifest, Pointer
from model_store.objects import StoreError
from tools.simulation.bucket import Bucket

MARKER = f"/{READY_MARKER}"
PLACES = ("incoming/", "archive/", "rejected/")
POINTER = "versions/current.json"
OWNED = ("/attempts.json", "/claim.json")
"""Documents that say in which epoch they were written."""


class Invariants:
    """Looks at each change. ``broken`` says what was violated first; None while nothing is."""

    def __init__(self, bucket: Bucket) -> None:
        self.broken: str | None = None
        self.pointed: list[int] = []
        """Versions that the pointer has named, in turn."""
        self.uploaded: Counter[str] = Counter()
        self.erasable: set[str] = set()
        """Contents that a person asked to be deleted, or that were kept for as long as they should be."""
        self.written_on: dict[str, str] = {}
        """Files that were rejected half-written and are whole now: they are to be looked at once more."""
        self.forgets = False
        """Whether originals that were moved out of ``incoming/`` are kept for some time only."""
        self._answered: dict[str, tuple[int, int]] = {}
        """By replica: the version that it answered last, and its place in the order of the pointer's."""
        self._failing: dict[str, dict[int, int | None]] = {}
        """By replica: versions that do not work there, and may answer until they are taken back; each one's before."""
        self._bucket = bucket
        self._places: dict[str, str] = {}
        self._count: Counter[str] = Counter()
        self._epoch = 0
        self._holders: dict[int, str] = {}
        self._verified: dict[int, dict[str, str]] = {}
        self._removed: set[int] = set()
        """Versions whose manifest was removed: one that a late writer puts back is removed again."""
        self._gone: set[str] = set()
        """Updates that had ended, and whose documents went by their age."""
        self._epochs: dict[str, int] = {}
        """By key of what an epoch owns: the highest that wrote it."""
        bucket.changed = self.look

    def upload(self, key: str, content: bytes) -> None:
        """A person puts an image there."""
        if key in self._bucket.objects:
            self._give_up(_hash(self._bucket.objects[key][0]))
        self.uploaded[_hash(content)] += 1
        self._bucket.put(key, content)

    def write_on(self, key: str, content: bytes) -> None:
        """A person's program writes a file to its end, where it lies by now."""
        self.upload(key, content)
        if key.startswith("rejected/") and not self.forgets:
            self.written_on[key] = _hash(content)

    def present(self) -> set[str]:
        """Contents that people uploaded, and that are to be somewhere."""
        return {one for one, count in self._count.items() if count and self.uploaded[one] > 0} - self.erasable

    def take_over(self, before: "Invariants", wanted: set[str]) -> None:
        """The bucket is a copy that was made while somebody went on; it must hold the wanted contents."""
        self.erasable, self.forgets = before.erasable, before.forgets
        for key in self._bucket.keys(""):
            if key.startswith(PLACES):
                self._look_at_image(key)
        self.uploaded = Counter(self._count)
        if lost := sorted(wanted - self.present() - self.erasable):
            self._break(f"a backup lacks {lost}")
        if POINTER in self._bucket.objects:
            self._look_at_pointer()

    def take_away(self, key: str) -> None:
        """A person takes an image back. Who takes what a move has copied has it or not: it may end all the same."""
        content = _hash(self._bucket.objects[key][0])
        if not self._give_up(content) and not key.startswith("incoming/"):
            self.erasable.add(content)
        self._bucket.remove(key)

    def look(self, key: str) -> None:
        """A key was written or removed."""
        if key.startswith(PLACES):
            self._look_at_image(key)
        elif key == POINTER:
            self._look_at_pointer()
        elif key == "updates/lease.json" and key in self._bucket.objects:
            self._look_at_lease(_parsed(self._bucket.objects[key][0]))
        elif key.endswith(OWNED):
            self._look_at_owner(key)
        elif key.startswith("versions/"):
            self._look_at_version(key)
        elif key.endswith("/done.json") and key not in self._bucket.objects:
            self._gone.add(key.split("/")[1])

    @property
    def wanted(self) -> int:
        """The version that the pointer names; 0 where it has named none."""
        return self.pointed[-1] if self.pointed else 0

    def answered_last(self, name: str) -> tuple[int, int]:
        """The version that a replica answered last, and its place in the order of the pointer's."""
        return self._answered.get(name, (0, 0))

    def answered(self, name: str, version: int, content: str, overtaken: tuple[int, int] | None = None) -> None:
        """A replica answers a request with a version of that content; 0: it says that nothing is learnt yet.

        ``overtaken``: what ``answered_last`` was when the request came, if workers of another registration have taken
        over meanwhile. TorchServe leaves a request to those that began it, so what they answered then may come still:
        that says nothing of what comes after it.
        """
        last, position = self.answered_last(name)
        if version != last:
            if overtaken is not None and self._first(version, *overtaken) <= position:
                return
            place = self._place(name, version)
            if place is None:
                self._break(f"{name} went back to version {version}: the pointer named {self.pointed[position:]} since")
                return
            self._answered[name] = (version, place)
        failing = self._failing.pop(name, {})
        if version in failing:
            self._failing[name] = {version: failing[version]}
        if version and self._verified[version]["model.onnx"] != content:
            self._break(f"{name} answers with what was never published as version {version}")

    def takes_back(self, name: str, failed: int, before: int | None) -> None:
        """A version does not work at a replica, which answered with another one before: that may be back, or anything
        where it does not know any more which it was (None).
        """
        self._failing.setdefault(name, {})[failed] = before

    def confirmed(self, name: str) -> None:
        """A version works at a replica, whatever it took."""
        self._failing.pop(name, None)

    def _give_up(self, content: str) -> bool:
        """A person wants it no more; where a move had copied it already, that copy is what was uploaded."""
        alone = self._count[content] <= self.uploaded[content]
        self.uploaded[content] -= alone
        return alone

    def _first(self, version: int, last: int, position: int) -> float:
        """The earliest place of a version in the order of the pointer's for who was answered that last."""
        if version == last:
            return position
        return next((i for i in range(position, len(self.pointed)) if self.pointed[i] == version), math.inf)

    def _place(self, name: str, version: int) -> int | None:
        """Where in the order of the pointer's a version is that a replica may answer with now; None: nowhere."""
        last, start = self.answered_last(name)
        failing = dict(self._failing.get(name, {}))
        while last in failing:  # it is taken back, and so may be the one before, which nobody has asked meanwhile
            before = failing.pop(last)
            if version == 0 and not before:
                return 0
            start = next((i for i in reversed(range(start)) if self.pointed[i] == before), 0)
            last = before or 0
        return next((i for i in range(start, len(self.pointed)) if self.pointed[i] == version), None)

    def lost(self, why: str) -> None:
        """A worker could not answer a request, and had to end."""
        self._break(f"a request was lost: {why}")

    def may_be_erased(self, content: bytes) -> None:
        """A person asks for its deletion."""
        self.erasable.add(_hash(content))

    def failed(self, error: Exception) -> None:
        """An updater could not go on: for what others, or a drop, may do to it, and for nothing else."""
        if not isinstance(error, (StoreError, LearningError)) and not is_full(error):
            self._break(f"an updater met what it does not know: {error!r}")

    def is_settled(self) -> bool:
        """Whether nothing waits, and every update has ended. Removals that were cut short wait for the next update."""
        return not self._left() and not self.unended()

    def at_the_end(self, answers: Mapping[str, Collection[int]]) -> None:
        """Everything has settled. ``answers``: the versions that each replica's workers answer with."""
        for name, versions in answers.items():
            if set(versions) != {self.wanted}:
                self._break(f"in the end {name} answers with {sorted(versions)} instead of {self.wanted}")
        for content, count in self.uploaded.items():
            places = self._count[content]
            if count > 0 and not 1 <= places <= count and content not in self.erasable:
                self._break(f"content {content} was uploaded {count} times and is in {places} places")
        if left := self._left():
            self._break(f"never settled: {left[:5]}")
        if unended := self.unended():
            self._break(f"updates without an end: {unended}")

    def _left(self) -> list[str]:
        waiting = (*self._bucket.keys("incoming/"), *self._bucket.keys("requests/"))
        # A marker that comes when its images have been taken up already stays, and says nothing of what comes later.
        left = [key for key in waiting if key != "requests/last.json" and not key.endswith(MARKER) and not _stays(key)]
        left += [key for key, content in self.written_on.items() if self._places.get(key) == content]
        if not left:
            return []
        # Where the gate has refused everything so far, a class alone waits for a second one, as it should, and what was
        # rejected of it waits for that.
        classes = {normalize("NFC", key.split("/")[2 if key.startswith("rejected/") else 1]) for key in left}
        alone = not self.pointed and len(classes) == 1 and left[0].startswith("incoming/")
        return [] if alone else left

    def unended(self) -> list[str]:
        """Updates that somebody has begun and nobody has ended."""
        keys = self._bucket.keys("updates/0")
        newest = keys[-1].split("/")[1] if keys else ""
        ids = {key.split("/")[1] for key in keys if key.endswith("/intent.json")}
        # One whose documents have gone by their age may get some of them still, by an updater that slept for all that
        # time: where others were begun since, nobody looks at it any more.
        ids -= {one for one in self._gone if one < newest}
        return sorted(one for one in ids if f"updates/{one}/done.json" not in self._bucket.objects)

    def _look_at_image(self, key: str) -> None:
        if key.endswith((REASON_SUFFIX, MARKER)):
            return
        before = self._places.pop(key, None)
        if key in self._bucket.objects:
            self._places[key] = _hash(self._bucket.objects[key][0])
            self._count[self._places[key]] += 1
        if before is not None:
            if self.forgets and not key.startswith("incoming/") and key not in self._bucket.objects:
                self.erasable.add(before)
            self._count[before] -= 1
            if not self._count[before] and self.uploaded[before] > 0 and before not in self.erasable:
                self._break(f"the only copy of an image is gone: {key}")

    def _look_at_pointer(self) -> None:
        if POINTER not in self._bucket.objects:
            self._break("the pointer is gone")
            return
        pointer = self._pointer()
        if (pointer.epoch or 0) < self._epoch:
            self._break(f"the pointer's epoch went back from {self._epoch} to {pointer.epoch}")
        self._epoch = max(self._epoch, pointer.epoch or 0)
        if {pointer.version, pointer.previous} & {*pointer.removing}:
            self._break(f"the pointer names what it lets go: {pointer}")
        if not self.pointed or self.pointed[-1] != pointer.version:
            self.pointed.append(pointer.version)
        self._verify(pointer.version)

    def _look_at_version(self, key: str) -> None:
        number = key.split("/")[1]
        manifest = f"versions/{number}/manifest.json"
        if not number.isdecimal() or "/attempt-" in key:
            return
        if manifest not in self._bucket.objects:
            if key == manifest:
                self._removed.add(int(number))
            return
        if key == manifest or int(number) not in self._removed or int(number) not in self._removing():
            self._verify(int(number))

    def _removing(self) -> tuple[int, ...]:
        return self._pointer().removing if POINTER in self._bucket.objects else ()

    def _look_at_owner(self, key: str) -> None:
        """Nobody of an earlier epoch writes it any more, as long as it is there."""
        if key not in self._bucket.objects:
            self._epochs.pop(key, None)
            return
        epoch = _parsed(self._bucket.objects[key][0])["epoch"] or 0
        if epoch < self._epochs.setdefault(key, epoch):
            self._break(f"the epoch of {key} went back from {self._epochs[key]} to {epoch}")
        self._epochs[key] = epoch

    def _verify(self, number: int) -> None:
        data = self._bucket.objects.get(f"versions/{number}/manifest.json")
        if data is None:
            self._break(f"the pointer names version {number}, which is not there")
            return
        manifest = Manifest.model_validate_json(data[0])
        for name, expected in manifest.files.items():
            found = self._bucket.objects.get(f"versions/{number}/{name}")
            if found is None or _sha256(found[0]) != expected.sha256:
                self._break(f"version {number} is published and does not verify: {name}")
                return
        if odd := [name for name in manifest.classes if not _is_class(name)]:
            self._break(f"version {number} has classes whose next images nobody can drop: {odd}")
        hashes = {name: record.sha256 for name, record in manifest.files.items()} | {"update": manifest.update_id}
        if self._verified.setdefault(number, hashes) != hashes:
            self._break(f"version {number} has become another one")
        rows = _rows(self._bucket.objects[f"versions/{number}/model.onnx"][0])
        if len(rows) != len(set(rows)):
            self._break(f"version {number} has learnt an image twice")
        parent = self._bucket.objects.get(f"versions/{manifest.parent}/model.onnx")
        if manifest.refinement is not None and parent is not None and {*rows} != {*_rows(parent[0])}:
            self._break(f"version {number} refines version {manifest.parent} and has not learnt the same images")

    def _look_at_lease(self, lease: dict[str, Any]) -> None:
        if self._holders.setdefault(lease["term"], lease["name"]) != lease["name"]:
            self._break(f"epoch {lease['term']} belongs to {self._holders[lease['term']]} and to {lease['name']}")

    def _pointer(self) -> Pointer:
        return Pointer.model_validate_json(self._bucket.objects[POINTER][0])

    def _break(self, what: str) -> None:
        self.broken = self.broken or what


def _rows(model: bytes) -> list[str]:
    """The images that a version of a history has learnt."""
    learnt: str = _parsed(model)[2]
    return [learnt[start : start + 32] for start in range(0, len(learnt), 32)]


def _stays(key: str) -> bool:
    """Whether it is left where it lies, for its name."""
    return key.startswith(INCOMING) and why_left_alone(key.removeprefix(INCOMING)) is not None


def _is_class(name: str) -> bool:
    try:
        return class_name(name) == name
    except ValueError:
        return False


@lru_cache(maxsize=4096)
def _parsed(content: bytes) -> Any:
    """Of documents that nobody changes."""
    return json.loads(content)


@lru_cache(maxsize=8192)
def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hash(content: bytes) -> str:
    return _sha256(content)[:16]
