"""The editing child: ``python -m handlers.updater.edits.apply <work folder> <parent's process id>``.

Its own process, like learning: it holds a network in memory for a few seconds, and may fail without taking the updater
along. Killed at any moment, it is begun again.
"""

import sys
from pathlib import Path

from handlers.updater.learn import die_with_parent


def main(arguments: list[str]) -> int:
    """Edit; return the exit status."""
    die_with_parent(int(arguments[1]))
    from handlers.updater.edits.editor import run

    return run(Path(arguments[0]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
