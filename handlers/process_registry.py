"""Prometheus metrics of a process of the service, beside those that every process has: memory, files, collection."""

from collections.abc import Callable, Iterable, Iterator
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
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


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


class ModelProcesses(Collector):
    """What the processes that run models cost, all together: a series for each would stay behind when it ends.

    ``pids``: those that run now.
    """

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._pids = pids

    def describe(self) -> Iterator[Metric]:
        """The families without values."""
        yield from _costs(0.0, 0.0)

    def collect(self) -> Iterator[Metric]:
        """The values now. A process that has just ended is left out."""
        found = {"process_cpu_seconds": 0.0, "process_resident_memory_bytes": 0.0}
        for pid in self._pids():
            for family in ProcessCollector(pid=partial(int, pid), registry=None).collect():
                if family.name in found:
                    found[family.name] += family.samples[0].value
        yield from _costs(*found.values())


def _costs(cpu_seconds: float, memory_bytes: float) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "lucir_model_processes_cpu_seconds",
        "Processor time of the processes that decode and classify now; less when one was replaced.",
        cpu_seconds,
    )
    yield GaugeMetricFamily(
        "lucir_model_processes_resident_memory_bytes", "Memory that these processes have in use.", memory_bytes
    )
