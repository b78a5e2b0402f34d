import torch

from lucir_core.training.epoch_batches import batches
from lucir_core.training.trainer import momentum_of, restore_momentum


def drawn(count: int, batch_size: int) -> list[torch.Tensor]:
    return list(batches(torch.arange(100, 100 + count), batch_size, torch.Generator().manual_seed(1)))


def test_every_image_comes_once_an_epoch_and_the_short_batch_is_kept() -> None:
    parts = drawn(23, 10)
    assert [len(part) for part in parts] == [10, 10, 3]
    assert sorted(torch.cat(parts).tolist()) == list(range(100, 123))
    assert torch.cat(parts).tolist() != list(range(100, 123))


def test_a_lone_last_image_joins_the_batch_before() -> None:
    assert [len(part) for part in drawn(21, 10)] == [10, 11]
    assert [len(part) for part in drawn(1, 10)] == [1]
    assert [len(part) for part in drawn(3, 1)] == [1, 2]


def test_momentum_continues_where_it_was() -> None:
    def step(parameter: torch.nn.Parameter, optimiser: torch.optim.SGD) -> None:
        parameter.grad = torch.full_like(parameter, 0.5)
        optimiser.step()

    whole = torch.nn.Parameter(torch.ones(3))
    optimiser = torch.optim.SGD([whole], lr=0.1, momentum=0.9, fused=True)
    step(whole, optimiser)
    part = torch.nn.Parameter(whole.detach().clone())
    other = torch.optim.SGD([part], lr=0.1, momentum=0.9, fused=True)
    restore_momentum(other, momentum_of(optimiser))
    step(whole, optimiser)
    step(part, other)
    assert torch.equal(whole, part)
