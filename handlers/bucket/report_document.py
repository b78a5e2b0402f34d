"""``report.json``: what came in, what was rejected and why, accuracy before and after, what is confused with what."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from model_store.manifest import Document, Gate, Refinement, StoredDocument

REPORT_JSON, REPORT_HTML = "report.json", "report.html"


class Incoming(Document):
    """What came in for a class."""

    name: str
    state: Literal["new", "known", "none"]
    """New with this version, known before, or without a class: everything in its folder was rejected."""
    trained: int
    held_out: int
    rejected: int
    archived: int = 0
    """Of those learnt and held out, how many an earlier update had archived: refused then, or learnt again."""


class Rejection(Document):
    """Files rejected for one reason."""

    reason: str
    count: int
    examples: tuple[str, ...]
    """Keys, as they lay in ``incoming/``."""


class Change(Document):
    """Accuracy of a class, as it was measured on the version before and on this one."""

    name: str
    is_new: bool
    images: int
    before: float | None
    after: float | None
    interval: tuple[float, float] | None = None
    """95 % interval of ``after``, for so many images; None in reports of earlier releases."""


class Figures(Document):
    """Accuracy over all, old and new classes, by readout."""

    before_old: float | None
    """What the version before reached on the same images of the old classes."""
    all: float
    old: float | None
    new: float | None
    nearest_mean: float
    """Accuracy of the nearest-mean readout over all classes."""
    forgetting: float
    images: int
    interval: tuple[float, float] | None = None
    """95 % interval of ``all``, for so many images; None in reports of earlier releases."""


class Taken(Document):
    """How images of old and of new classes were answered."""

    old_right: int
    old_as_old: int
    """Old classes taken for another old one."""
    old_as_new: int
    new_right: int
    new_as_new: int
    new_as_old: int


class Confusion(Document):
    """Images of one class taken for another."""

    true: str
    predicted: str
    count: int
    kind: Literal["old as old", "old as new", "new as old", "new as new"]


class Mistake(Document):
    """A held-out image and what it was taken for."""

    true: str
    predicted: str
    probability: float
    png: str = Field(repr=False)
    """The image, base64."""


class LooksLike(Document):
    """An image whose nearest neighbours have another label."""

    key: str | None
    """Where it lies; None where that is not known."""
    name: str
    looks_like: str
    margin: float
    """How much more of its neighbours' votes the other class has, 0 to 1."""


class LooksSame(Document):
    """An image of this update that looks the same as one of another class, or as one that the version is judged by."""

    key: str | None
    name: str
    other_key: str | None
    other: str
    cosine: float


class MayBeMistaken(Document):
    """Two classes that will be taken for one another."""

    name: str
    other: str
    share: float
    """Of the neighbours' votes on their images, the share that goes to the wrong one of the two."""


class Doubts(Document):
    """What is odd about the labels of this update's images; lists begin with the clearest and have at most 50 rows."""

    judged: int
    """Images of this update in classes that are large enough to tell."""
    share: float
    """Of these, the share that looks mislabelled."""
    mislabelled: tuple[LooksLike, ...]
    left_out: int
    duplicates: tuple[LooksSame, ...]
    lookalikes: tuple[MayBeMistaken, ...]


class Report(StoredDocument):
    """``report.json``."""

    version: int
    parent: int | None
    update_id: str
    kind: Literal["learnt", "provisional", "edited"]
    asked: str | None
    """What a person asked for, where that is what the update was about."""
    created_at: datetime
    new_classes: tuple[str, ...]
    updated_classes: tuple[str, ...]
    class_count: int
    incoming: tuple[Incoming, ...]
    incoming_left_out: int
    """Classes that are not listed, for there are too many."""
    rejections: tuple[Rejection, ...]
    rejections_left_out: int
    accuracy: Figures
    gate: Gate
    taken: Taken
    confusions: tuple[Confusion, ...]
    """The most frequent ones."""
    matrix: tuple[tuple[int, ...], ...] | None
    """Counts, [true][predicted] in the order of ``matrix_classes``; None where it would be too large to look at."""
    matrix_classes: tuple[str, ...]
    classes: tuple[Change, ...]
    """The ones that changed most first."""
    classes_left_out: int
    mistakes: tuple[Mistake, ...]
    seconds: dict[str, float]
    doubts: Doubts | None = None
    """Only of versions with a frozen backbone."""
    advice: str | None = None
    """Of a version from scratch: what a frozen pretrained backbone would reach, where that is more."""
    refinement: Refinement | None = None
    """Of a version whose backbone was refined: what that changed."""
