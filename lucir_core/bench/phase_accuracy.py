"""A phase measured on test images, with both readouts: the classifier ("cnn") and the nearest mean ("nme")."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from lucir_core.data.augment import centre_crop
from lucir_core.evaluate import accuracy, confusion_matrix, forgetting_by_group, group_accuracies, old_as_new
from lucir_core.models.model import place
from lucir_core.state import LearnerState

READOUTS = ("cnn", "nme")
BATCH = 256


@torch.no_grad()
def predict(state: LearnerState, images: np.ndarray, device: str) -> dict[str, np.ndarray]:
    """Output positions (n,) by readout. images: (n, resize, resize, 3) uint8, read in batches."""
    model = place(copy.deepcopy(state.model), device).eval()
    prototypes = state.prototypes.to(device)
    found: dict[str, list[np.ndarray]] = {readout: [] for readout in READOUTS}
    for start in range(0, len(images), BATCH):
        batch = torch.from_numpy(np.array(images[start : start + BATCH])).to(device)
        output = model(centre_crop(batch, state.config.size))
        nearest = functional.normalize(output.features.float(), dim=1) @ prototypes.T
        found["cnn"].append(output.logits.argmax(dim=1).cpu().numpy())
        found["nme"].append(nearest.argmax(dim=1).cpu().numpy())
    return {readout: np.concatenate(parts) for readout, parts in found.items()}


def measure(
    state: LearnerState, images: np.ndarray, labels: np.ndarray, earlier: Sequence[Mapping[str, Any]], device: str
) -> dict[str, Any]:
    """The record of a phase: plain values for JSON. earlier: the records of the phases before it."""
    predictions = predict(state, images, device)
    record: dict[str, Any] = {
        "phase": state.phase,
        "classes": len(state.classes),
        "new_classes": state.phase_sizes[-1],
        "test_images": len(labels),
        "eta": state.eta,
        "lambda": state.lambda_,
        "exemplars": len(state.exemplars),
    }
    for readout in READOUTS:
        record[readout] = _readout(state, labels, predictions[readout], [phase[readout] for phase in earlier])
    return record


def _readout(
    state: LearnerState, labels: np.ndarray, predictions: np.ndarray, earlier: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    shares = accuracy(labels, predictions, state.old_count)
    confusion = confusion_matrix(labels, predictions, len(state.classes))
    groups = group_accuracies(confusion, state.phase_sizes)
    # Group g is as old as phase g: it stands in every record from that phase on.
    best = [max(record["groups"][group] for record in earlier[group:]) for group in range(len(groups) - 1)]
    return {
        "all": shares.all,
        "old": shares.old,
        "new": shares.new,
        "groups": groups,
        "forgetting": forgetting_by_group(best, groups[:-1]),
        "old_as_new": old_as_new(labels, predictions, state.old_count),
        "confusion": confusion.tolist(),
    }
