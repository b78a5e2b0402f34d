"""LUCIR's own head on the features of a backbone that stays as it is.

A phase imprints its classes, minimises cross-entropy and margin ranking over its images and the exemplars of earlier
phases while the old embeddings stay, then fine-tunes all embeddings on the exemplars of all classes alone (Hou et al.,
CVPR 2019; `lucir_core.methods.lucir` has the whole method). What differs here, and why:

- Less-forget is 1 - cos(feature, feature of the model before). Both are the same number, so that the term is 0 and has
  no gradient: it is left out, as are lambda and the teacher.
- Exemplars are rows of features, herded from all stored rows of a class. The rows that are not exemplars are not learnt
  from again; they stay for deletion and for the answers below.
- Every step sees all rows of its stage, so that nothing is random, and an epoch is one step.
- eta is fixed while the rows are learnt; the one that is served is fitted to left-out images.
- Phase 0 starts imprinted too.

The head depends on the order of drops. A replay of all phases from the stored rows gives the head that the phases gave
one by one, to the bit, and without some images the head of a learner that never had them: deletion is exact.

There is no closed form for an image that is left out. Each class's images are dealt to five folds, and five more
heads live through the same phases, each without one fold: an image is answered by the head that never saw it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.losses.rebalancing import cross_entropy_loss, margin_ranking_loss
from lucir_core.memory.exemplars import exemplars_per_class
from lucir_core.memory.herding import herd
from lucir_core.training.schedule import Schedule, phase_schedule

FOLDS = 5
TRAINING_ETA = 16.0
"""Scale of the cosines while rows are learnt. On validation images of 12 classes of photographs, means of six splits
with 5 and 45 images per class: 97.9 and 98.6 % right with 10, 97.8 and 99.4 with 16, 95.7 and 98.9 with 32."""

Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LucirRows:
    """Embeddings of length one after a phase."""

    served: NDArray[np.float32]
    """(classes, dim)"""
    folds: NDArray[np.float32]
    """(FOLDS, classes, dim): row k of the first axis is learnt without the images of fold k."""


def learn_rows(
    config: PhaseConfig,
    units: NDArray[np.float32],
    labels: Labels,
    phases: Labels,
    phase_sizes: Sequence[int],
    before: LucirRows | None = None,
) -> LucirRows:
    """The embeddings after all phases, or those after the last one where `before` has those of the phase before.

    units: (n, dim) features of length one; labels, phases: (n,) class and phase of each image; phase_sizes: the number
    of classes that each phase added.
    """
    folds = folds_of(labels)
    first = 0 if before is None else len(phase_sizes) - 1
    heads = []
    for left_out in (-1, *range(FOLDS)):
        seen = folds != left_out
        rows = torch.zeros(0, units.shape[1])
        if before is not None:
            rows = torch.from_numpy(before.served if left_out < 0 else before.folds[left_out])
        for phase in range(first, len(phase_sizes)):
            known = seen & (phases <= phase)
            if not (phases == phase).any():  # every image of it was deleted: such a phase leaves nothing behind
                rows = torch.cat([rows, torch.zeros(phase_sizes[phase], units.shape[1])])
                continue
            stage = _Rows(config, torch.from_numpy(units[known]), labels[known], phases[known] == phase, rows)
            rows = stage.learnt(phase_sizes[phase])
        heads.append(rows.numpy())
    return LucirRows(heads[0], np.stack(heads[1:]))


def folds_of(labels: Labels) -> Labels:
    """(n,) fold of each image, 0 to 4: the images of a class take turns, and later ones change nothing for earlier."""
    folds = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        folds[mine] = np.arange(len(mine)) % FOLDS
    return folds


def left_out_scores(rows: LucirRows, units: NDArray[np.float32], labels: Labels) -> NDArray[np.float32]:
    """(n, classes) cosines of each image to the embeddings that were learnt without its fold."""
    folds = folds_of(labels)
    scores = np.empty((len(units), len(rows.served)), np.float32)
    for fold in range(FOLDS):
        mine = folds == fold
        scores[mine] = units[mine] @ rows.folds[fold].T
    return scores


class _Rows:
    """One head in one phase: units (n, dim), labels (n,), which of them are the phase's own (n,), old rows."""

    def __init__(self, config: PhaseConfig, units: Tensor, labels: Labels, fresh: NDArray[np.bool_], old: Tensor):
        self._config, self._units, self._labels, self._fresh, self._old = config, units, labels, fresh, old

    def learnt(self, new_count: int) -> Tensor:
        """(old and new classes, dim)."""
        config, old_count = self._config, len(self._old)
        count, everything = old_count + new_count, np.ones(len(self._labels), bool)
        budget = exemplars_per_class(config, count)
        new = self._means(old_count, new_count)
        replayed = range(old_count if config.replay is not False else 0)
        exemplars = [self._herded(label, budget, ~self._fresh) for label in replayed]
        chosen = np.concatenate([np.flatnonzero(self._fresh), *exemplars])
        schedule = phase_schedule(config, 1, first=not old_count)
        old, new = self._train((self._old, new), chosen, schedule, not config.freeze_old, config.ranking_weight)
        cbf = config.cbf
        if cbf.enabled and old_count:
            balanced = np.concatenate([self._herded(label, budget, everything) for label in range(count)])
            schedule = Schedule(cbf.epochs, cbf.lr, "multistep", cbf.milestones, config.gamma)
            weight = config.ranking_weight if cbf.ranking else 0.0
            old, new = self._train((old, new), balanced, schedule, cbf.train != "new_embeddings", weight)
        return torch.cat([old, new])

    def _means(self, first: int, count: int) -> Tensor:
        sums = torch.zeros(first + count, self._units.shape[1])
        sums.index_add_(0, torch.from_numpy(self._labels[self._fresh]), self._units[torch.from_numpy(self._fresh)])
        return functional.normalize(sums[first:], dim=1)

    def _herded(self, label: int, budget: int, among: NDArray[np.bool_]) -> Labels:
        mine = np.flatnonzero((self._labels == label) & among)
        return mine if len(mine) <= budget else mine[herd(self._units[torch.from_numpy(mine)].numpy(), budget)]

    def _train(
        self, rows: tuple[Tensor, Tensor], chosen: Labels, schedule: Schedule, moves_old: bool, ranking: float
    ) -> tuple[Tensor, Tensor]:
        """Old and new rows after one stage over the images `chosen`; a row of zeros (no image yet) stays one."""
        config, order = self._config, torch.from_numpy(chosen)
        units, labels = self._units[order], torch.from_numpy(self._labels)[order]
        old, new = rows[0].clone(), rows[1].clone()
        moved = [one.requires_grad_(True) for one in (old, new) if len(one) and (moves_old or one is new)]
        if not moved or not len(chosen):
            return rows
        there = [one.detach().norm(dim=1, keepdim=True) > 0 for one in moved]
        optimiser = torch.optim.SGD(moved, lr=schedule.lr, momentum=config.momentum, weight_decay=config.weight_decay)
        for epoch in range(schedule.epochs):
            optimiser.param_groups[0]["lr"] = schedule.lr_at(epoch)
            cosines = units @ functional.normalize(torch.cat([old, new]), dim=1).t()
            loss = cross_entropy_loss(TRAINING_ETA * cosines, labels)
            if ranking and len(old):
                loss = loss + ranking * margin_ranking_loss(
                    cosines, labels, len(old), top_k=config.top_k, margin=config.margin, against=config.ranking_against
                )
            gradients = torch.autograd.grad(loss, moved)
            for one, gradient, present in zip(moved, gradients, there, strict=True):
                one.grad = gradient * present
            optimiser.step()
        old, new = (functional.normalize(one.detach(), dim=1) if one.requires_grad else one for one in (old, new))
        return old, new
