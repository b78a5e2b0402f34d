"""Whether a refined version is served, by what was compared and by the gate."""

from handlers.updater.release.evaluate import FIRST, summarise
from handlers.updater.release.publish import judged
from model_store.manifest import Evaluation, Gate, Refinement
from tests.support.learning.predictions import predictions

BETTER = Refinement(images=240, before=0.9, after=0.95, low=0.01, high=0.08, learnt_from=700)
UNSURE = Refinement(images=240, before=0.962, after=0.964, low=-0.011, high=0.015, learnt_from=700)


def measured(gate: Gate) -> Evaluation:
    return summarise(4, ("a", "b"), predictions([(0, 0), (1, 1)]), FIRST, gate)


def test_it_is_served_if_it_is_surely_better_and_the_gate_passes_it() -> None:
    assert judged(measured(Gate(passed=True)), BETTER, 3).gate == Gate(passed=True)


def test_otherwise_it_is_said_what_was_measured_and_what_stays() -> None:
    gate = judged(measured(Gate(passed=True)), UNSURE, 3).gate
    assert gate == Gate(
        passed=False,
        reasons=(
            "refined: 96.4 against 96.2 % on 240 images, difference +0.2 (-1.1 to +1.5): not surely better, "
            "version 3 stays",
        ),
    )
    gate = judged(measured(Gate(passed=False, reasons=("old classes fell",))), BETTER, 3).gate
    assert gate.reasons == (
        "refined: 95.0 against 90.0 % on 240 images, difference +5.0 (+1.0 to +8.0): surely better, but the gate "
        "refuses it, version 3 stays",
        "old classes fell",
    )
    assert not gate.passed
