"""What the updater tells its editing child; the answer is ``handlers.updater.training.messages.Result``."""

from typing import Literal

from handlers.bucket.edit_documents import Operation
from handlers.updater.training.messages import Message


class EditTask(Message):
    """``task.json`` of an edit."""

    operation: Operation
    base: str
    """Folder of the version that is edited."""
    digests: tuple[str, ...]
    """``image_digest`` (hex) of the pictures to take out."""
    learnt: tuple[str, ...]
    """Hashes of the images to forget."""
    threads: int | None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    log_format: Literal["text", "json"]
