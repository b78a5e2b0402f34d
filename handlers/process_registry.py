"""Prometheus metrics of a process of the service, beside those that every process has: memory, files, collection."""

import threading
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

    ``pids``: those that run now. The time of one that ended stays in the sum, as far as it was last seen: a counter
    that falls is read as one that began again, and its rate as a burst of work.
    """

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._pids = pids
        self._seen: dict[int, float] = {}
        """Seconds of processor time at the last look, by process."""
        self._ended = 0.0
        self._looking = threading.Lock()

    def describe(self) -> Iterator[Metric]:
        """The families without values."""
        yield from _costs(0.0, 0.0)

    def collect(self) -> Iterator[Metric]:
        """The values now. Memory of a process that has just ended is left out."""
        with self._looking:
            costs = {pid: found for pid in self._pids() if (found := _costs_of(pid))}
            seconds = {pid: found["process_cpu_seconds"] for pid, found in costs.items()}
            # One whose time fell is another process that got the same number.
            self._ended += sum(last for pid, last in self._seen.items() if seconds.get(pid, -1.0) < last)
            self._seen = seconds
            total = self._ended + sum(seconds.values())
        yield from _costs(total, sum(found["process_resident_memory_bytes"] for found in costs.values()))


def _costs_of(pid: int) -> dict[str, float]:
    """Of one process, by family; empty when it has ended."""
    return {
        family.name: family.samples[0].value for family in ProcessCollector(pid=lambda: pid, registry=None).collect()
    }


def _costs(cpu_seconds: float, memory_bytes: float) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "lucir_model_processes_cpu_seconds",
        "Processor time of the processes that decode and classify, of earlier ones as far as it was seen.",
        cpu_seconds,
    )
    yield GaugeMetricFamily(
        "lucir_model_processes_resident_memory_bytes", "Memory that these processes have in use.", memory_bytes
    )
