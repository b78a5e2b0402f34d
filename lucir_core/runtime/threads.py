"""How the threads that train wait for each other. No torch here: it must be decided before torch is imported."""

import os

WAIT_POLICY = {"OMP_WAIT_POLICY": "PASSIVE"}
"""OpenMP's threads sleep while they wait; by default they spin.

Measured: eight epochs of the ``digits`` preset with two threads, on two cores that others used too, took 117 to 149 s
of wall time (58 to 75 s of CPU) spinning and 13 to 16 s (9 to 10 s of CPU) sleeping. A service always shares its cores,
with TorchServe if with nobody else.
"""


SPIN = {"GOMP_SPINCOUNT": "300000"}
"""They spin for about a millisecond first, as libgomp does by default, whatever the policy says.

Measured on two cores that nothing else used: ResNet-8 at batch 64 in 55 instead of 83 ms a step; with two other
processes on them, 20,000 spins already made it 257 instead of 120 ms.
"""


def wait_spinning() -> None:
    """Choose spinning for this process, for a machine that does nothing else; call before importing torch."""
    os.environ.update(SPIN)


def wait_asleep() -> None:
    """Choose sleeping for this process, unless its environment already says something; call before importing torch."""
    for name, value in WAIT_POLICY.items():
        os.environ.setdefault(name, value)
