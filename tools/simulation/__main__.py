"""Run histories: ``python -m tools.simulation --count 10000``; one again: with ``--seed 4711``."""

import argparse
import gc
import logging
import multiprocessing
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial

from tools.simulation.history import Story, live
from tools.simulation.planted import PLANTED, planted
from tools.simulation.replaced import install

PROGRESS_SECONDS = 60.0
CHUNK, CHUNKS = 10, 100
"""Histories at a time, and how many times a process does so: what it remembers of them goes with it."""


def outcome(story: Story) -> tuple[Story, str | None]:
    """A history and what was violated in it."""
    return story, live(story)


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


def found(what: str, count: int) -> str:
    """In which of so many histories a planted fault is found first, as a line."""
    with planted(what):
        for seed in range(1, count + 1):
            violated = live(Story(seed))
            if violated is not None:
                return f"found in history {seed}: {what} ({violated})"
    return f"NOT FOUND in {count} histories: {what}"


def self_test(count: int, jobs: int) -> bool:
    """Whether a planted fault stays unseen; tells of each."""
    with multiprocessing.Pool(jobs, begin, maxtasksperchild=1) as pool:
        lines = list(pool.imap(partial(found, count=count), PLANTED))
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return any(line.startswith("NOT") for line in lines)


def begin() -> None:
    """In each process: nobody reads what thousands of updaters log."""
    logging.disable(logging.CRITICAL)
    install()
    gc.collect()
    gc.freeze()  # what was imported stays: nobody needs to look at it again and again


def main(arguments: list[str]) -> int:
    """Run; return 0 when nothing was violated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="of the one history to run")
    parser.add_argument("--deeds", type=int, default=Story.deeds, help="what the person does after the first drop")
    parser.add_argument("--updaters", type=int, default=Story.updaters)
    parser.add_argument("--followers", type=int, default=Story.followers)
    parser.add_argument("--seconds", type=float, default=Story.seconds, help="of its own time, until all are well")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=1, help="the first seed of many")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--self-test", action="store_true", help="plant faults in the product: are they found?")
    options = parser.parse_args(arguments)
    if options.self_test:
        return self_test(options.count, options.jobs)
    made = {
        "deeds": options.deeds,
        "updaters": options.updaters,
        "followers": options.followers,
        "seconds": options.seconds,
    }
    begin()
    if options.seed is not None:
        logging.disable(logging.NOTSET)  # one is to be read
        violated = live(Story(options.seed, **made))
        sys.stdout.write(f"{violated or 'nothing was violated'}\n")
        return violated is not None
    return many([Story(seed, **made) for seed in range(options.first, options.first + options.count)], options.jobs)


def many(stories: Sequence[Story], jobs: int) -> bool:
    """Run histories in so many processes; tell of violations at once and of the progress now and then."""
    started, told, failed = time.monotonic(), time.monotonic(), 0
    with multiprocessing.Pool(jobs, begin, maxtasksperchild=CHUNKS) as pool:
        for done, (story, violated) in enumerate(pool.imap(outcome, stories, chunksize=CHUNK), 1):
            if violated is not None:
                failed += 1
                tell(f"seed {story.seed}: {violated}\n  {command(shrunk(story))}")
            if time.monotonic() - told >= PROGRESS_SECONDS:
                told = time.monotonic()
                rate = done / (told - started)
                tell(
                    f"{done} of {len(stories)} histories, {rate:.1f} a second, {failed} with a violation; "
                    f"{(len(stories) - done) / rate / 3600:.1f} h left; to go on after a stop: --first {story.seed + 1}"
                )
        pool.close()
        pool.join()
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    each = 1000 * (spent.ru_utime + spent.ru_stime) / len(stories)
    tell(
        f"{len(stories)} histories in {time.monotonic() - started:.0f} s, {each:.1f} ms of processor time each, "
        f"{failed} with a violation"
    )
    return failed > 0


def tell(line: str) -> None:
    """At once, also into a file."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
