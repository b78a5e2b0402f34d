"""Prometheus metrics of a process of the service, beside those that every process has: memory, files, collection."""

from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)


class MetricSet:
    """Metrics in a registry of their own, not the library's global one: a process may have several, as in tests."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self.gauge = partial(Gauge, registry=registry)
        self.counter = partial(Counter, registry=registry)
        self.histogram = partial(Histogram, registry=registry)

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)
