"""A follower: the reconcile loop, and what it found for pages and metrics."""

import threading

from handlers.settings import Settings
from handlers.sidecar.machine_metrics import MachineCollector
from handlers.sidecar.serving_view import show_step, show_swap
from handlers.sidecar.status import SidecarStatus
from handlers.torchserve.loop import ReconcileLoop
from handlers.torchserve.outcome import ServingState, SwapResult
from handlers.torchserve.swap_metrics import ServingMetrics
from model_store.objects import ObjectStore, StoreError
from model_store.versions import VersionStore


class Follower:
    """Everything but the web server. Of the store it only reads: the pointer, and each version that it comes to."""

    def __init__(self, settings: Settings, objects: ObjectStore) -> None:
        self.settings = settings
        self.objects = objects
        self.metrics = ServingMetrics()
        self.metrics.registry.register(MachineCollector(settings.data))
        self.status = SidecarStatus(objects.url)
        self.stopping = threading.Event()
        self.problem: str | None = "nothing is served yet"
        """Why requests are not answered by a version that this process has confirmed; None when they are."""
        self._loop = ReconcileLoop(settings, VersionStore(objects), self, settings.follower.pointer_seconds)

    def run(self) -> None:
        """Follow the pointer until ``stopping`` is set. What is served stays served."""
        self.beat()
        self._loop.start()
        try:
            self.stopping.wait()
        finally:
            self._loop.stop()

    def beat(self) -> None:
        """The loop is alive."""
        self.status.beat("reconcile")

    def stepped(self, state: ServingState) -> None:
        """Show what a step found."""
        show_step(state, self.metrics, self.status)
        if state.stale:
            self.metrics.store_errors.inc()
            self.status.store_failed(StoreError(state.message))
        else:
            self.status.store_ok()
            # While the store cannot be read this keeps what it last said: nobody knows better here.
            self.metrics.current_version.set(state.wanted or 0)
        # Version 0, "nothing learnt yet", is an answer as well: an empty store makes no replica unfit.
        self.problem = None if state.served is not None else state.message or f"the serving engine is {state.phase}"

    def swapped(self, swap: SwapResult) -> None:
        """A version took over, or failed to."""
        show_swap(swap, self.metrics, self.status)

    def failed(self, error: Exception) -> None:
        """A step failed and is tried again."""
        if isinstance(error, StoreError):
            self.metrics.store_errors.inc()
        self.status.add_error("serving", f"{type(error).__name__}: {error}")
