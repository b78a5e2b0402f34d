"""Every metric of the updater, in a registry of its own."""

import math
from collections.abc import Mapping

from prometheus_client import Gauge

from handlers.torchserve.swap_metrics import ServingMetrics
from lucir_core.frozen.intervals import accuracy_interval
from model_store.manifest import Accuracy, Evaluation, Manifest

UPDATE_RESULTS = ("published", "refused", "rejected", "failed", "superseded")
REFINEMENTS = {
    "published": "published",
    "refused": "kept",
    "rejected": "not_possible",
    "failed": "failed",
    "superseded": "gave_way",
}
"""How an update ends that refines a backbone, in words of its own."""
KINDS = ("learnt", "provisional", "edited")
IMAGE_RESULTS = ("trained", "held_out", "rejected")
CLASSES = 200
"""Classes with a series of their own unless the settings say otherwise: somebody may drop any number of folders."""
OTHERS = "(others)"
"""All further ones together."""
_SECONDS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200)


class Metrics(ServingMetrics):
    """The metrics by name. A gauge that nothing is known of is NaN, which Prometheus shows as no value."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self._most_classes = classes
        self._last_published = 0.0
        self._make_accuracy()
        self._make_version()
        self._make_progress()
        self._make_flow()
        self.clear_version()
        self.phase_ended()

    def _make_accuracy(self) -> None:
        self.accuracy = self.gauge(
            "lucir_accuracy_ratio",
            "Top-1 accuracy of the current version's ONNX model over evaluation images.",
            ["scope", "readout"],
        )
        self.accuracy_bound = self.gauge(
            "lucir_accuracy_bound_ratio",
            "Bounds of the 95 % interval of the current version's accuracy over all classes.",
            ["bound"],
        )
        self.accuracy_images = self.gauge(
            "lucir_accuracy_images", "Images that the current version's accuracy was measured on."
        )
        self.unknown_false_alarms = self.gauge(
            "lucir_unknown_false_alarms_ratio",
            "Share of images of known classes that the current version calls unknown, where that was calibrated.",
        )
        self.calibration_error = self.gauge(
            "lucir_calibration_error_ratio",
            "Expected calibration error of the current version's probabilities, where that was measured.",
        )
        self.refused_accuracy = self.gauge(
            "lucir_refused_accuracy_ratio",
            "The same for the newest version that the gate refused.",
            ["scope", "readout"],
        )
        self.class_accuracy = self.gauge(
            "lucir_class_accuracy_ratio",
            "Accuracy of the current version by class: the worst ones, and the mean of the others.",
            ["class"],
        )
        self.shared_accuracy = self.gauge(
            "lucir_shared_accuracy_ratio",
            "Mean accuracy over the classes that the current version shares with its parent, of each of the two.",
            ["of"],
        )
        self.average_incremental = self.gauge(
            "lucir_average_incremental_accuracy_ratio",
            "Mean of the accuracy over all classes of every version that led to the current one.",
        )
        self.forgetting = self.gauge(
            "lucir_forgetting_ratio", "Mean over old classes of the best earlier accuracy minus the present one."
        )
        self.old_as_new = self.gauge("lucir_old_as_new_ratio", "Share of old-class images taken for a new class.")

    def _make_version(self) -> None:
        self.classes = self.gauge("lucir_classes", "Classes of the current version.")
        self.exemplars = self.gauge("lucir_exemplars", "Exemplars the current version keeps.")
        self.phase = self.gauge("lucir_phase", "Phases that led to the current version.")
        self.kind = self.gauge(
            "lucir_current_version_kind",
            "1 for the kind of the current version: learnt, provisional (imprinted only) or edited.",
            ["kind"],
        )

    def _make_progress(self) -> None:
        self.progress = self.gauge("lucir_phase_progress_ratio", "How far the running phase is; 0 while none runs.")
        self.phase_duration = self.histogram(
            "lucir_phase_duration_seconds", "Duration of the learning phases.", buckets=_SECONDS
        )
        self.moved = self.gauge(
            "lucir_update_moved_timestamp_seconds",
            "When the running update last began a step or told of progress; 0 while none runs.",
        )
        self.loss = self.gauge("lucir_loss", "Losses of the running phase.", ["component"])
        self.lambda_ = self.gauge("lucir_lambda", "Weight of the less-forget loss in the running phase.")
        self.eta = self.gauge("lucir_eta", "The learnt scale of the cosines.")

    def _make_flow(self) -> None:
        self.images = self.counter("lucir_images", "Dropped files by what became of them.", ["result"])
        self.waiting = self.gauge("lucir_waiting_images", "Images below incoming/ that wait, by class.", ["class"])
        self.updates = self.counter("lucir_updates", "Updates by how they ended.", ["result"])
        self.refinements = self.counter(
            "lucir_refinements", "Refinements of a frozen backbone by how they ended.", ["result"]
        )
        self.drop_to_served = self.histogram(
            "lucir_drop_to_served_seconds",
            "From the arrival of a drop's last file to its classes being served.",
            buckets=_SECONDS,
        )
        self.drop_to_provisional = self.histogram(
            "lucir_drop_to_provisional_seconds",
            "The same to a provisional version that knows its new classes, where there is one.",
            buckets=_SECONDS,
        )
        self.versions = self.counter(
            "lucir_versions", "Versions made, by kind, and by what the gate said of them.", ["kind", "result"]
        )
        self.store_hints = self.counter(
            "lucir_store_hints", "Notifications of the store that made the updater look at once."
        )
        self.active = self.gauge("lucir_updater_active", "1: this updater learns; 0: it stands by for another one.")
        self.failures = self.gauge(
            "lucir_updater_failures",
            "Tries in a row that failed: the updater waits and tries again; 0 while all is well.",
        )
        self.last_success = self.gauge("lucir_last_success_timestamp_seconds", "When a version was last published.")
        for counter, results in (
            (self.images, IMAGE_RESULTS),
            (self.updates, UPDATE_RESULTS),
            (self.refinements, tuple(REFINEMENTS.values())),
        ):
            for result in results:
                counter.labels(result)
        for kind in KINDS:
            for result in ("passed", "inconclusive", "refused"):
                self.versions.labels(kind, result)

    def show_version(self, manifest: Manifest, evaluation: Evaluation, parent: Evaluation | None = None) -> None:
        """Let the gauges tell of the current version; ``parent`` is None where there is none, or not any more."""
        self.current_version.set(manifest.version)
        for kind in KINDS:
            self.kind.labels(kind).set(kind == manifest.kind)
        self.published(manifest.created_at.timestamp())
        _set_accuracy(self.accuracy, evaluation)
        self.accuracy_images.set(evaluation.images)
        served = evaluation.cnn if manifest.readout == "cnn" else evaluation.nme
        interval = accuracy_interval(served.all, evaluation.class_images, left_out=bool(evaluation.left_out))
        self.accuracy_bound.labels("low").set(interval.low)
        self.accuracy_bound.labels("high").set(interval.high)
        calibration = manifest.calibration
        self.unknown_false_alarms.set(_or_nan(None if calibration is None else calibration.false_alarms))
        self.calibration_error.set(_or_nan(None if calibration is None else calibration.calibration_error))
        self._show_classes(evaluation.class_accuracy)
        self._show_shared(evaluation, parent)
        self.average_incremental.set(average(evaluation.history))
        self.forgetting.set(evaluation.forgetting)
        self.old_as_new.set(_or_nan(evaluation.old_as_new))
        self.classes.set(len(manifest.classes))
        self.exemplars.set(sum(manifest.counts.exemplars.values()))
        self.phase.set(len(evaluation.history))

    def published(self, timestamp: float) -> None:
        """Note when a version was published. The newest counts: a rollback does not set the time back."""
        self._last_published = max(self._last_published, timestamp)
        self.last_success.set(self._last_published)

    def _show_classes(self, accuracy: Mapping[str, float]) -> None:
        self.class_accuracy.clear()
        worst = sorted(accuracy, key=lambda name: (accuracy[name], name))
        for name in worst[: self._most_classes]:
            self.class_accuracy.labels(name).set(accuracy[name])
        if rest := worst[self._most_classes :]:
            self.class_accuracy.labels(OTHERS).set(sum(accuracy[name] for name in rest) / len(rest))

    def _show_shared(self, evaluation: Evaluation, parent: Evaluation | None) -> None:
        self.shared_accuracy.clear()
        if parent is None:
            return
        shared = [name for name in evaluation.class_accuracy if name in parent.class_accuracy]
        for of, one in (("current", evaluation), ("parent", parent)):
            if shared:
                self.shared_accuracy.labels(of).set(sum(one.class_accuracy[name] for name in shared) / len(shared))

    def show_refused(self, evaluation: Evaluation) -> None:
        """Remember what a refused version reached."""
        _set_accuracy(self.refused_accuracy, evaluation)

    def clear_version(self) -> None:
        """Nothing has been learnt yet."""
        self.current_version.set(0)
        self.kind.clear()
        self.accuracy.clear()
        self.accuracy_bound.clear()
        self.class_accuracy.clear()
        self.shared_accuracy.clear()
        unmeasured = (self.average_incremental, self.forgetting, self.old_as_new)
        for gauge in (*unmeasured, self.unknown_false_alarms, self.calibration_error):
            gauge.set(math.nan)
        for gauge in (self.accuracy_images, self.classes, self.exemplars, self.phase):
            gauge.set(0)

    def phase_progress(
        self, ratio: float, losses: Mapping[str, float], lambda_: float | None, eta: float | None
    ) -> None:
        """Show the progress of a running phase; losses that the phase does not have keep no value."""
        self.moves()
        self.progress.set(ratio)
        for name, value in losses.items():
            self.loss.labels(name).set(value)
        if lambda_ is not None:
            self.lambda_.set(lambda_)
        if eta is not None:
            self.eta.set(eta)

    def moves(self) -> None:
        """The running update begins a step, or goes on with one."""
        self.moved.set_to_current_time()

    def phase_ended(self) -> None:
        """No phase runs: the progress returns to 0; the last losses, lambda and eta stay."""
        self.progress.set(0)
        self.moved.set(0)

    def show_waiting(self, images: Mapping[str, int]) -> None:
        """Images by class that wait; classes that do not any more disappear."""
        self.waiting.clear()
        largest = sorted(images, key=lambda name: (-images[name], name))
        for name in largest[: self._most_classes]:
            self.waiting.labels(name).set(images[name])
        if rest := largest[self._most_classes :]:
            self.waiting.labels(OTHERS).set(sum(images[name] for name in rest))


def average(history: tuple[float, ...]) -> float:
    """The average incremental accuracy: the mean over the versions of a line."""
    return sum(history) / len(history) if history else math.nan


def _set_accuracy(gauge: Gauge, evaluation: Evaluation) -> None:
    gauge.clear()
    readouts: tuple[tuple[str, Accuracy], ...] = (("cnn", evaluation.cnn), ("nme", evaluation.nme))
    for readout, accuracy in readouts:
        for scope, value in (("all", accuracy.all), ("old", accuracy.old), ("new", accuracy.new)):
            if value is not None:
                gauge.labels(scope, readout).set(value)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
