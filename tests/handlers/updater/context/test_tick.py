"""What long work asks at every turn: whether it may go on."""

import pytest

from handlers.updater.context.update import Services
from handlers.updater.errors import LeaseLostError, StopRequestedError, SupersededError


def test_work_goes_on_until_the_process_is_to_end(services: Services) -> None:
    services.tick()
    services.stop.set()
    with pytest.raises(StopRequestedError):
        services.tick()


def test_work_gives_way_and_says_for_what(services: Services) -> None:
    services.urgent = lambda: "a class is to be removed"
    with pytest.raises(SupersededError, match="a class is to be removed"):
        services.tick()


def test_work_ends_where_another_updater_is_active(services: Services) -> None:
    services.leadership.stop()
    with pytest.raises(LeaseLostError, match="another updater is active"):
        services.tick()
