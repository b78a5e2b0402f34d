"""Peak memory of a process tree: the proportional set sizes of all its processes, summed."""

import threading

import psutil

SAMPLE_SECONDS = 1.0


class MemoryPeak:
    """Samples this process and everything that descends from it, once a second."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self.peak_parts: dict[str, int] = {}
        """Bytes by program at the peak."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample_always, daemon=True)

    def __enter__(self) -> "MemoryPeak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample_always(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            parts = self._sample()
            total = sum(parts.values())
            if total > self.peak_bytes:
                self.peak_bytes, self.peak_parts = total, parts

    @staticmethod
    def _sample() -> dict[str, int]:
        me = psutil.Process()
        parts: dict[str, int] = {}
        for process in [me, *me.children(recursive=True)]:
            try:
                name = _name(process)
                parts[name] = parts.get(name, 0) + process.memory_full_info().pss
            except psutil.Error:  # it has ended meanwhile
                continue
        return parts


def _name(process: psutil.Process) -> str:
    """The Python module or script that runs, else the program."""
    words = process.cmdline()
    if "-m" in words[:6]:
        return str(words[words.index("-m") + 1])
    script = next((word for word in words[1:6] if word.endswith(".py")), "")
    return script.rsplit("/", 1)[-1] or str(process.name())
