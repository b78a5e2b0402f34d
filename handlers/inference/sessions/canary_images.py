"""The images that travel with a version (``canary.json``), and what its network answered where it was evaluated."""

import base64
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

CANARY_FILE: Final = "canary.json"
COMPARED: Final = ("probabilities", "cosines", "prototype_cosines", "known")
"""The outputs that a copy has to have as the published network has them."""


@dataclass(frozen=True, slots=True)
class CanaryImages:
    """images: (n, size, size, 3). ``answers``: (n, ...) by output; None where the version was published without."""

    images: NDArray[np.uint8]
    answers: Mapping[str, NDArray[np.float32]] | None

    @classmethod
    def read(cls, folder: Path, prepare: Callable[[bytes], NDArray[np.uint8]]) -> Self | None:
        """Of the version in ``folder``; ``prepare`` makes its input of an image file. None where there are none."""
        path = folder / CANARY_FILE
        try:
            documents = json.loads(path.read_text(encoding="utf-8"))["pictures"]
            images = [prepare(base64.b64decode(each["png"])) for each in documents]
            answers = _answers(documents)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("no copy is compared: %s cannot be read (%s)", path, error)
            return None
        return cls(np.stack(images), answers) if images else None


def _answers(documents: list[dict[str, Any]]) -> dict[str, NDArray[np.float32]] | None:
    outputs = [each["outputs"] for each in documents if each.get("outputs")]
    if not outputs or len(outputs) < len(documents):
        return None
    return {name: np.array([each[name] for each in outputs], np.float32) for name in COMPARED if name in outputs[0]}
