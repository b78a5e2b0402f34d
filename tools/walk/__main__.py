"""Drop one more image of a known class and tell, step by step, which rooms it passes: ``python -m tools.walk``.

A store with three digits, a tiny network, a real learning process of which only what starts it is seen.
"""

import logging
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from sklearn.datasets import load_digits

from handlers.bucket.layout import INCOMING, READY_MARKER
from handlers.demo.digits import png
from handlers.updater.context.update import Update
from handlers.updater.service import Updater
from handlers.updater.workflow.learn_steps import STEPS
from handlers.updater.workflow.runner import Step
from lucir_core.config.phase_config import load_preset
from model_store.directory.directory_store import DirectoryStore
from tools.faults.kills import settings_in
from tools.walk.first_calls import Walk, walked

CLASSES, EACH = 3, 6


def drop(store: DirectoryStore, label: int, first: int, last: int) -> None:
    """Images of one digit, and the marker that says that its folder is complete."""
    digits = load_digits()
    for number, image in enumerate(digits.images[digits.target == label][first:last], first):
        store.write(f"{INCOMING}{label}/{number}.png", png(image, 8))
    store.write(f"{INCOMING}{label}/{READY_MARKER}", b"")


def learn(data: Path, store: DirectoryStore, steps: tuple[Step, ...]) -> None:
    """Learn what lies there, and end."""
    settings = settings_in(data, "drop")
    config = load_preset(settings.learning.preset, settings.learning.overrides)
    Updater(settings, config, store, steps, once=True).run()


def walks(data: Path) -> dict[str, Walk]:
    """By step of the second update."""
    store = DirectoryStore(data / "store")
    for label in range(CLASSES):
        drop(store, label, 0, EACH)
    learn(data, store, STEPS)
    found: dict[str, Walk] = {}

    def followed(step: Step) -> Step:
        def run(update: Update) -> None:
            found[step.name] = walked(lambda: step.run(update))

        return replace(step, run=run)

    drop(store, 0, EACH, EACH + 1)
    learn(data, store, tuple(map(followed, STEPS)))
    return found


def main() -> int:
    """Print a walk per step."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="lucir-walk-") as folder:
        for name, walk in walks(Path(folder)).items():
            sys.stdout.write(f"{name}: {walk.text()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
