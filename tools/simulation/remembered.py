"""Pure functions, of the product mostly, whose answers are kept: histories ask the same a hundred thousand times."""

import hashlib
import json
import pathlib
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from safetensors.numpy import load, save

from handlers.bucket import dropped_names, layout, seen_images
from handlers.bucket.seen_images import Learnt
from handlers.inference.image_file import header_pixels
from handlers.inference.preprocess import decode_square
from handlers.updater.context import way
from handlers.updater.context.troubled import Troubled
from handlers.updater.intake import listing, watch
from lucir_core.config import phase_config
from model_store import keys, local_files
from model_store.manifest import Document, FileRecord
from model_store.objects import ObjectInfo

PURE: tuple[Callable[..., Any], ...] = (
    dropped_names.class_name,
    dropped_names.why_left_alone,
    dropped_names.looks_like_another_kind,
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
        _put_in_place(function, lru_cache(maxsize=65_536)(function))
    _put_in_place(local_files.record, _record)
    watch.scan = _scan
    Document.model_validate_json = classmethod(_parsed)  # type: ignore[assignment]  # documents are frozen
    seen_images.safe_open, seen_images.save_file = Tensors, _save  # type: ignore[assignment]
    Learnt.load = classmethod(_load)  # type: ignore[method-assign,assignment]
    _remember_paths()
    way.load_preset = _preset
    phase_config.PhaseConfig.to_dict = lru_cache(phase_config.PhaseConfig.to_dict)  # type: ignore[method-assign]


def _put_in_place(function: Callable[..., Any], known: Callable[..., Any]) -> None:
    for module in [one for one in sys.modules.values() if getattr(one, function.__name__, None) is function]:
        setattr(module, function.__name__, known)


def _remember_paths() -> None:
    """What is made of paths; how one takes its words apart, in Python 3.11 and in 3.12: nobody changes the lists."""
    for name in ("__truediv__", "with_name"):
        setattr(pathlib.PurePath, name, lru_cache(maxsize=65_536, typed=True)(getattr(pathlib.PurePath, name)))
    flavour: Any = getattr(pathlib, "_posix_flavour", None)
    if flavour is not None:
        known = lru_cache(maxsize=8192)(lambda words, apart=flavour.parse_parts: apart(list(words)))
        flavour.parse_parts = lambda words: known(tuple(words))
    elif (apart := getattr(pathlib.PurePath, "_parse_path", None)) is not None:
        setattr(pathlib.PurePath, "_parse_path", staticmethod(lru_cache(maxsize=8192)(apart)))  # noqa: B010 (not ours)


class Listed:
    """A store of which only a listing is known."""

    url = "memory:"

    def __init__(self, listed: tuple[ObjectInfo, ...]) -> None:
        self._listed = listed

    def list(self, _: str) -> Iterator[ObjectInfo]:
        """All of it."""
        return iter(self._listed)


def _scan(objects: Any, troubled: Troubled) -> dict[str, listing.Folder]:
    """What lies in ``incoming/``: mostly what lay there before."""
    listed = tuple(objects.list(layout.INCOMING))
    if any(troubled.waits(one) for one in listed):
        return listing.scan(Listed(listed), troubled)  # type: ignore[arg-type]  # that is all it asks of a store
    return dict(_folders(listed))


@lru_cache(maxsize=1024)
def _folders(listed: tuple[ObjectInfo, ...]) -> dict[str, listing.Folder]:
    return listing.scan(Listed(listed))  # type: ignore[arg-type]


def _record(path: pathlib.Path) -> FileRecord:
    """Size and hash of a file."""
    return _recorded(path.read_bytes())


@lru_cache(maxsize=8192)
def _recorded(content: bytes) -> FileRecord:
    return FileRecord(size=len(content), sha256=hashlib.sha256(content).hexdigest())


@lru_cache(maxsize=8192)
def _known(kind: type[Document], data: bytes | str) -> Document:
    return BaseModel.model_validate_json.__func__(kind, data)  # type: ignore[attr-defined,no-any-return]


def _parsed(kind: type[Document], data: bytes | str, **_: object) -> Document:
    """The same bytes are the same document: processes read each other's again and again."""
    return _known(kind, data)


class Tensors:
    """``safetensors.safe_open`` of bytes: it reads no disk in memory."""

    def __init__(self, content: bytes, framework: str) -> None:
        del framework
        self._tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        self.metadata, self.get_tensor, self.keys = (
            lambda: header["__metadata__"],
            self._tensors.get,
            self._tensors.keys,
        )

    def __enter__(self) -> "Tensors":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


def _save(tensors: dict[str, Any], path: pathlib.Path, metadata: dict[str, str]) -> None:
    path.write_bytes(save(tensors, metadata))


_load_file: Any = Learnt.load


@lru_cache(maxsize=1024)
def _learnt(content: bytes) -> Learnt:
    learnt: Learnt = _load_file(content)  # ``Tensors`` takes it
    return learnt


def _load(_: type[Learnt], path: pathlib.Path) -> Learnt:
    """What lies in it; nobody changes the arrays."""
    return _learnt(path.read_bytes())


@lru_cache
def _known_preset(name: str, overrides: str) -> phase_config.PhaseConfig:
    return phase_config.load_preset(name, json.loads(overrides))


def _preset(name: str, overrides: Any) -> phase_config.PhaseConfig:
    return _known_preset(name, json.dumps(dict(overrides)))
