"""Many histories in several processes, until all are lived through or the time is up."""

import gc
import logging
import multiprocessing
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import takewhile

from tools.simulation.history import Story, live
from tools.simulation.replaced import install

PROGRESS_SECONDS = 60.0
SHRUNK = 10
"""Stories, of those in which something was violated, of which the smallest that show it are looked for."""
CHUNK, CHUNKS = 10, 50
"""Histories at a time, and how many times a process does so: what it remembers of them, and circles, go with it."""


@dataclass(frozen=True)
class Lived:
    """What became of a history."""

    story: Story
    violated: str | None = None
    skipped: bool = False
    """Whether the time was up before it began."""


def begin() -> None:
    """In each process: nobody reads what thousands of updaters log."""
    logging.disable(logging.CRITICAL)
    install()
    gc.disable()  # circles, some 400 KiB a history, stay until the process ends: to look for them takes longer


def outcome(story: Story, until: float) -> Lived:
    """Live through a history, unless that moment of ``time.monotonic`` has come."""
    if time.monotonic() >= until:
        return Lived(story, skipped=True)
    return Lived(story, live(story))


def smaller(story: Story) -> Iterator[Story]:
    """Stories with less in them."""
    if story.followers:
        yield replace(story, followers=0)
    if story.updaters > 1:
        yield replace(story, updaters=1)
    for deeds in range(1, story.deeds):
        yield replace(story, deeds=deeds)


def shrunk(story: Story) -> Story:
    """The smallest story of the seed, found step by step, in which something is violated still."""
    for candidate in smaller(story):
        if live(candidate) is not None:
            return shrunk(candidate)
    return story


def command(story: Story) -> str:
    """What replays a story."""
    default = asdict(Story(story.seed))
    words = [f"--{name} {value}" for name, value in asdict(story).items() if name == "seed" or value != default[name]]
    return f"python -m tools.simulation {' '.join(words)}"


class Many:
    """So many histories, until a moment of ``time.monotonic``; tells of each violation, and of the progress."""

    def __init__(self, stories: Iterable[Story], count: int, until: float) -> None:
        self._stories = takewhile(lambda _: time.monotonic() < until, stories)  # no more are asked for than are begun
        self._count, self._until = count, until
        self._started = self._told = time.monotonic()
        self._done = 0
        self._violated: list[Story] = []
        self._last: int | None = None
        """The seed up to which all were lived through."""
        self._skipped = False

    def run(self, jobs: int) -> bool:
        """Run them in so many processes; return whether something was violated."""
        with multiprocessing.Pool(jobs, begin, maxtasksperchild=CHUNKS) as pool:
            for lived in pool.imap(partial(outcome, until=self._until), self._stories, chunksize=CHUNK):
                self._note(lived)
            pool.close()
            pool.join()
        # Not before: a process that begins meanwhile would begin with the locks that this one holds just then.
        for story in self._violated[:SHRUNK]:
            if (least := shrunk(story)) != story:
                tell(f"seed {story.seed} in short: {command(least)}")
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        each = 1000 * (used.ru_utime + used.ru_stime) / max(self._done, 1)
        took = time.monotonic() - self._started
        tell(
            f"{self._done} histories in {took:.0f} s, {each:.1f} ms of processor time each, "
            f"{len(self._violated)} with a violation"
        )
        if self._done < self._count:
            tell(f"the time was up; {self._where()}")
        return bool(self._violated)

    def _note(self, lived: Lived) -> None:
        """Those that are done after one that was skipped are not counted: they are done again."""
        if lived.violated is not None:
            self._violated.append(lived.story)
            tell(f"seed {lived.story.seed}: {lived.violated}\n  {command(lived.story)}")
        self._skipped = self._skipped or lived.skipped
        if not self._skipped:
            self._done, self._last = self._done + 1, lived.story.seed
        if time.monotonic() - self._told >= PROGRESS_SECONDS:
            self._told = time.monotonic()
            rate = self._done / (self._told - self._started)
            tell(
                f"{self._done} of {self._count} histories, {rate:.1f} a second, "
                f"{len(self._violated)} with a violation; {(self._count - self._done) / rate / 3600:.1f} h left; "
                f"{self._where()}"
            )

    def _where(self) -> str:
        if self._last is None:
            return "none was begun"
        return f"last seed {self._last}; to go on after a stop: --first {self._last + 1}"


def tell(line: str) -> None:
    """At once, also into a file."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
