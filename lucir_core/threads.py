"""How the threads that train wait for each other. No torch here: it must be decided before torch is imported."""

import os

WAIT_POLICY = {"OMP_WAIT_POLICY": "PASSIVE"}
"""OpenMP's threads sleep while they wait; by default they spin.

Measured: eight epochs of the ``digits`` preset with two threads, on two cores that others used too, took 117 to 149 s
of wall time (58 to 75 s of CPU) spinning and 13 to 16 s (9 to 10 s of CPU) sleeping. A service always shares its cores,
with TorchServe if with nobody else.
"""


def wait_asleep() -> None:
    """Choose sleeping for this process, unless its environment already says something; call before importing torch."""
    for name, value in WAIT_POLICY.items():
        os.environ.setdefault(name, value)
