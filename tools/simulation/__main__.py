"""Run histories: ``python -m tools.simulation --count 10000``; one again: with ``--seed 4711``."""

import argparse
import logging
import math
import multiprocessing
import sys
import time
from collections.abc import Sequence
from functools import partial

from handlers.parallel import usable_cores
from tools.simulation.history import Story, live
from tools.simulation.many import Many, begin
from tools.simulation.planted import PLANTED, planted


def found(what: str, stories: Sequence[Story]) -> str:
    """In which of the stories a planted fault is found first, as a line."""
    with planted(what):
        for story in stories:
            violated = live(story)
            if violated is not None:
                return f"found in history {story.seed}: {what} ({violated})"
    return f"NOT FOUND in {len(stories)} histories: {what}"


def self_test(stories: Sequence[Story], jobs: int) -> bool:
    """Whether a planted fault stays unseen; tells of each."""
    with multiprocessing.Pool(jobs, begin, maxtasksperchild=1) as pool:
        lines = list(pool.imap(partial(found, stories=stories), PLANTED))
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return any(line.startswith("NOT") for line in lines)


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
    parser.add_argument("--jobs", type=int, default=usable_cores())
    parser.add_argument("--time-limit", type=float, default=math.inf, help="seconds after which none is begun")
    parser.add_argument("--self-test", action="store_true", help="plant faults in the product: are they found?")
    options = parser.parse_args(arguments)
    made = {
        "deeds": options.deeds,
        "updaters": options.updaters,
        "followers": options.followers,
        "seconds": options.seconds,
    }
    if options.self_test:
        return self_test([Story(seed, **made) for seed in range(1, options.count + 1)], options.jobs)
    begin()
    if options.seed is not None:
        logging.disable(logging.NOTSET)  # one is to be read
        violated = live(Story(options.seed, **made))
        sys.stdout.write(f"{violated or 'nothing was violated'}\n")
        return violated is not None
    stories = (Story(seed, **made) for seed in range(options.first, options.first + options.count))
    return Many(stories, options.count, time.monotonic() + options.time_limit).run(options.jobs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
