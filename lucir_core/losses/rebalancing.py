"""The losses of LUCIR as pure functions, and the rules for the weight of its distillation term.

Hou et al., "Learning a Unified Classifier Incrementally via Rebalancing", CVPR 2019. Where the printed equations and
the published code disagree, the published curves come from the code, and so do our defaults.
"""

import math

from torch import Tensor
from torch.nn import functional

LAMBDA_RULES = ("old_over_new", "paper", "constant")


def cross_entropy_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over all classes seen so far, mean over the batch.

    logits: (batch, classes), eta already multiplied in; labels: (batch,).
    """
    return functional.cross_entropy(logits.float(), labels)


def less_forget_loss(features: Tensor, old_features: Tensor) -> Tensor:
    """One minus the cosine between the features of the student and of the frozen teacher, mean over the batch (Eq. 6).

    features, old_features: (batch, dim), not normalised. No gradient flows into `old_features`.
    """
    # float32: the normalisation's epsilon of 1e-12 underflows in half precision.
    return (1.0 - functional.cosine_similarity(features.float(), old_features.detach().float(), dim=1)).mean()


def margin_ranking_loss(
    cosines: Tensor, labels: Tensor, old_count: int, *, top_k: int = 2, margin: float = 0.5, against: str = "new"
) -> Tensor:
    """Hinge between the true class and its hardest rivals, for samples of old classes only (Eq. 8).

    cosines: (batch, classes), **unscaled** (without eta), old classes first; labels: (batch,).
    `against="new"` takes the `top_k` best new classes as rivals; `"any"` takes the best wrong classes (the unused
    variant "AMR" of the published code). Mean over exemplars and rivals, as the code has it; the paper sums over them.
    Fewer rivals than `top_k`: all of them. No old sample in the batch, or no rival: zero, still attached to the graph.
    """
    cosines = cosines.float()
    is_old = labels < old_count
    true = cosines.gather(1, labels.unsqueeze(1))
    if against == "any":
        rivals = cosines.masked_fill(functional.one_hot(labels, cosines.shape[1]).bool(), -math.inf)
        available = cosines.shape[1] - 1
    else:
        rivals = cosines[:, old_count:]
        available = rivals.shape[1]
    if old_count == 0 or available == 0:
        return cosines.sum() * 0.0
    hardest = rivals.topk(min(top_k, available), dim=1).values
    hinge = (margin - true + hardest).clamp_min(0.0).mean(dim=1)
    # A masked mean instead of boolean indexing: the number of exemplars in a batch never has to reach the host.
    return (hinge * is_old).sum() / is_old.sum().clamp_min(1)


def score_mimic_loss(cosines: Tensor, old_cosines: Tensor) -> Tensor:
    """Squared error on the unscaled cosines of the old classes, summed over classes, mean over the batch (Eq. 5).

    cosines: (batch, classes), old classes first; old_cosines: (batch, old classes), of the teacher. The paper prints a
    minus sign and no square; this is what the published code computes.
    """
    old_count = old_cosines.shape[1]
    return (cosines[:, :old_count].float() - old_cosines.detach().float()).square().sum(dim=1).mean()


def less_forget_weight(rule: str, base: float, old_count: int, new_count: int, maximum: float | None = None) -> float:
    """The weight lambda of the less-forget term for a phase with these class counts (Eq. 7).

    `old_over_new`: base * sqrt(old / new), which the published code computes and the published curves come from;
    `paper`: base * sqrt(new / old), as printed; `constant`: base. `maximum` caps it: with one class added to a
    thousand the first rule gives 32 * base and the network hardly moves.
    """
    if rule not in LAMBDA_RULES:
        raise ValueError(f"lambda rule {rule!r} is unknown: choose one of {', '.join(LAMBDA_RULES)}")
    if old_count < 1 or new_count < 1:
        raise ValueError(f"class counts are at least 1, not old={old_count}, new={new_count}")
    factor = {"old_over_new": old_count / new_count, "paper": new_count / old_count, "constant": 1.0}[rule]
    weight = base * math.sqrt(factor)
    return weight if maximum is None else min(weight, maximum)
