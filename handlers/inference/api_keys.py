"""API keys of predictions: where any are set, a request must carry one. Standard library only."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

DIGESTS_VARIABLE: Final = "LUCIR_API_KEY_DIGESTS"
"""Tells a worker the SHA-256 of each key, so that no key lies in its environment."""
WITHOUT_KEY: Final = "send one of this service's API keys as the header authorization: Bearer KEY, or as x-api-key"


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """digests: SHA-256 of each key, in hex; without any, everybody may."""

    digests: tuple[str, ...] = ()

    @classmethod
    def of(cls, keys: Iterable[str]) -> "ApiKeys":
        """From the keys themselves."""
        return cls(tuple(hashlib.sha256(key.encode()).hexdigest() for key in keys))

    @classmethod
    def read(cls, text: str | None) -> "ApiKeys":
        """From what ``write`` wrote into a variable."""
        return cls(tuple((text or "").split()))

    def write(self) -> str:
        """For a variable of the environment."""
        return " ".join(self.digests)

    def allow(self, headers: Mapping[str, Any]) -> bool:
        """Whether a request with these headers may be answered. Values that are not text are skipped."""
        if not self.digests:
            return True
        plain = {name.lower(): value for name, value in headers.items() if isinstance(value, str)}
        scheme, _, token = plain.get("authorization", "").partition(" ")
        sent = [plain.get("x-api-key", ""), token.strip() if scheme.lower() == "bearer" else ""]
        digests = [hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest() for key in sent if key]
        return any(hmac.compare_digest(digest, known) for digest in digests for known in self.digests)
