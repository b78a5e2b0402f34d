"""What the updater tells its learning child (``task.json``) and hears from it (``result.json``)."""

from pathlib import Path
from typing import Any, Self

from pydantic import JsonValue

from handlers.bucket.edit_documents import Operation
from handlers.settings import LogSettings
from handlers.updater.context.candidate import Kind
from model_store.local_files import write_whole
from model_store.manifest import Document, Refinement

TASK, RESULT, STATE = "task.json", "result.json", "state"


class Message(Document):
    """What one of the two tells the other, as a file."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file that ``write`` wrote."""
        return cls.model_validate_json(path.read_bytes())

    def write(self, path: Path) -> None:
        """Write the file; it is there whole, or not at all."""
        write_whole(path, self.model_dump_json(indent=2))


class Task(Message):
    """What to make. ``identity`` tells whether work that an earlier process left may be continued."""

    kind: Kind
    arrays: str
    """Folder of the prepared arrays."""
    preset: str
    overrides: dict[str, Any]
    seed: int
    classes: tuple[str, ...]
    parent: str | None
    """Folder of the version that learning starts from."""
    parent_version: int | None
    forgotten: tuple[str, ...] = ()
    """``image_digest`` (hex) of images that leave the class that they were learnt as, before they are learnt anew."""
    refines: bool = False
    """Whether the backbone of ``parent`` is refined with its own images."""
    needs_gpu: bool = False
    """Whether that is not to be done on a processor."""
    device: str
    threads: int | None
    nice: int
    log: LogSettings = LogSettings()

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that the result depends on."""
        return self.model_dump(
            include={"kind", "preset", "overrides", "seed", "classes", "parent_version", "forgotten", "refines"}
        )


class EditTask(Message):
    """``task.json`` of an edit."""

    operation: Operation
    parent: str
    """Folder of the version that is edited."""
    digests: tuple[str, ...]
    """``image_digest`` (hex) of the images to take out."""
    learnt: tuple[str, ...]
    """Hashes of the images to forget."""
    threads: int | None
    log: LogSettings = LogSettings()


class Result(Message):
    """What the child made, besides the files; written last."""

    config: dict[str, JsonValue]
    method: str
    exemplars: dict[str, int]
    calibration: dict[str, float | None] | None = None
    """With a frozen backbone: what its probabilities and its "unknown" are worth (``model_store.manifest``)."""
    advice: str | None = None
    """From scratch: what a frozen pretrained backbone would reach on these images, where that is more."""
    refinement: Refinement | None = None
    """What refining the backbone changed, where that is what was asked for."""
    seconds: dict[str, float]
    software: dict[str, str]
