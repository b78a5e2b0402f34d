"""Rename, merge, remove, delete: on a learnt state of every kind of head, compared with what PyTorch answers before."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from lucir_core.edit.edit_state import (
    forget_images,
    merge_classes,
    regroup_state,
    regrouped_head,
    remove_class,
    rename_class,
)
from lucir_core.edit.regroup import merging, regroup_blobs, removal, renaming, unchanged
from lucir_core.errors import DataError
from lucir_core.export.onnx_export import compare_onnx, export_onnx, predict
from lucir_core.memory.image_blobs import ImageBlobs, image_digest
from lucir_core.models.heads import CosineHead, LinearHead
from lucir_core.phase import run_phase
from lucir_core.state import LearnerState, load_state, save_state
from lucir_core.testing import synthetic_phase
from tests.support.learning.tiny import learnt, short_config, some_images, weights_equal

METHODS = ("lucir", "icarl", "bic", "der")
"""Cosine head; linear head; linear head with a correction; several backbones."""


@pytest.fixture(params=METHODS)
def state(request: pytest.FixtureRequest) -> LearnerState:
    """Three classes, then two more."""
    return learnt(request.param)[1]


def answers(state: LearnerState) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        output = state.model(some_images(12))
    return output.logits, output.cosines, functional.normalize(output.features, dim=1) @ state.prototypes.t()


def sound(state: LearnerState, tmp_path: Path) -> None:
    """It can be saved, read, exported; the numbers of its parts agree; exemplars stand by class."""
    save_state(state, tmp_path)
    loaded = load_state(tmp_path)
    assert weights_equal(loaded.model, state.model)
    assert sum(state.phase_sizes) == len(state.classes) == state.model.class_count == len(state.prototypes)
    assert (np.diff(state.exemplars.labels) >= 0).all()
    assert loaded.exemplars.pngs == state.exemplars.pngs
    export_onnx(loaded, tmp_path / "model.onnx")
    images = state.exemplars.decode_all(state.config.resize)
    check = compare_onnx(loaded, tmp_path / "model.onnx", images)
    assert (check.top1_disagreements, check.max_cosine_difference < 1e-4) == (0, True)


def test_renaming_changes_nothing_but_the_name(state: LearnerState, tmp_path: Path) -> None:
    edited = rename_class(state, "class-1", "Kätzchen")
    assert edited.classes == edited.exemplars.classes == ("class-0", "Kätzchen", "class-2", "class-3", "class-4")
    assert weights_equal(edited.model, state.model)
    assert torch.equal(edited.prototypes, state.prototypes)
    assert edited.exemplars.pngs == state.exemplars.pngs
    assert state.classes[1] == "class-1"
    sound(edited, tmp_path)


@pytest.mark.parametrize("gone", [1, 4])
def test_removing_leaves_all_other_answers_bit_for_bit(state: LearnerState, tmp_path: Path, gone: int) -> None:
    edited = remove_class(state, f"class-{gone}")
    kept = [label for label in range(5) if label != gone]
    assert edited.classes == tuple(f"class-{label}" for label in kept)
    assert edited.phase_sizes == ((2, 2) if gone == 1 else (3, 1))
    for before, after in zip(answers(state), answers(edited), strict=True):
        torch.testing.assert_close(after, before[:, kept], rtol=0, atol=1e-5)
    expected = [png for png, label in zip(state.exemplars.pngs, state.exemplars.labels, strict=True) if label != gone]
    assert list(edited.exemplars.pngs) == expected
    assert torch.equal(edited.prototypes, state.prototypes[kept])
    assert state.model.class_count == 5
    sound(edited, tmp_path)


def test_merging_joins_rows_exemplars_and_prototypes(state: LearnerState, tmp_path: Path) -> None:
    edited = merge_classes(state, ["class-4", "class-1"], "both")
    assert edited.classes == ("class-0", "both", "class-2", "class-3")
    assert edited.phase_sizes == (3, 1)
    for before, after in zip(answers(state), answers(edited), strict=True):
        torch.testing.assert_close(after[:, [0, 2, 3]], before[:, [0, 2, 3]], rtol=0, atol=1e-5)
    mine = edited.exemplars.indices_of(1)
    assert len(mine) == state.config.exemplars_per_class
    parts = {state.exemplars.pngs[index] for label in (1, 4) for index in state.exemplars.indices_of(label)}
    assert {edited.exemplars.pngs[index] for index in mine} <= parts
    assert edited.exemplars.counts().tolist() == [5] * 4
    # The prototype by its definition: the mean of the normalised features of both views, at length one.
    images = torch.from_numpy(edited.exemplars.decode_all(16)[mine]).permute(0, 3, 1, 2)
    with torch.no_grad():
        features = [edited.model.features(view) for view in (images, images.flip(3))]
    mean = functional.normalize(torch.cat(features).double(), dim=1).mean(dim=0)
    torch.testing.assert_close(edited.prototypes[1].double(), functional.normalize(mean, dim=0), rtol=0, atol=1e-5)
    sound(edited, tmp_path)


def test_a_merged_class_gets_the_answers_of_its_parts() -> None:
    """Images of either part are taken for the merged class as well as the parts were told from the others."""
    state = learnt("lucir")[1]
    data = synthetic_phase(dict.fromkeys(range(5), 10), 5, seed=9)
    images = torch.from_numpy(data.images).permute(0, 3, 1, 2).float()
    before = predict(state, images)[0].argmax(dim=1).numpy()
    change = merging(state.classes, ["class-0", "class-3"], "class-3")
    after = predict(regroup_state(state, change), images)[0].argmax(dim=1).numpy()
    right = (change.new_labels[before] == change.new_labels[data.labels]).mean()
    assert (after == change.new_labels[data.labels]).mean() >= right - 0.1


def test_merged_rows_have_the_mean_direction_and_length() -> None:
    head = CosineHead(2, 1, 2)
    head.eta.data.fill_(7.0)
    head.old.data[:] = torch.tensor([[2.0, 0.0]])
    head.new.data[:] = torch.tensor([[0.0, 4.0], [1.0, 1.0]])
    made = regrouped_head(head, [(0, 1), (2,)])
    assert isinstance(made, CosineHead)
    torch.testing.assert_close(made.old, 3.0 * torch.tensor([[0.5**0.5, 0.5**0.5]]))
    torch.testing.assert_close(made.new, torch.tensor([[1.0, 1.0]]))
    assert made.eta.item() == 7.0


def test_bias_correction_goes_into_a_row_that_is_merged_of_old_and_new() -> None:
    head = LinearHead(2, 1, 2)
    head.correction = torch.tensor([0.5, 3.0])
    head.old.data[:] = torch.tensor([[2.0, 0.0]])
    head.new.data[:] = torch.tensor([[4.0, 0.0], [0.0, 6.0]])
    head.bias.data[:] = torch.tensor([1.0, 2.0, 4.0])
    mixed = regrouped_head(head, [(0, 1), (2,)])
    features = torch.tensor([[1.0, 1.0]])
    # Row (2, 0) and, corrected, (2, 0); biases 1 and 0.5 * 2 + 3; the other class is as it was.
    torch.testing.assert_close(mixed(features).logits, torch.tensor([[2.0 + (1.0 + 4.0) / 2, 0.5 * 10.0 + 3.0]]))
    assert (len(mixed.old), len(mixed.new)) == (1, 1)
    new = regrouped_head(head, [(0,), (1, 2)])
    rows = 5.0 * torch.tensor([0.5**0.5, 0.5**0.5])  # mean direction, mean length, under the correction that stays
    expected = 0.5 * (rows.sum() + 3.0) + 3.0
    torch.testing.assert_close(new(features).logits, torch.stack([torch.tensor(3.0), expected])[None])


def test_deleting_takes_the_images_out_and_rebuilds_their_prototypes(state: LearnerState, tmp_path: Path) -> None:
    doomed = [int(state.exemplars.indices_of(2)[0]), int(state.exemplars.indices_of(2)[3])]
    digests = [image_digest(state.exemplars.decode(index)) for index in doomed]
    edited = forget_images(state, digests)
    assert edited.exemplars.counts().tolist() == [5, 5, 3, 5, 5]
    assert edited.exemplars.pngs == tuple(png for i, png in enumerate(state.exemplars.pngs) if i not in doomed)
    untouched = [0, 1, 3, 4]
    assert torch.equal(edited.prototypes[untouched], state.prototypes[untouched])
    assert not torch.allclose(edited.prototypes[2], state.prototypes[2])
    assert torch.linalg.vector_norm(edited.prototypes[2]).item() == pytest.approx(1)
    assert weights_equal(edited.model, state.model)
    sound(edited, tmp_path)


def test_a_class_may_lose_all_its_exemplars() -> None:
    state = learnt("lucir")[1]
    mine = state.exemplars.indices_of(0)
    edited = forget_images(state, [image_digest(state.exemplars.decode(index)) for index in mine.tolist()])
    assert edited.exemplars.counts()[0] == 0
    assert edited.prototypes[0].abs().sum() == 0


@pytest.mark.parametrize("method", [*METHODS, "eeil"])
def test_learning_goes_on_after_an_edit(method: str) -> None:
    """Removed, merged, renamed, thinned out: the next phase neither fails nor mixes up labels."""
    state = remove_class(learnt(method)[1], "class-3")
    state = merge_classes(state, ["class-0", "class-2"], "joined")
    state = rename_class(state, "class-4", "four")
    state = forget_images(state, [image_digest(state.exemplars.decode(0))])
    assert state.classes == ("joined", "class-1", "four")
    data = synthetic_phase({3: 12}, 4)
    after = run_phase(short_config(method), replace(data, classes=(*state.classes, "next")), state, seed=1)
    assert after.classes == ("joined", "class-1", "four", "next")
    assert after.phase_sizes == (2, 1, 1)
    assert after.exemplars.counts()[1:].tolist() == [5, 5, 5]


def test_an_emptied_phase_keeps_its_place() -> None:
    state = remove_class(remove_class(learnt("eeil")[1], "class-3"), "class-4")
    assert (state.phase_sizes, state.phase, state.old_count) == ((3, 0), 1, 3)
    data = synthetic_phase({3: 12}, 4)
    assert run_phase(short_config("eeil"), data, state, seed=1).phase_sizes == (3, 0, 1)


def test_what_cannot_be_is_refused() -> None:
    classes = ("cat", "dog", "owl")
    for bad, words in (
        (lambda: renaming(classes, "cta", "x"), "no class 'cta': did you mean cat"),
        (lambda: renaming(classes, "cat", "dog"), "there is a class 'dog' already"),
        (lambda: renaming(classes, "cat", "cat"), "has this name already"),
        (lambda: removal(classes, "cow"), "no class 'cow'"),
        (lambda: merging(classes, ["cat", "cat"], "x"), "at least two"),
        (lambda: merging(classes, ["cat", "cow"], "x"), "no class 'cow'"),
        (lambda: merging(classes, ["cat"], "cat"), "at least two"),
        (lambda: regroup_blobs(ImageBlobs.empty(("a",)), unchanged(classes)), "of others"),
    ):
        with pytest.raises(DataError, match=words):
            bad()
    with pytest.raises(DataError, match="other classes"):
        regroup_state(learnt("lucir")[1], unchanged(classes))
    assert merging(classes, ["cat"], "owl").groups == ((0, 2), (1,))
    assert unchanged(classes).new_labels.tolist() == [0, 1, 2]


def test_blobs_follow_their_classes() -> None:
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    blobs = ImageBlobs.from_arrays(images, np.array([2, 0, 1, 2, 0]), ("a", "b", "c"))
    joined = regroup_blobs(blobs, merging(blobs.classes, ["c"], "a"))
    assert joined.labels.tolist() == [0, 0, 0, 0, 1]
    assert [int(joined.decode(i)[0, 0, 0]) for i in range(5)] == [1, 4, 0, 3, 2]
    thinned = regroup_blobs(blobs, removal(blobs.classes, "b")).without([image_digest(images[3])])
    assert thinned.classes == ("a", "c")
    assert [int(thinned.decode(i)[0, 0, 0]) for i in range(3)] == [1, 4, 0]
