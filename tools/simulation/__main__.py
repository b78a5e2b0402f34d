"""Run histories: ``python -m tools.simulation --count 10000``; one again: with ``--seed 4711``."""

import argparse
import logging
import math
import multiprocessing
import sys
import time
from functools import partial

from tools.simulation.history import Story, live
from tools.simulation.many import Many, begin
from tools.simulation.planted import PLANTED, planted


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
    parser.add_argument("--time-limit", type=float, default=math.inf, help="seconds after which none is begun")
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
    stories = (Story(seed, **made) for seed in range(options.first, options.first + options.count))
    return Many(stories, options.count, time.monotonic() + options.time_limit).run(options.jobs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
