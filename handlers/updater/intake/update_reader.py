"""The reader of an update, apart from ``Reader`` itself, which the learning child imports without the context."""

from handlers.updater.context.update import Update
from handlers.updater.intake.reader import Reader


def update_reader(update: Update) -> Reader:
    """Reads images as this update's model wants them."""
    update.folder.mkdir(parents=True, exist_ok=True)
    services = update.services
    return Reader(services.objects, services.settings.images, services.config.resize, update.folder)
