"""Who answers after a version has failed: never less than before."""

from collections.abc import Mapping

from handlers.torchserve.folders import NOTHING_LEARNT
from handlers.torchserve.in_place.exchange import Exchange
from handlers.torchserve.management import ManagementClient, RegisteredVersion


def answering_version(registered: Mapping[int, RegisteredVersion], exchange: Exchange) -> int | None:
    """The version that answers everybody; None where none does that has learnt something.

    Who was answered by such a one is not told that there is none.
    """
    answering = (exchange.served(each.number) for each in registered.values() if each.default and each.ready_workers)
    return next((version for version in answering if version != NOTHING_LEARNT), None)


def fall_back(
    failed: int,
    holder: RegisteredVersion,
    registered: Mapping[int, RegisteredVersion],
    before: int | None,
    exchange: Exchange,
    management: ManagementClient,
) -> None:
    """Have another version answer than ``failed``, which the workers of ``holder`` have; best the one ``before``, which
    was the last to be confirmed. The registration goes where another one answers, or where this one never worked; if it
    answered everybody its workers have requests still, and it is retired as any other.
    """
    others = [each for each in registered.values() if each.number != holder.number and each.ready_workers]
    other = next((each for each in others if exchange.served(each.number) == before), None)
    back = before if other is None and holder.ready_workers and before != failed else None
    if back is not None and exchange.put_back(holder.number, back):
        return
    other = other or next(iter(others), None)
    if other is not None:
        if exchange.served(other.number) == NOTHING_LEARNT and answering_version(registered, exchange) is not None:
            return
        management.set_default(other.number)
        if holder.default and holder.ready_workers:
            return
    worked = failed == before and holder.ready_workers
    if other is not None or (len(registered) == 1 and not worked):
        management.unregister(holder.number)
