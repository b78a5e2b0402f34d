"""Changing what a state knows without training: rename, merge and remove classes, take images out of the memory.

Every function gives a new state and leaves the old one as it is. The backbone never changes, so features, the rows of
untouched classes and their prototypes stay bit for bit what they were. What the network's weights learnt from images
that are taken out stays in the weights; only training again without them removes it.

All heads are edited alike, by row. Under BiC the newest rows have a correction: a row that is merged of old and new
ones is an old one, with the correction multiplied in.
"""

import copy
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lucir_core.data.phase_data import ImageSet
from lucir_core.edit.regroup import Regrouping, merging, regroup_blobs, removal, renaming
from lucir_core.errors import DataError
from lucir_core.frozen.frozen_head import with_head
from lucir_core.memory.exemplars import exemplars_per_class
from lucir_core.memory.herding import herd
from lucir_core.memory.image_blobs import ImageBlobs
from lucir_core.memory.prototypes import class_prototypes
from lucir_core.models.features import extract_features
from lucir_core.models.heads import CosineHead, GrowingHead, LinearHead, growing
from lucir_core.state import LearnerState


def rename_class(state: LearnerState, old: str, new: str) -> LearnerState:
    """The state with another name for one class. Raises DataError as `renaming` does."""
    return regroup_state(state, renaming(state.classes, old, new))


def merge_classes(state: LearnerState, sources: Sequence[str], target: str) -> LearnerState:
    """The state with several classes made one. Raises DataError as `merging` does."""
    return regroup_state(state, merging(state.classes, sources, target))


def remove_class(state: LearnerState, name: str) -> LearnerState:
    """The state without a class, its exemplars and its row. Raises DataError as `removal` does."""
    return regroup_state(state, removal(state.classes, name))


def regroup_state(state: LearnerState, change: Regrouping) -> LearnerState:
    """The state with its classes regrouped.

    The row of a merged class points to the mean of its parts' directions and has their mean length (bias: the mean);
    its exemplars are herded to the budget from those of all parts, its prototype is computed from them.
    """
    if change.before != state.classes:
        raise DataError(f"the regrouping is of other classes than the state's {len(state.classes)}")
    if not change.classes:
        raise DataError("a state without classes is none: leave at least one")
    if state.features is not None:
        return _regrouped_frozen(state, change)
    model = copy.deepcopy(state.model)
    model.head = regrouped_head(growing(state.model.head), change.groups)
    exemplars = _cut_merged(state, regroup_blobs(state.exemplars, change), change)
    firsts = [group[0] for group in change.groups]
    edited = replace(
        state,
        model=model.eval().requires_grad_(False),
        classes=change.classes,
        phase_sizes=_phase_sizes(state.phase_sizes, firsts),
        exemplars=exemplars,
        prototypes=state.prototypes[firsts],
    )
    return _with_prototypes(edited, change.merged)


def _regrouped_frozen(state: LearnerState, change: Regrouping) -> LearnerState:
    """With a frozen backbone: the head that images under these labels lead to, as if they had come with them."""
    memory = state.features
    firsts = [group[0] for group in change.groups]
    edited = replace(
        state,
        classes=change.classes,
        phase_sizes=_phase_sizes(state.phase_sizes, firsts),
        exemplars=_cut_merged(state, regroup_blobs(state.exemplars, change), change),
        features=None if memory is None else memory.relabelled(change.new_labels),
    )
    return with_head(edited)


def forget_images(state: LearnerState, digests: Collection[bytes]) -> LearnerState:
    """The state without the images whose `image_digest` is among `digests`.

    With a frozen backbone nothing of them is left: the head is the one of a state that never saw them (computed from
    the other images; LUCIR's by a replay of the phases without them). Otherwise they
    leave the exemplars and the prototypes of their classes; what the weights learnt from them stays there. A class may
    be left without exemplars: it then has the zero prototype, and nothing to be replayed.
    """
    if (memory := state.features) is not None:
        exemplars = state.exemplars.without(digests, memory.labels_of(digests))
        return with_head(replace(state, exemplars=exemplars, features=memory.without(digests)))
    exemplars = state.exemplars.without(digests)
    touched = np.flatnonzero(exemplars.counts() != state.exemplars.counts())
    return _with_prototypes(replace(state, exemplars=exemplars), touched.tolist())


@torch.no_grad()
def regrouped_head(head: GrowingHead, groups: Sequence[Sequence[int]]) -> GrowingHead:
    """The head with one row per group, each as old or new as the group's first class was."""
    old_count, dim = head.old.shape
    new_rows = sum(group[0] >= old_count for group in groups)
    made = type(head)(dim, len(groups) - new_rows, new_rows)
    rows = torch.stack([_row(head, group) for group in groups])
    made.old, made.new = nn.Parameter(rows[: len(made.old)]), nn.Parameter(rows[len(made.old) :])
    if isinstance(head, CosineHead) and isinstance(made, CosineHead):
        made.eta.copy_(head.eta)
    elif isinstance(head, LinearHead) and isinstance(made, LinearHead):
        made.bias = nn.Parameter(torch.stack([_parts(head, group)[1].mean() for group in groups]))
        made.correction = head.correction.clone()
    return made


def _row(head: GrowingHead, group: Sequence[int]) -> Tensor:
    rows, _ = _parts(head, group)
    if len(rows) == 1:
        return rows[0]
    direction = functional.normalize(functional.normalize(rows, dim=1).mean(dim=0), dim=0)
    joined: Tensor = direction * rows.norm(dim=1).mean()
    return joined


def _parts(head: GrowingHead, group: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Rows (parts, dim) and biases (parts,) as they are to be joined."""
    chosen = list(group)
    if isinstance(head, CosineHead):
        return head.embeddings.detach()[chosen], torch.zeros(len(chosen))
    mixed = len(chosen) > 1 and chosen[0] < len(head.old)
    rows, bias = head.corrected() if mixed else (head.embeddings, head.bias)
    return rows.detach()[chosen], bias.detach()[chosen]


def _phase_sizes(sizes: Sequence[int], firsts: Sequence[int]) -> tuple[int, ...]:
    """Classes that each phase added, counting the ones at positions `firsts`."""
    ends = np.cumsum(sizes)
    phases = np.searchsorted(ends, firsts, side="right")
    return tuple(np.bincount(phases, minlength=len(sizes)).tolist())


def _cut_merged(state: LearnerState, exemplars: ImageBlobs, change: Regrouping) -> ImageBlobs:
    """Herd the exemplars of merged classes down to their budget."""
    budget = exemplars_per_class(state.config, len(change.classes))
    kept: list[int] = []
    for label in range(len(change.classes)):
        mine = exemplars.indices_of(label)
        if label in change.merged:
            mine = mine[herd(_features(state, exemplars, mine, "none").numpy(), budget, state.config.herding)]
        kept += mine.tolist()
    return ImageBlobs(tuple(exemplars.pngs[index] for index in kept), exemplars.labels[kept], exemplars.classes)


def _with_prototypes(state: LearnerState, labels: Collection[int]) -> LearnerState:
    """The state with the prototypes of some classes computed from their exemplars; the others' stay as they are."""
    prototypes = state.prototypes.clone()
    flips = ["none"] if state.config.nme_flip == "none" else ["none", state.config.nme_flip]
    for label in labels:
        mine = state.exemplars.indices_of(label)
        views = [_features(state, state.exemplars, mine, flip) for flip in flips]
        prototypes[label] = class_prototypes(views, np.zeros(len(mine), np.int64), 1)[0]
    return replace(state, prototypes=prototypes)


def _features(state: LearnerState, blobs: ImageBlobs, indices: np.ndarray, flip: str) -> Tensor:
    """Features (n, dim) of some stored images."""
    chosen = ImageBlobs(tuple(blobs.pngs[index] for index in indices.tolist()), blobs.labels[indices], blobs.classes)
    images = ImageSet([chosen.decode_all(state.config.resize)], [chosen.labels], torch.device("cpu"))
    return extract_features(state.model, images, torch.arange(len(chosen)), state.config.size, flip)
