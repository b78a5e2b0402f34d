"""What updater and follower both show of the serving engine that they keep at the pointer's version."""

from handlers.sidecar.status import SidecarStatus
from handlers.torchserve.outcome import ServingState, SwapResult, describe_copy
from handlers.torchserve.swap_metrics import ServingMetrics


def show_step(state: ServingState, metrics: ServingMetrics, status: SidecarStatus) -> None:
    """What a step of the reconcile loop found."""
    served = state.served or None
    status.set_versions(state.wanted or None, served, state.message or None, describe_copy(state.copy))
    metrics.served_version.set(served or 0)
    metrics.show_copy(state.copy)


def show_swap(swap: SwapResult, metrics: ServingMetrics, status: SidecarStatus) -> None:
    """A version took over, or failed to."""
    metrics.count_swap(swap)
    if swap.result == "failure":
        status.add_error("serving", swap.message)
