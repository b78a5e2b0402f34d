"""A file that somebody uploaded, on its way from the listing to the plan: each step adds what it finds out."""

from dataclasses import dataclass

from handlers.bucket.corrections import FOLDER as CORRECTIONS
from handlers.bucket.layout import ARCHIVE, READY_MARKER
from handlers.bucket.update_documents import Role
from model_store.objects import ObjectInfo


@dataclass
class UploadedFile:
    """Listed: where it lies, and of which class it is; read: its hash; judged: its role, or the reason against it."""

    info: ObjectInfo
    folder: str
    """The first part of its path below ``incoming/`` or ``evaluation/``; "" where it lies in no folder."""
    path: str
    """Its place below the folder."""
    class_name: str | None
    """None if the folder's name is not a valid class name."""
    reason: str | None = None
    """Why it is rejected: the name of its folder, its content, or what else was dropped."""
    sha256: str = ""
    """Of its content, once that was read."""
    role: Role | None = None
    """None leaves it where it is, to wait for more."""
    trouble: str | None = None
    """Why the store does not give this one object now: nothing is known of its content."""

    @property
    def key(self) -> str:
        """Of the object."""
        return self.info.key

    @property
    def is_marker(self) -> bool:
        """Whether this is the class's ``_READY``."""
        return self.path == READY_MARKER and self.class_name is not None

    @property
    def is_archived(self) -> bool:
        """Whether an earlier update archived it: it stays where it is."""
        return self.key.startswith(ARCHIVE)

    @property
    def corrects(self) -> bool:
        """Whether a person said of just this image that it is of this class (``lucir correct``)."""
        return self.path.startswith(f"{CORRECTIONS}/")

    @property
    def is_image(self) -> bool:
        """Whether it is usable as an image of its class, as far as is known."""
        return self.reason is None and not self.is_marker and self.class_name is not None
