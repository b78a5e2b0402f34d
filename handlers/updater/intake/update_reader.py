"""The reader of an update, apart from ``Reader`` itself, which the learning child imports without the context."""

from handlers.updater.context.update import Update
from handlers.updater.intake.reader import Reader


def update_reader(update: Update, resize: int) -> Reader:
    """Reads images as a model wants them whose images have this side, in pixels."""
    update.folder.mkdir(parents=True, exist_ok=True)
    return Reader(update.services.objects, update.services.settings.images, resize, update.folder)
