"""The one settings tree of every process: what can be set, its bounds and its defaults.

``handlers.setting_values`` fills it: ``LUCIR_SERVING__PORT=9090`` in the environment, ``serving: {port: 9090}`` in the
file named by ``LUCIR_CONFIG`` or ``--config``.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field, SecretStr, field_validator
from pydantic.fields import FieldInfo

from handlers.serving_settings import Host, Secret, Section, ServingSettings
from handlers.serving_settings import SettingsError as SettingsError
from handlers.web_address import reachable, web_address

ENVIRONMENT_PREFIX = "LUCIR_"
CONFIG_VARIABLE = "LUCIR_CONFIG"
DAY = 86_400.0
"""Seconds."""
CENTURY = 36_525.0
"""Days: a date so long ago can still be written."""

Key = tuple[str, ...]
"""Where a setting stands in the tree, e.g. ``("serving", "port")``."""


class S3Settings(Section):
    """How to reach an S3 server when ``store`` is an ``s3://`` address."""

    endpoint: str = "http://127.0.0.1:9000"
    """Scheme, host and port; ``https`` turns TLS on."""
    region: str = "us-east-1"
    """Given always: without it every bucket costs an extra request."""
    access_key: Secret | None = None
    """Only from the environment or ``access_key_file``."""
    secret_key: Secret | None = None
    """Only from the environment or ``secret_key_file``."""
    access_key_file: Path | None = None
    """A file whose first line is the access key (a mounted Kubernetes secret)."""
    secret_key_file: Path | None = None
    """A file whose first line is the secret key."""
    ca_file: Path | None = None
    """Certificate authorities to trust instead of the system's."""
    connect_timeout_seconds: float = Field(5.0, gt=0, le=3600)
    """How long to wait for a connection."""
    read_timeout_seconds: float = Field(30.0, gt=0, le=3600)
    """How long to wait for the next bytes of an answer."""

    def credentials(self) -> tuple[str | None, str | None]:
        """(access key, secret key), read from their files where those are given."""
        return (
            _secret(self.access_key, self.access_key_file),
            _secret(self.secret_key, self.secret_key_file),
        )


class ImageLimits(Section):
    """What counts as an image; the same limits for requests and for drops."""

    max_bytes: int = Field(20 * 1024 * 1024, ge=1024, le=1024 * 1024 * 1024)
    """Largest file."""
    max_pixels: int = Field(50_000_000, ge=1, le=1_000_000_000)
    """Largest decoded image: a bomb is refused from its header, before it is decoded."""
    min_side: int = Field(4, ge=1, le=10_000)
    """Smallest width and height."""


class UpdaterSettings(Section):
    """The sidecar that learns."""

    host: Host = "127.0.0.1"
    """Address of the operator's page, ``/metrics`` and the status."""
    port: int = Field(8090, ge=1, le=65535)
    """Its port."""
    poll_seconds: float = Field(5.0, gt=0, le=DAY)
    """How often the store is listed when nothing woke the updater."""
    hints: bool = True
    """Listen to the store's notifications (MinIO and its forks; a folder's own events), to list at once on a change."""
    lease_seconds: float = Field(15.0, ge=1, le=DAY)
    """A standby takes over when the active updater has been silent for so long."""
    learns: bool = True
    """``false``: serves, shows its page and takes drops, but always stands by: another updater of the store learns, a
    job on a machine with a GPU for instance (``python -m handlers.updater --once``)."""
    pointer_seconds: float = Field(1.0, gt=0, le=DAY)
    """How often the pointer is read: a rollback takes effect within this and a worker's start."""
    settle_seconds: float = Field(10.0, ge=0, le=30 * DAY)
    """A class is ready when nothing below it is newer than this."""
    min_images: int | None = Field(None, ge=1, le=1_000_000)
    """A class with fewer images waits; default: 3 where the backbone is frozen (preset ``photo``), else 10."""

    def least_images(self, *, frozen: bool) -> int:
        """``min_images`` with its default filled in, for a backbone that is ``frozen`` or one that is trained."""
        if self.min_images is not None:
            return self.min_images
        return 3 if frozen else 10

    max_images_per_update: int = Field(200_000, ge=4, le=100_000_000)
    """A larger drop is learnt in several updates; the first of all needs two images of two classes."""
    metric_classes: int = Field(200, ge=1, le=1_000_000)
    """Classes that have series of their own in the metrics: those that are recognised worst, and those with most
    images waiting. The others share one series, ``(others)``."""
    evaluation_share: float = Field(0.2, gt=0, lt=0.9)
    """Share of each class that is held out for evaluation and never trained on."""
    evaluation_images_per_class: int = Field(50, ge=1, le=1_000_000)
    """At most so many held-out images per class; the rest is trained on."""
    token: Secret | None = None
    """Who sends it may change classes over HTTP; else only this machine. From the environment or ``token_file``."""
    token_file: Path | None = None
    """A file whose first line is the token (a mounted Kubernetes secret)."""

    def secret_token(self) -> SecretStr | None:
        """The token, read from its file where that is given."""
        token = _secret(self.token, self.token_file)
        return SecretStr(token) if token else None


class FollowerSettings(Section):
    """The sidecar of a serving replica, which mirrors and swaps versions and learns nothing."""

    host: Host = "127.0.0.1"
    """Address of its ``/metrics``, health and status."""
    port: int = Field(8091, ge=1, le=65535)
    """Its port."""
    pointer_seconds: float = Field(2.0, gt=0, le=DAY)
    """How often the pointer is read, give or take a quarter: the one request that an idle follower costs the store."""


class LearningSettings(Section):
    """What a phase does."""

    preset: str = "auto"
    """A preset of ``lucir_core`` by name: ``photo`` (a backbone trained on ImageNet; the head is computed in seconds),
    ``small`` (ResNet-32 from scratch at 32 pixels, for images that are not photographs), ``photo_scratch``, ``digits``.
    ``auto``: what the store was learnt with; for an empty one ``photo``, or ``small`` where its weights are missing."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Single values of the preset to change, e.g. ``{epochs: 40}``."""
    device: str = "auto"
    """``auto`` (CUDA where there is one), ``cpu`` or ``cuda:0``."""
    threads: int | None = Field(None, ge=1, le=1024)
    """CPU threads for training; default: all cores, one where the steps are too small to share."""
    nice: int = Field(10, ge=0, le=19)
    """Training yields to serving on a shared machine."""
    seed: int = Field(1993, ge=0, le=2**32 - 1)
    """Seed of the phase: order, augmentation, initial weights."""
    imprint_first: bool = False
    """Serve a provisional version, which knows the new classes by their mean features, until the phase is learnt.

    Off: each drop then swaps twice, and for some minutes answers are less accurate than either version beside it. Worth
    it where a phase takes long.
    """
    refine: Literal["auto", "on", "off"] = "auto"
    """Whether the last stages of a frozen backbone are refined while nothing else is to be done; the result is served
    only if it is surely better. ``auto``: where there is a GPU."""


class GateSettings(Section):
    """When a learnt version is refused."""

    max_old_accuracy_loss: float = Field(0.15, ge=0, le=1)
    """Most that the accuracy over old classes may fall against the served version."""
    min_new_accuracy: float = Field(0.3, ge=0, le=1)
    """Least accuracy over the new classes."""
    min_class_accuracy: float = Field(0.2, ge=0, le=1)
    """Least accuracy of each new or merged class, and of each old one that the served version answers better."""
    inconclusive: Literal["serve", "refuse"] = "serve"
    """What becomes of a version that misses a bound that lies within the 95 % interval of what was measured."""


class RetentionSettings(Section):
    """What is kept of the past; see ``handlers/retention/policy.py`` for what stays whatever stands here."""

    keep_versions: int = Field(10, ge=2, le=1_000_000)
    """Learnt versions that stay: so many of the served line, and so many of the newest, refused ones too."""
    keep_days: float = Field(0.0, ge=0, le=CENTURY)
    """A version younger than this stays however many there are."""
    archive_days: float | None = Field(None, gt=0, le=CENTURY)
    """Originals below ``archive/`` are deleted so long after their update ended; default: never."""
    rejected_days: float | None = Field(None, gt=0, le=CENTURY)
    """The same for ``rejected/``."""
    record_days: float = Field(90.0, gt=0, le=CENTURY)
    """Documents of an update are deleted so long after its end, once nothing that they tell of is left."""


class LabellingSettings(Section):
    """Images that answers were unsure of, kept on this machine until a person labels them on the page."""

    keep_images: int = Field(0, ge=0, le=1000)
    """At most so many, the newest; 0: none, for they are other people's. Engine and updater share the data folder then,
    and both must be able to write there: they lie in its folder ``unsure``."""
    keep_mb: int = Field(64, ge=1, le=1024 * 1024)
    """Their largest size together, in MiB."""
    keep_days: float = Field(7.0, gt=0, le=CENTURY)
    """They are deleted so long after they were asked."""
    below: float = Field(0.5, gt=0, le=1)
    """An image is kept where the best class is less probable than this, or where it is of no known class."""


class MinioSettings(Section):
    """The MinIO server that ``lucir up`` starts when it is asked to."""

    enabled: bool = False
    """Start one and keep the store in it: in the folder ``minio`` of the data folder, in the bucket ``lucir``."""
    port: int = Field(9000, ge=1, le=65535)
    """Its port on 127.0.0.1."""


class LogSettings(Section):
    """Structured logs on standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severe level that is written."""
    format: Literal["text", "json"] = "text"
    """``json`` writes one object a line, for a log collector."""


class Settings(Section):
    """All settings of a process: as given here, else by default. ``load_settings`` reads file and environment."""

    data: Path = Path("lucir-data")
    """Folder of everything local: the directory store, mirrored models, scratch space, sockets."""
    store: str = ""
    """``file:///path`` or ``s3://bucket``; default: the folder ``store`` in ``data``."""
    s3: S3Settings = S3Settings()
    serving: ServingSettings = ServingSettings()
    images: ImageLimits = ImageLimits()
    updater: UpdaterSettings = UpdaterSettings()
    follower: FollowerSettings = FollowerSettings()
    learning: LearningSettings = LearningSettings()
    gate: GateSettings = GateSettings()
    retention: RetentionSettings = RetentionSettings()
    labelling: LabellingSettings = LabellingSettings()
    minio: MinioSettings = MinioSettings()
    log: LogSettings = LogSettings()

    @field_validator("store")
    @classmethod
    def _check_store(cls, store: str) -> str:
        if store and not store.startswith(("file:///", "s3://")):
            raise ValueError(f"store is file:///path or s3://bucket, not {store!r}")
        return store

    @property
    def store_url(self) -> str:
        """The store's address, with its default filled in."""
        return self.store or (self.data.absolute() / "store").as_uri()

    @property
    def models_folder(self) -> Path:
        """TorchServe's local model store: one folder per mirrored version."""
        return self.data.absolute() / "models"

    @property
    def work_folder(self) -> Path:
        """The updater's scratch space."""
        return self.data.absolute() / "work"

    @property
    def run_folder(self) -> Path:
        """Sockets, logs and the record of the running stack."""
        return self.data.absolute() / "run"

    @property
    def inference_url(self) -> str:
        """Where to POST images, as seen from this machine."""
        return web_address(reachable(self.serving.host), self.serving.port)

    @property
    def updater_url(self) -> str:
        """Where the operator's page answers, as seen from this machine."""
        return web_address(reachable(self.updater.host), self.updater.port)

    @property
    def follower_url(self) -> str:
        """Where a follower's status answers, as seen from this machine."""
        return web_address(reachable(self.follower.host), self.follower.port)


def _secret(value: SecretStr | None, file: Path | None) -> str | None:
    if file is not None:
        try:
            first = file.read_text(encoding="utf-8").partition("\n")[0].strip()
        except (OSError, ValueError) as error:
            raise SettingsError(f"the secret file {file} cannot be read: {error}") from error
        if not first:
            raise SettingsError(f"the secret file {file} holds no secret: write it into the first line")
        return first
    return value.get_secret_value() if value is not None else None


def keys(separator: str = ".") -> list[str]:
    """Every key of the tree, e.g. ``serving.port``."""
    return [separator.join(path) for path in fields()]


def secret_keys() -> frozenset[str]:
    """The keys whose values nobody is shown: they stand on no command line and in no file that a program writes."""
    return frozenset(".".join(path) for path, field in fields().items() if Secret in get_args(field.annotation))


def is_text(path: Key) -> bool:
    """Whether the setting is a text, a path or a secret: taken as it stands, whatever YAML would read in it."""
    kinds = _kinds(path)
    return bool(kinds & {str, Path, Secret})


def is_mapping(path: Key) -> bool:
    """Whether the setting takes values of any names, as ``learning.overrides`` does."""
    return dict in {get_origin(kind) for kind in _kinds(path)}


def _kinds(path: Key) -> set[Any]:
    """What the setting may be; nothing for a path that is no setting."""
    field = fields().get(path)
    if field is None:
        return set()
    union = get_origin(field.annotation) in (Union, UnionType)
    return set(get_args(field.annotation)) if union else {field.annotation}


@cache
def fields() -> Mapping[Key, FieldInfo]:
    """Every setting of the tree by its path, e.g. ``("serving", "port")``."""
    return dict(_walk(Settings, ()))


def _walk(model: type[BaseModel], prefix: Key) -> Iterator[tuple[Key, FieldInfo]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _walk(field.annotation, (*prefix, name))
        else:
            yield (*prefix, name), field
