"""The branch ``serving`` of the settings tree, and what every branch is made of."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from handlers.web_address import host_name

Host = Annotated[str, AfterValidator(host_name)]
"""An address or a name to listen on."""


class SettingsError(ValueError):
    """A setting is unknown or has a wrong value; the message names it and what is allowed."""


def _unmasked(secret: SecretStr) -> SecretStr:
    """Refuse what a program writes in a secret's place: everybody could guess it."""
    text = secret.get_secret_value()
    if text and not text.strip("*"):
        raise ValueError("these asterisks stand for a secret, they are none: some program wrote them; give the secret")
    return secret


Secret = Annotated[SecretStr, AfterValidator(_unmasked)]
"""A text that is shown nowhere."""


class Section(BaseModel):
    """A branch of the tree: typed, immutable, closed."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _words(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML reads ``on`` and ``off`` as true and false: where they are words to choose from, they are words.

        Where a number is wanted, they are none: not 1 and 0.
        """
        if not isinstance(value, bool):
            return value
        kind = cls.model_fields[info.field_name or ""].annotation
        choices, word = get_args(kind), "on" if value else "off"
        if {int, float} & {kind, *choices}:
            raise ValueError(f"a number is wanted, not {word}")
        return word if word in choices else value


class ServingSettings(Section):
    """The serving engine and the classifier inside it."""

    engine: Literal["torchserve", "uvicorn"] = "torchserve"
    """What answers requests: TorchServe, or a server of our own in Python, without Java."""
    host: Host = "127.0.0.1"
    """Address that inference and the engine's metrics listen on."""
    port: int = Field(8080, ge=1, le=65535)
    """Inference port."""
    metrics_port: int = Field(8082, ge=1, le=65535)
    """The engine's own Prometheus port."""
    management_socket: Path | None = None
    """Unix socket of the management API; default: ``run/management.sock`` in the data folder."""
    workers: int | None = Field(None, ge=1, le=1024)
    """Processes that decode and classify; default: one, with ``uvicorn`` one for each core, at most 4."""
    threads: int = Field(1, ge=1, le=1024)
    """ONNX Runtime threads per worker."""
    copies: Literal["auto", "off"] = "auto"
    """Whether a faster copy of a version's network may answer, where it agrees with the published one here."""
    copy_max_changes: float = Field(0.02, ge=0, le=1)
    """Largest share of the compared images that a copy may give another best class."""
    copy_max_probability_change: float = Field(0.05, ge=0, le=1)
    """Largest difference of a probability or a cosine that a copy may have on any compared image."""
    batch_size: int = Field(16, ge=1, le=256)
    """Most requests that are answered together."""
    batch_delay_ms: int = Field(2, ge=1, le=1000)
    """How long a batch waits to fill; ``uvicorn`` never waits: what queued up while a batch ran is the next."""
    max_request_mb: int = Field(20, ge=1, le=1024)
    """Largest request body, in MiB."""
    queue_size: int = Field(200, ge=1, le=1_000_000)
    """Requests that may wait; those beyond are answered 429 (``uvicorn``) or 503 (TorchServe)."""
    response_timeout_seconds: int = Field(30, ge=1, le=86_400)
    """After this a worker that does not answer is restarted."""
    drain_seconds: float = Field(5.0, ge=0, le=600)
    """After SIGTERM or Ctrl-C the server says that it is not ready and goes on to answer until no client is connected,
    at most for so long; then requests under way are finished and it ends."""
    body_seconds: float = Field(30.0, gt=0, le=86_400)
    """With ``uvicorn``: how long a request's body may take to arrive."""
    max_connections: int = Field(1000, ge=1, le=1_000_000)
    """With ``uvicorn``: connections at once; those beyond are answered 503."""
    top_k: int = Field(5, ge=1, le=1_000_000)
    """Predictions per image when the request does not say."""
    api_key: Secret | None = None
    """Requests for predictions must carry it. Only from the environment or ``api_key_file``."""
    api_key_file: Path | None = None
    """A file of keys, one a line: a new one is added before the old one goes."""
    open_access: bool = False
    """Answer everybody without a key also on an address that other machines reach; else the engine does not start."""
    cors_origins: tuple[str, ...] = ()
    """Web pages of these origins may ask, e.g. ``["https://example.org"]``; ``["*"]``: of all. TorchServe takes one."""

    def keys(self) -> tuple[str, ...]:
        """The API keys; none: no key is asked for. Raises ``SettingsError`` for a file that holds none."""
        if self.api_key_file is None:
            return (self.api_key.get_secret_value(),) if self.api_key is not None else ()
        try:
            lines = self.api_key_file.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise SettingsError(f"the file of API keys {self.api_key_file} cannot be read: {error}") from error
        found = tuple(line.strip() for line in lines if line.strip())
        if not found:
            raise SettingsError(f"the file of API keys {self.api_key_file} holds no key: write one a line")
        return found

    def authorization(self) -> dict[str, str]:
        """The headers with which a process of the service asks its own engine."""
        keys = self.keys()
        return {"authorization": f"Bearer {keys[0]}"} if keys else {}
