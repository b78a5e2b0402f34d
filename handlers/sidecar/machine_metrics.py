"""What a machine has left: space for the data folder, and its GPUs where it has any."""

import logging
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)

_QUERY: Final = "index,utilization.gpu,memory.used,memory.total"
_TIMEOUT_SECONDS: Final = 5.0
_MIB: Final = 1024 * 1024


class MachineCollector(Collector):
    """Asked at each scrape. A machine without ``nvidia-smi`` has no series of GPUs."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._program = shutil.which("nvidia-smi")

    def describe(self) -> Iterator[Metric]:
        """The families without values: registering must ask nobody."""
        yield from _disk()
        yield from _gpu()

    def collect(self) -> Iterator[Metric]:
        """The values now. What cannot be had is left out."""
        free, size = _disk()
        try:
            usage = shutil.disk_usage(self._data)
        except FileNotFoundError:  # before the first start has made it
            usage = shutil.disk_usage(next(parent for parent in self._data.absolute().parents if parent.exists()))
        free.add_metric([], usage.free)
        size.add_metric([], usage.total)
        yield from (free, size)
        if self._program is not None:
            yield from self._gpus(self._program)

    @staticmethod
    def _gpus(program: str) -> Iterator[Metric]:
        utilization, used, total = _gpu()
        command = [program, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
        try:
            answer = subprocess.run(
                command, capture_output=True, encoding="utf-8", timeout=_TIMEOUT_SECONDS, check=True
            )
            rows = [[word.strip() for word in line.split(",")] for line in answer.stdout.splitlines()]
            for index, busy, megabytes, most in rows:
                for family, word, unit in ((utilization, busy, 0.01), (used, megabytes, _MIB), (total, most, _MIB)):
                    if word.isdigit():  # "[N/A]" where a card does not tell
                        family.add_metric([index], int(word) * unit)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            logger.debug("nvidia-smi does not answer: %s", error)
        yield from (utilization, used, total)


def _disk() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily("lucir_data_free_bytes", "Space that is left for the data folder."),
        GaugeMetricFamily("lucir_data_size_bytes", "Size of the file system of the data folder."),
    )


def _gpu() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily("lucir_gpu_utilization_ratio", "Share of time in which a GPU was busy.", labels=["gpu"]),
        GaugeMetricFamily("lucir_gpu_memory_used_bytes", "Memory of a GPU in use.", labels=["gpu"]),
        GaugeMetricFamily("lucir_gpu_memory_size_bytes", "Memory of a GPU.", labels=["gpu"]),
    )
