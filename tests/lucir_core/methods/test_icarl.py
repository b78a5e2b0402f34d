import torch

from lucir_core.losses.rebalancing import cross_entropy_loss
from lucir_core.methods.icarl import distilled_loss
from lucir_core.phase import run_phase
from tests.support.learning.tiny import about_to_learn, learnt, second_phase, short_config, some_images, weights_equal


def test_icarl_without_memory_is_lwf() -> None:
    first, lwf = learnt("lwf")
    assert weights_equal(learnt("icarl")[0].model, first.model)
    icarl = run_phase(short_config("icarl", replay=False), second_phase("icarl"), learnt("icarl")[0], seed=1)
    assert weights_equal(icarl.model, lwf.model)


def test_lwf_with_memory_is_icarl_and_another_model_than_without() -> None:
    icarl = learnt("icarl")[1]
    lwf = run_phase(short_config("lwf", replay=True), second_phase("lwf"), learnt("lwf")[0], seed=1)
    assert weights_equal(lwf.model, icarl.model)
    assert not weights_equal(learnt("lwf")[1].model, icarl.model)


def test_the_head_has_a_bias_and_features_end_in_a_relu() -> None:
    state = learnt("icarl")[1]
    assert state.model.head.bias.abs().min() > 0
    assert state.model.features(some_images()).min() >= 0.0


def test_nothing_is_frozen() -> None:
    first, second = learnt("icarl")
    before, after = dict(first.model.named_parameters()), dict(second.model.named_parameters())
    assert not torch.equal(before["head.new"], after["head.old"])
    moved = [name for name in before if name.startswith("backbone") and not torch.equal(before[name], after[name])]
    assert len(moved) == sum(name.startswith("backbone") for name in before)


def test_new_rows_start_as_drawn_and_old_ones_are_kept() -> None:
    run = about_to_learn("icarl")
    before, after = learnt("icarl")[0].model.head, run.model.head
    assert torch.equal(after.old, before.new)
    assert torch.equal(after.bias[:3], before.bias)
    assert after.new.abs().max() <= 1 / 8


def test_every_sample_is_distilled_with_weight_one() -> None:
    run, images, labels = about_to_learn("icarl"), some_images(), torch.tensor([0, 1, 2, 3, 4, 3, 4, 0])
    assert run.teacher is not None
    run.model.eval()
    terms = distilled_loss(run, run.teacher)(images, labels)
    old = torch.softmax(run.teacher(images).logits / 2, dim=1)
    new = torch.log_softmax(run.model(images).logits[:, :3] / 2, dim=1)
    torch.testing.assert_close(terms["distillation"].value, (old * (old.log() - new)).sum() / 8, rtol=1e-4, atol=1e-6)
    assert terms["distillation"].weight == 1.0
    torch.testing.assert_close(terms["cross_entropy"].value, cross_entropy_loss(run.model(images).logits, labels))


def test_lwf_task_leaves_old_logits_to_the_teacher() -> None:
    run = about_to_learn("lwf", distillation={"cross_entropy": "new", "weight": 3.0})
    assert run.teacher is not None
    terms = distilled_loss(run, run.teacher)(some_images(), torch.tensor([3, 4, 3, 4, 3, 4, 3, 4]))
    assert terms["distillation"].weight == 3.0
    terms["cross_entropy"].value.backward()
    assert run.model.head.old.grad is None or not run.model.head.old.grad.any()
    assert run.model.head.new.grad.any()


def test_original_icarl_may_drop_the_last_relu() -> None:
    state = run_phase(short_config("icarl_original", last_relu=False, epochs=1), second_phase("joint"), None)
    assert state.model.features(some_images()).min() < 0.0
