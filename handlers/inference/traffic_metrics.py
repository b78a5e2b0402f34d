"""What is measured of requests, under the same names whichever engine serves: see docs/metrics.md.

Nothing here is labelled by version or worker: those come and go for ever, and each would leave its series behind.
"""

from typing import Final

from handlers.process_registry import MetricSet

PROBE_QUERY: Final = "probe"
"""``?probe`` behind the path: a question of the service to itself, which is not counted as a request."""
COUNTED_PATHS: Final = ("/predictions/", "/v2/models/")
"""Below these an image is classified; ``/ping``, descriptions and metrics are not requests in this sense."""
_SECONDS: Final = (0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BATCHES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_RATIOS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)
UNKNOWN: Final = {True: "true", False: "false", None: "untold"}
_CODES: Final = (200, 400, 503)


class TrafficMetrics(MetricSet):
    """Of one server."""

    def __init__(self) -> None:
        super().__init__()
        self._duration = self.histogram(
            "lucir_request_duration_seconds",
            "From a whole request to its answer, by HTTP status. Questions of the service to itself are left out.",
            ["code"],
            buckets=_SECONDS,
        )
        self._durations = {code: self._duration.labels(str(code)) for code in _CODES}
        self._batch = self.histogram("lucir_batch_images", "Images that were answered together.", buckets=_BATCHES)
        self._batch_duration = self.histogram(
            "lucir_batch_duration_seconds",
            "Time in which a batch was decoded and run through the model.",
            buckets=_SECONDS,
        )
        self._queue = self.counter("lucir_queue_seconds", "Time that requests waited for their batch, summed up.")
        self._waiting = self.gauge("lucir_queue_requests", "Requests that wait at this moment.")
        self._make_answers()

    def _make_answers(self) -> None:
        self._confidence = self.histogram(
            "lucir_answer_confidence_ratio",
            "Probability of the best class of each answer: where it falls over time, images change.",
            buckets=_RATIOS,
        )
        self._cosine = self.histogram(
            "lucir_answer_cosine_ratio", "Cosine between each image's features and its best class.", buckets=_RATIOS
        )
        self._answers = self.counter(
            "lucir_answers",
            "Answers, by whether the image was called unknown; untold where the version cannot tell.",
            ["unknown"],
        )
        self._answers_by = {unknown: self._answers.labels(name) for unknown, name in UNKNOWN.items()}

    def answered(self, code: int, seconds: float) -> None:
        """A request that ``counts`` was answered with a status, so long after it had come in."""
        series = self._durations.get(code)
        if series is None:  # looking it up by its label for each request costs more than the observation
            series = self._durations[code] = self._duration.labels(str(code))
        series.observe(seconds)

    def ran(self, images: int, seconds: float) -> None:
        """A batch was answered."""
        self._batch.observe(images)
        self._batch_duration.observe(seconds)

    def gave(self, probability: float, cosine: float, unknown: bool | None) -> None:
        """A version said this of an image."""
        self._confidence.observe(probability)
        self._cosine.observe(cosine)
        self._answers_by[unknown].inc()

    def waited(self, seconds: float) -> None:
        """A request waited so long for its batch."""
        self._queue.inc(seconds)

    def waiting(self, requests: int) -> None:
        """So many requests wait now."""
        self._waiting.set(requests)


def counts(target: str) -> bool:
    """Whether a request for ``target`` (path and query) is one of a user: an image to be classified."""
    path, _, query = target.partition("?")
    return path.startswith(COUNTED_PATHS) and PROBE_QUERY not in query.split("&")
