"""Whether a learnt version may be served: a pure function of what was measured."""

from handlers.settings import GateSettings
from model_store.manifest import Accuracy, Gate


def judge(settings: GateSettings, images: int, accuracy: Accuracy, parent_old: float | None) -> Gate:
    """Compare the served readout's ``accuracy`` over ``images`` pictures with the bounds.

    ``parent_old`` is what the served version reaches on the same pictures of the old classes.
    """
    reasons = []
    if images == 0:
        reasons.append("nothing was measured: no class has an evaluation image")
    if parent_old is not None and accuracy.old is not None:
        loss = parent_old - accuracy.old
        if loss > settings.max_old_accuracy_loss + 1e-9:
            reasons.append(
                f"accuracy over the old classes fell from {parent_old:.1%} to {accuracy.old:.1%}, by {loss:.1%}; "
                f"at most {settings.max_old_accuracy_loss:.1%} is allowed (gate.max_old_accuracy_loss)"
            )
    if images and accuracy.new is not None and accuracy.new < settings.min_new_accuracy - 1e-9:
        reasons.append(
            f"accuracy over the new classes is {accuracy.new:.1%}; "
            f"at least {settings.min_new_accuracy:.1%} is asked for (gate.min_new_accuracy)"
        )
    return Gate(passed=not reasons, reasons=tuple(reasons))
