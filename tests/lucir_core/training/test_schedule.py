import pytest

from lucir_core.config.phase_config import PhaseConfig
from lucir_core.training.epoch_batches import batch_sizes
from lucir_core.training.schedule import Schedule, phase_schedule


def test_milestones_count_finished_epochs() -> None:
    schedule = phase_schedule(PhaseConfig(), 5000, first=True)
    rates = [schedule.lr_at(epoch) for epoch in range(160)]
    assert rates[:80] == pytest.approx([0.1] * 80)
    assert rates[80:120] == pytest.approx([0.01] * 40)
    assert rates[120:] == pytest.approx([0.001] * 40)


def test_cosine_falls_from_lr_towards_nothing() -> None:
    rates = [Schedule(10, 0.4, "cosine").lr_at(epoch) for epoch in range(10)]
    assert rates[0] == pytest.approx(0.4)
    assert rates[5] == pytest.approx(0.2)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0


def test_small_drops_are_stretched_to_the_least_number_of_steps() -> None:
    config = PhaseConfig(epochs=10, milestones=(5, 8), batch_size=32, min_steps=400)
    stretched = phase_schedule(config, 60, first=False)
    assert (stretched.epochs, stretched.milestones) == (200, (100, 160))
    assert phase_schedule(config, 32 * 100, first=False).epochs == 10


@pytest.mark.parametrize("images", [1, 31, 33, 64, 65])
def test_the_least_number_of_steps_is_made_whatever_the_last_batch(images: int) -> None:
    """A lone last image joins the batch before, which makes a step less."""
    config = PhaseConfig(epochs=10, milestones=(5, 8), batch_size=32, min_steps=400)
    steps = phase_schedule(config, images, first=False).epochs * len(batch_sizes(images, 32))
    assert 400 <= steps < 400 + len(batch_sizes(images, 32))


def test_phase_zero_may_differ() -> None:
    config = PhaseConfig(epochs=40, milestones=(20, 30), initial_epochs=80)
    assert phase_schedule(config, 10, first=True).milestones == (40, 60)
    assert phase_schedule(config, 10, first=False).epochs == 40
    chosen = PhaseConfig(epochs=40, milestones=(20, 30), initial_epochs=80, initial_milestones=(70,))
    assert phase_schedule(chosen, 10, first=True).milestones == (70,)
