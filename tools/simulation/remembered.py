"""Pure functions of the product whose answers are kept: histories ask them the same a hundred thousand times."""

import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from handlers.bucket import dropped_names, layout
from handlers.inference.image_file import header_pixels
from handlers.inference.preprocess import decode_square
from handlers.updater.context import way
from lucir_core.config import phase_config
from model_store import keys
from model_store.manifest import Document

PURE: tuple[Callable[..., Any], ...] = (
    dropped_names.why_left_alone,
    dropped_names.looks_like_another_kind,
    layout.class_name,
    layout.safe_segment,
    layout.split_incoming,
    keys.check_key,
    keys.check_folder,
    keys.check_prefix,
    header_pixels,
    decode_square,
)
"""Of strings, or of the bytes of an image. What they raise is not kept."""


def remember() -> None:
    """Put them in place, wherever they were imported; in this process and for good."""
    for function in PURE:
        known = lru_cache(maxsize=65_536)(function)
        for module in [one for one in sys.modules.values() if getattr(one, function.__name__, None) is function]:
            setattr(module, function.__name__, known)
    Document.model_validate_json = classmethod(_parsed)  # type: ignore[assignment]  # documents are frozen
    way.load_preset = _preset
    phase_config.PhaseConfig.to_dict = lru_cache(phase_config.PhaseConfig.to_dict)  # type: ignore[method-assign]


@lru_cache(maxsize=8192)
def _known(kind: type[Document], data: bytes | str) -> Document:
    return BaseModel.model_validate_json.__func__(kind, data)  # type: ignore[attr-defined,no-any-return]


def _parsed(kind: type[Document], data: bytes | str, **_: object) -> Document:
    """The same bytes are the same document: processes read each other's again and again."""
    return _known(kind, data)


@lru_cache
def _plain_preset(name: str) -> phase_config.PhaseConfig:
    return phase_config.load_preset(name)


def _preset(name: str, overrides: Any) -> phase_config.PhaseConfig:
    return phase_config.load_preset(name, overrides) if overrides else _plain_preset(name)
