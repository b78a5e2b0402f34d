"""The head of a state with a frozen backbone, its answers to left-out images, and what these are worth."""

import copy
import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray

from lucir_core.config.method_settings import Analytic
from lucir_core.errors import DataError
from lucir_core.frozen.analytic import (
    Numbers,
    Rows,
    are_many,
    class_means,
    class_sums,
    expanded,
    fit_ridge,
    left_out_cosines,
    near_units,
    unit_rows,
    with_one,
)
from lucir_core.frozen.calibrate import (
    best_probabilities,
    calibration_error,
    fit_temperature,
    known_bound,
    known_score,
    usual_bound,
)
from lucir_core.frozen.concepts import left_out_concepts
from lucir_core.frozen.lucir_head import LucirRows, learn_rows, left_out_scores
from lucir_core.frozen.moments import extended, no_moments
from lucir_core.memory.calibration import Calibration
from lucir_core.memory.feature_memory import Answers, FeatureMemory, Moments
from lucir_core.models.heads import AnalyticHead, CosineHead, Head
from lucir_core.models.model import IncrementalModel
from lucir_core.state import LearnerState


def with_head(state: LearnerState, before: LearnerState | None = None) -> LearnerState:
    """The state with head, prototypes, answers and calibration made from its stored features.

    before: the state of the phase before, if only the last phase is new; a head that depends on the order of phases is
    learnt on from there, otherwise by a replay of all phases, with the same result.
    """
    memory, count = state.features, len(state.classes)
    if memory is None or not len(memory):
        raise DataError("no image is left to learn from: keep at least one image of two classes")
    units = near_units(memory.features)
    told = np.bincount(memory.labels, minlength=count)[memory.labels] > 1
    if memory.seen is not None:
        told &= ~memory.seen
    moments = _moments(state, memory)
    sums = class_sums(units, memory.labels, count) if moments is None else moments.sums[:, :-1]
    means = class_means(sums)
    head, scores, temperature, folds = _fitted(state, memory, units, means, told, before, moments)
    cosines = left_out_cosines(units, memory.labels, sums)
    answers = Answers(
        served=np.where(told, scores.argmax(axis=1), -1).astype(np.int64),
        nearest=np.where(told, cosines.argmax(axis=1), -1).astype(np.int64),
        probability=best_probabilities(scores, temperature),
        cosine=cosines.max(axis=1).astype(np.float32),
    )
    known = answers.cosine.astype(np.float64)
    if isinstance(head, AnalyticHead):
        concepts = left_out_concepts(state)
        head.concepts = None if concepts is None else concepts.concepts
        nearest, capped = (None, None) if concepts is None else (concepts.nearest, concepts.capped)
        known = known_score(answers.cosine, scores.max(axis=1), nearest, capped)
    each = float(np.median(np.bincount(memory.labels)[memory.labels]))
    usual = usual_bound(each, len(np.unique(memory.labels))) if _is_usual(state, head) else None
    bound = known_bound(known[told], each, usual)
    calibration = Calibration(
        images=int(told.sum()),
        temperature=temperature,
        calibration_error=calibration_error(answers.probability[told], (answers.served == memory.labels)[told]),
        known_cosine=None if bound is None else bound[0],
        false_alarms=None if bound is None else bound[1],
    )
    return dataclasses.replace(
        state,
        model=_with(state.model, head),
        prototypes=torch.from_numpy(means).float(),
        features=memory.answered(answers, folds, moments),
        calibration=calibration,
    )


def _is_usual(state: LearnerState, head: Head) -> bool:
    """Whether the scores of `known_score` are those that `usual_bound` was measured on."""
    config, memory = state.config, state.features
    return (
        isinstance(head, AnalyticHead)
        and head.concepts is not None
        and head.projection is None
        and (config.network, config.weights, config.size) == ("efficientnet_lite0", "imagenet", 224)
        and (memory is None or memory.seen is None)  # a refined backbone is another one
    )


def _fitted(
    state: LearnerState,
    memory: FeatureMemory,
    units: Numbers,
    means: Rows,
    told: NDArray[np.bool_],
    before: LearnerState | None,
    moments: Moments | None,
) -> tuple[Head, NDArray[np.float32], float, NDArray[np.float32] | None]:
    """The head, scores (n, classes) of every image left out, their temperature, rows of the folds where there are any.

    The temperature is in the head already.
    """
    count, labels = len(state.classes), memory.labels
    if state.config.method == "analytic":
        expansion = state.config.settings_of(Analytic).expansion
        head = AnalyticHead(units.shape[1], state.old_count, count - state.old_count, expansion)
        _fill(head, means)
        inputs = units if head.projection is None else expanded(unit_rows(memory.features), head.projection)
        judging = None if memory.seen is None else ~memory.seen
        fit = fit_ridge(inputs, labels, count, moments=moments, judging=judging)
        temperature = fit_temperature(fit.left_out[told], labels[told])
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(fit.weights / temperature))
            head.bias.copy_(torch.from_numpy(fit.bias / temperature))
        return head, fit.left_out, temperature, None
    singles = units.astype(np.float32, copy=False)
    rows = learn_rows(state.config, singles, labels, memory.phases, state.phase_sizes, _rows_of(before))
    scores = left_out_scores(rows, singles, labels)
    temperature = fit_temperature(scores[told], labels[told])
    cosine = CosineHead(units.shape[1], state.old_count, count - state.old_count)
    _fill(cosine, rows.served)
    with torch.no_grad():
        cosine.eta.fill_(1.0 / temperature)
    return cosine, scores, temperature, rows.folds


def _moments(state: LearnerState, memory: FeatureMemory) -> Moments | None:
    """What ridge regression needs of the rows, added to what the phase before has left; None where rows are few."""
    config = state.config
    if config.method != "analytic" or config.settings_of(Analytic).expansion or not are_many(len(memory)):
        return None

    def rows_of(places: NDArray[np.int64]) -> Rows:
        return with_one(unit_rows(memory.features[places]))

    start = memory.moments or no_moments(memory.features.shape[1] + 1)
    return extended(start, rows_of, memory.labels, len(state.classes))


def _rows_of(before: LearnerState | None) -> LucirRows | None:
    if before is None or before.features is None or before.features.folds is None:
        return None
    return LucirRows(before.model.head.embeddings.detach().numpy(), before.features.folds)


def _fill(head: Head, rows: NDArray[np.floating]) -> None:
    """rows: (classes, dim) embeddings, old classes first."""
    old_count = len(head.old)
    with torch.no_grad():
        head.old.copy_(torch.from_numpy(rows[:old_count]))
        head.new.copy_(torch.from_numpy(rows[old_count:]))


def _with(model: IncrementalModel, head: Head) -> IncrementalModel:
    """A model with the same backbone and this head."""
    changed = copy.deepcopy(model)
    changed.head = head
    return changed.eval().requires_grad_(False)
