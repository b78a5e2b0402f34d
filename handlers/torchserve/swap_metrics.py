"""The metrics of keeping a TorchServe at the pointer's version: the same in the updater and in a follower."""

from handlers.inference.sessions.copy_choice import Choice
from handlers.process_registry import MetricSet
from handlers.torchserve.outcome import SwapResult

SWAP_RESULTS = ("succeeded", "failed")
_SWAP_SECONDS = (0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 60, 120, 300)


class ServingMetrics(MetricSet):
    """The metrics by name."""

    def __init__(self) -> None:
        super().__init__()
        self.current_version = self.gauge("lucir_current_version", "The version pointed to; 0: none.")
        self.served_version = self.gauge("lucir_served_version", "The version the server serves; 0: none.")
        self.swaps = self.counter("lucir_swaps", "Swaps of the served version.", ["result"])
        for result in SWAP_RESULTS:
            self.swaps.labels(result)
        self.swap_duration = self.histogram(
            "lucir_swap_duration_seconds", "From a moved pointer to the server's answer.", buckets=_SWAP_SECONDS
        )
        self._copy_speed = self.gauge(
            "lucir_serving_copy_speed_ratio",
            "How many times as fast as its published network the copy of the served version is that answers.",
            ["copy"],
        )
        self._copy_change = self.gauge(
            "lucir_serving_copy_change_ratio",
            "Largest difference of a probability or a cosine between the two, on the images that travel with it.",
            ["copy"],
        )
        self.store_errors = self.counter("lucir_store_errors", "Failed operations on the object store.")

    def count_swap(self, swap: SwapResult) -> None:
        """A version took over, or failed to."""
        succeeded = swap.result == "success"
        self.swaps.labels("succeeded" if succeeded else "failed").inc()
        if succeeded:
            self.swap_duration.observe(swap.seconds)

    def show_copy(self, choice: Choice | None) -> None:
        """This copy of the served version's network answers; None: the engine did not choose among any."""
        self._copy_speed.clear()
        self._copy_change.clear()
        if choice is not None:
            self._copy_speed.labels(choice.copy).set(choice.speed)
            self._copy_change.labels(choice.copy).set(choice.change)
