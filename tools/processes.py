"""The processes of a service that is measured or disturbed."""

import psutil

FAST = (
    "learning.preset=digits",
    "learning.overrides={network: resnet8, size: 8, resize: 8, epochs: 2, min_steps: 2, cbf: {enabled: false}}",
    "gate={max_old_accuracy_loss: 1, min_new_accuracy: 0}",
    "updater.settle_seconds=1",
    "updater.poll_seconds=1",
)
"""Settings of one with a tiny network that hardly trains: each step happens, how good the result is does not count."""


def process_tree(pid: int) -> list[psutil.Process]:
    """A process and everything that descends from it."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]
