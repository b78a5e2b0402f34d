"""What a person does: drops, at once or image by image, misnamed at times, edits, corrections, rollbacks; and thinks
again."""

import hashlib
import io
from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
from PIL import Image
from starlette.exceptions import HTTPException

from handlers.bucket.backup import make_backup
from handlers.bucket.corrections import correction_key
from handlers.bucket.edit_documents import DeleteImages, Merge, Relearn, Remove, Rename
from handlers.bucket.edit_requests import EditDesk
from handlers.bucket.edit_rules import EditError
from handlers.bucket.layout import ARCHIVE, EVALUATION, INCOMING, READY_MARKER, REASON_SUFFIX, REJECTED
from handlers.bucket.updates import UpdateRecords
from handlers.retention.prune import Retention
from handlers.settings import RetentionSettings
from handlers.updater.http.changes import retries
from model_store.objects import StoreError
from model_store.versions import VersionStore
from tools.simulation.bucket import Bucket, Faults, SimulatedStore
from tools.simulation.invariants import Invariants
from tools.simulation.scheduler import Process, Scheduler

CLASSES = ("ant", "bee", "cat", "dog", "eel")
EDITS = ("rename", "merge", "remove", "delete", "relearn")
MISNAMED: tuple[Callable[[str], str], ...] = (
    "{} ".format,
    "_{}".format,
    ".{}".format,
    "{}.part".format,
    lambda name: "__MACOSX",
    str.upper,
    "{}\u00e9".format,
    "{}e\u0301".format,
)
"""What a folder is called by mistake: as no class, as what is not looked into, as another class, as one in two ways."""
DROPS = 3
"""How much likelier a drop is than any other deed."""
BROKEN = 0.1
"""How often what is dropped is no image."""
AGAIN = 0.2
"""How often an image has the key of one that may wait there still."""
REFUSED = 0.03
"""How often nobody may read an image, until everybody is well."""
TWICE = 0.05
"""How often it is one that was sent before, perhaps as another class."""
SLOW, LONGEST_PAUSE = 0.3, 1.5
"""How often a folder is copied image by image, and how many seconds lie between two at most."""
LATE_MARKER, LATEST_MARKER = 0.2, 4.0
"""How often it is said late that a class is complete, and within how many seconds."""
TIDY_SECONDS = 5.0
"""In the end, between two looks for what still waits."""


class Person:
    """``faults``: of the store, which moves objects at once or not; ``retention``: what ``lucir prune`` keeps.

    images: how many were made before, for none is to be like another's.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        bucket: Bucket,
        invariants: Invariants,
        faults: Faults,
        retention: RetentionSettings,
        images: int = 0,
    ) -> None:
        self.process = Process("person")
        self.copy = Bucket(scheduler, name="copy")
        """Where the store is backed up to."""
        self.copied: set[str] | None = None
        """What it must hold; None where it was not made, or not to its end."""
        self.done = False
        """Whether nothing more is to be done."""
        self._tidies = False
        self.copying = 0
        """Folders that are still on their way."""
        self._scheduler, self._bucket, self._invariants = scheduler, bucket, invariants
        self._random = scheduler.random
        self._may_reuse = faults.atomic_moves or faults.conditional_deletions
        self._store = SimulatedStore(bucket, scheduler, self.process, Faults, lambda *_: None)
        self._retention = retention
        self._others = (
            self._correct,
            self._roll_back,
            self._mend,
            self._try_again,
            self._misname,
            self._evaluate,
            self._write_on,
            self._back_up,
            self._prune,
            partial(self._think_again, INCOMING),
            partial(self._think_again, INCOMING),
            partial(self._think_again, ARCHIVE),
            *(partial(self._ask, deed) for deed in EDITS),
        )
        self.images = images
        self._broken: list[str] = []
        """Keys of what was no image."""
        self._half: dict[bytes, str] = {}
        """What lies there, and is sent once only."""

    def live(self, deeds: int, seconds: float) -> None:
        """Drop two classes, and do so much within that time."""
        possible = (*(self._drop_some,) * DROPS, *self._others)
        self.drop(2)
        for _ in range(deeds):
            self._scheduler.sleep(self._random.uniform(0.5, seconds / deeds))
            try:
                self._random.choice(possible)()
            except (StoreError, EditError, HTTPException):
                continue
        self.done = True

    def _drop_some(self) -> None:
        self.drop(self._random.randint(1, 2))

    def tidy(self) -> None:
        """Nothing may not be read any more. Say of everything that waits that it is complete, now and then."""
        self._tidies = True
        self._bucket.refused.clear()
        while True:
            for name in sorted({key.split("/")[1] for key in self._images(INCOMING)}):
                self._mark(name, 0.0)
            self._scheduler.sleep(TIDY_SECONDS)

    def drop(self, classes: int, broken: float = BROKEN) -> None:
        """Some images of so many classes, and that they are complete."""
        for name in self._random.sample(CLASSES, classes):
            self._send(name, [self._file(name, broken) for _ in range(self._random.randint(2, 3))])

    def _send(self, name: str, files: list[tuple[str, bytes]]) -> None:
        late = self._random.random() < LATE_MARKER
        delay = self._random.uniform(0, LATEST_MARKER) if late else 0.0
        if self._random.random() < SLOW:
            self.copying += 1
            self._scheduler.spawn(Process("copy"), partial(self._copy, name, files, delay))
            return
        for key, content in files:
            self._upload(key, content)
        self._mark(name, delay)

    def _misname(self) -> None:
        """Drop a folder, or give a class, an odd name; its images are called as any camera calls them."""
        odd = self._random.choice(MISNAMED)(self._random.choice(CLASSES))
        if self._random.random() < 0.3:
            desk = EditDesk(self._store, UpdateRecords(self._store))
            desk.submit(Rename(name=self._random.choice(CLASSES), to=odd))
            return
        files = []
        for number in range(self._random.randint(1, 2)):
            self.images += 1
            name = number if self._may_reuse else self.images
            files.append((f"{INCOMING}{odd}/{name}.png", png(self.images)))
        self._send(odd, files)

    def _roll_back(self) -> None:
        versions = VersionStore(self._store)
        versions.rollback(self._random.choice(versions.numbers() or [1]))

    def _try_again(self) -> None:
        """Some of what was rejected, as the class that each was dropped as, or as one class."""
        rejected = self._images(REJECTED)
        name = self._random.choice((None, *CLASSES))
        for key in self._random.sample(rejected, min(len(rejected), self._random.randint(1, 4))):
            retries.move_back(self._store, key, name)

    def _prune(self) -> None:
        """As ``lucir prune`` does, whoever learns meanwhile."""
        Retention(self._store, self._retention).run()

    def _file(self, name: str, broken: float) -> tuple[str, bytes]:
        self.images += 1
        again = self._may_reuse and self._random.random() < AGAIN
        key = f"{INCOMING}{name}/{0 if again else self.images}.png"
        if self._random.random() >= broken:
            return key, png(self._random.randint(1, self.images) if self._random.random() < TWICE else self.images)
        self._broken.append(key)
        content = b"no image %d" % self.images
        if not again:
            self._half[content] = key
        return key, content

    def _copy(self, name: str, files: list[tuple[str, bytes]], delay: float) -> None:
        """What is there may be taken up before the rest comes."""
        for key, content in files:
            self._scheduler.sleep(self._random.random() * LONGEST_PAUSE)
            self._upload(key, content)
        self._mark(name, delay)
        self.copying -= 1

    def _upload(self, key: str, content: bytes) -> None:
        self._invariants.upload(key, content)
        if self._random.random() < REFUSED and not self._tidies:
            self._bucket.refused.add(key)

    def _mark(self, name: str, delay: float) -> None:
        """A class is complete; who says so late says it of images that may be learnt by then."""
        if delay:
            self._scheduler.spawn(Process("marker"), partial(self._mark, name, 0.0), delay)
        else:
            self._bucket.put(f"{INCOMING}{name}/{READY_MARKER}", b"")

    def _correct(self) -> None:
        name = self._random.choice(CLASSES)
        self.images += 1
        content = png(self.images)
        self._invariants.upload(correction_key(name, content, ".png"), content)
        self._mark(name, 0.0)

    def _mend(self) -> None:
        """Send an image where one was none; nobody says that its class is complete.

        Where a deletion has no condition, what comes just before it under the same key is at risk (docs/stores.md).
        """
        if self._broken and self._may_reuse:
            self.images += 1
            key = self._random.choice(self._broken)
            self._half = {content: other for content, other in self._half.items() if other != key}
            self._invariants.upload(key, png(self.images))

    def _write_on(self) -> None:
        """A program that was thought to be done goes on with its file, which has been moved maybe: only in a folder."""
        if self._bucket.folder:
            keys = (*self._images(INCOMING), *self._images(REJECTED))
            there = [key for key in keys if self._bucket.objects[key][0] in self._half]
            if there:
                self.images += 1
                key = self._random.choice(there)
                self._broken.remove(self._half.pop(self._bucket.objects[key][0]))
                self._invariants.write_on(key, png(self.images))

    def _back_up(self) -> None:
        """While everybody goes on."""
        self.copied, there = None, self._invariants.present()
        make_backup(self._store, SimulatedStore(self.copy, self._scheduler, self.process, Faults, lambda *_: None))
        self.copied = there & self._invariants.present()

    def _evaluate(self) -> None:
        """Keep an image of one's own to measure with, perhaps one that was dropped; or take all of them back."""
        own, dropped = self._bucket.keys(EVALUATION), self._images(INCOMING)
        if own and self._random.random() < 0.3:
            for key in own:
                self._bucket.remove(key)
            return
        self.images += 1
        known = dropped and self._random.random() < 0.5
        content = self._bucket.objects[self._random.choice(dropped)][0] if known else png(self.images)
        self._bucket.put(f"{EVALUATION}{self._random.choice(CLASSES)}/{self.images}.png", content)

    def _think_again(self, place: str) -> None:
        """Take back what lies there, or put it into a class's folder.

        In a bucket the deletion that ends a move knows an image by its content: what is copied from the archive to the
        key that it came from, in between, goes with it (docs/stores.md).
        """
        if there := self._images(place):
            key = self._random.choice(there)
            if self._random.random() < 0.5:
                self.images += 1
                kept = self._bucket.folder if place == ARCHIVE else self._may_reuse
                name = key.rpartition("/")[2] if kept else f"{self.images}.png"
                target = f"{INCOMING}{self._random.choice(CLASSES)}/{name}"
                if target == key:
                    return
                self._invariants.upload(target, self._bucket.objects[key][0])
            self._invariants.take_away(key)

    def _ask(self, deed: str) -> None:
        desk = EditDesk(self._store, UpdateRecords(self._store))
        name = self._random.choice(CLASSES)
        if deed == "rename":
            desk.submit(Rename(name=name, to=f"{name}-{self.images}"))
        elif deed == "merge":
            desk.submit(Merge(names=(name,), into=self._random.choice(CLASSES)))
        elif deed == "remove":
            desk.submit(Remove(name=name))
        elif deed == "relearn":
            everything = self._random.random() < 0.5
            desk.submit(Relearn(preset="digits") if everything else Relearn(classes=(name,)))
        elif archived := self._images(ARCHIVE):
            content = self._bucket.objects[self._random.choice(archived)][0]
            self._invariants.may_be_erased(content)
            desk.submit(DeleteImages(hashes=(sha(content),)))

    def _images(self, prefix: str) -> list[str]:
        return [key for key in self._bucket.keys(prefix) if not key.endswith((READY_MARKER, REASON_SUFFIX))]


@lru_cache(maxsize=4096)
def png(number: int) -> bytes:
    """A small image that is no other's."""
    pixels = np.frombuffer(number.to_bytes(16, "big") * 4, np.uint8).reshape(8, 8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


def sha(content: bytes) -> str:
    """As plans have it."""
    return hashlib.sha256(content).hexdigest()
