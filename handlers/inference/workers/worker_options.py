"""The settings that a worker is told, whichever engine starts it."""

from handlers.inference.image_limits import Limits
from handlers.inference.sessions.copy_choice import CopyRules
from handlers.inference.workers.worker import WorkerOptions
from handlers.labelling.unsure_images import UnsureRules
from handlers.settings import Settings


def worker_options(settings: Settings) -> WorkerOptions:
    """From the settings tree."""
    limits, serving = settings.images, settings.serving
    return WorkerOptions(
        Limits(limits.max_bytes, limits.max_pixels, limits.min_side),
        serving.top_k,
        serving.threads,
        CopyRules.of(serving.copies, serving.copy_max_changes, serving.copy_max_probability_change),
        UnsureRules.of(settings.labelling, settings.data),
    )
