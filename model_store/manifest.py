"""What a version says about itself: the documents beside each model and the pointer to the served one."""

from datetime import UTC, datetime
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_serializer, model_validator

from model_store.forms.confusion import StoredConfusion

FORMAT: Final = 1
"""What this release writes, but for a kind of document with a ``HIGHEST`` of its own. A higher number is refused with
the advice to upgrade: what it means is not known here. A release that only adds fields keeps the number, and they are
passed over by those that do not know them; one that changes what a field means, or may hold, raises it and still reads
the lower ones (docs/upgrade.md)."""

Ratio = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def now() -> datetime:
    """The present time, in UTC."""
    return datetime.now(UTC)


class Document(BaseModel):
    """A JSON document of the store, or a part of one: immutable. Fields that are not known are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class StoredDocument(Document):
    """A whole document of the store."""

    HIGHEST: ClassVar[int] = FORMAT
    """The highest format of this kind that this release reads."""
    format: int = Field(FORMAT, ge=1)
    """Where it is missing, the document is older than formats are."""

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if self.format > self.HIGHEST:
            raise ValueError(f"format {self.format} is above {self.HIGHEST}")
        return self


class Preprocessing(Document):
    """How an image becomes the model's input: shorter side to ``resize``, centre crop of ``size``, RGB, uint8."""

    size: int = Field(ge=8, le=1024)
    resize: int = Field(ge=8, le=2048)
    crop: Literal["center"] = "center"
    interpolation: Literal["bilinear", "bicubic", "lanczos", "nearest"] = "bilinear"


class FileRecord(Document):
    """A file of a version, as its readers verify it."""

    size: int = Field(ge=0)
    sha256: Sha256


class Counts(Document):
    """How many images of each class, by name: trained on, held out, kept as exemplars."""

    train: dict[str, int]
    holdout: dict[str, int]
    exemplars: dict[str, int]


class Calibration(Document):
    """What a version's probabilities and its "unknown" are worth, measured by leaving each learnt image out in turn."""

    images: int = Field(ge=0)
    temperature: float
    """What the scores are divided by before the softmax, in the graph already."""
    calibration_error: Ratio
    """Expected calibration error of the best class's probability."""
    known_cosine: float | None
    """An image is unknown when the model's output ``known`` is below this, or, for a model without that output, its
    cosine to the nearest class mean; None: too few images to tell."""
    false_alarms: Ratio | None
    """Share of known images that are called unknown."""


class Refinement(Document):
    """What refining a frozen backbone changed, on images that no backbone has learnt from."""

    images: int = Field(ge=1)
    before: Ratio
    """Share of them that a head on the backbone as it was answers rightly; both heads are made without these images."""
    after: Ratio
    low: float
    """Lower bound of ``after - before``, 95 %, over the same images."""
    high: float
    learnt_from: int = Field(ge=0)
    """Images that the last stages were trained on."""

    @property
    def is_surely_better(self) -> bool:
        """Whether the interval lies above zero."""
        return self.low > 0

    def __str__(self) -> str:
        return (
            f"{100 * self.after:.1f} against {100 * self.before:.1f} % on {self.images} images, difference "
            f"{100 * (self.after - self.before):+.1f} ({100 * self.low:+.1f} to {100 * self.high:+.1f})"
        )


class Manifest(StoredDocument):
    """``versions/<n>/manifest.json``, written last: a version without it does not exist."""

    version: int = Field(ge=1)
    kind: Literal["learnt", "provisional", "edited"] = "learnt"
    """Trained; imprinted only, until the trained version of the same drop follows; or a known version with classes or
    images taken out or renamed, without training."""
    parent: int | None
    update_id: str
    created_at: datetime
    classes: tuple[str, ...] = Field(min_length=2)
    """Class names in the order of the model's outputs."""
    new_classes: tuple[str, ...]
    updated_classes: tuple[str, ...]
    preprocessing: Preprocessing
    readout: Literal["cnn", "nme"]
    """Which output answers requests."""
    calibration: Calibration | None = None
    """Only of a version with a frozen backbone."""
    refinement: Refinement | None = None
    """Only of a version that is the one before with its backbone refined."""
    method: str
    config: dict[str, JsonValue]
    counts: Counts
    files: dict[str, FileRecord]
    software: dict[str, str]
    timings: dict[str, float]
    """Seconds, by step."""


class Accuracy(Document):
    """Top-1 over held-out images; ``old`` and ``new`` are None where the phase had none."""

    all: Ratio
    old: Ratio | None
    new: Ratio | None


class Gate(Document):
    """Whether a version may be served, and if not, why."""

    passed: bool
    reasons: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    """Bounds that were missed on too few images to tell."""

    @property
    def answer(self) -> Literal["passed", "refused", "inconclusive"]:
        """In one word; an inconclusive version is served unless ``gate.inconclusive`` says otherwise."""
        if not self.passed:
            return "refused"
        return "inconclusive" if self.undecided else "passed"


class Evaluation(StoredDocument):
    """``versions/<n>/evaluation.json``: measured on the exported ONNX model.

    Format 2 holds of the confusion only what is not zero; it is written where classes are many.
    """

    HIGHEST: ClassVar[int] = 2

    version: int
    parent: int | None
    images: int
    cnn: Accuracy
    nme: Accuracy
    class_accuracy: dict[str, Ratio]
    """By class name, of the served readout."""
    class_best: dict[str, Ratio]
    """The best any version of this line reached on a class, this one included: what forgetting is measured against."""
    old_as_new: Ratio | None
    """Share of old-class images taken for a new class: the bias LUCIR exists to remove."""
    forgetting: float
    """Mean over old classes of (best earlier accuracy - present accuracy)."""
    history: tuple[Ratio, ...]
    """``all`` accuracy of every phase of this line, this one last; its mean is the average incremental accuracy. A
    provisional version is not a phase: it has its parent's."""
    parent_old: Ratio | None
    """What the parent reached on the old classes, on the same images: what the gate compares with."""
    confusion: StoredConfusion
    """By the places of the classes in the output. Also made from a table of counts, [true class][predicted class]."""
    gate: Gate
    left_out: int = Field(0, ge=0)
    """How many of the images were learnt from, each of them answered by a model made without it."""

    @property
    def class_images(self) -> tuple[int, ...]:
        """On how many images each class was measured, in output order."""
        return tuple(self.confusion.measured())

    @field_serializer("format")
    def _written_format(self, _: int) -> int:
        return self.HIGHEST if self.confusion.is_large else FORMAT


class Pointer(StoredDocument):
    """``versions/current.json``: what every server is to serve."""

    version: int = Field(ge=1)
    previous: int | None
    reason: str
    changed_at: datetime
    epoch: int | None = None
    """The highest epoch (term of the lease) of the updaters that wrote the pointer; None where none had one."""
    removing: tuple[int, ...] = ()
    """Versions whose removal is decided: the pointer may not name them, and any process may complete the removal."""
