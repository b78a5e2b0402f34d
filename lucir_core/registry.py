"""A fixed table of named things (methods, networks): an unknown name is answered with the nearest known ones."""

import difflib
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from lucir_core.errors import ConfigError

T = TypeVar("T")


def nearest_names(name: str, known: Iterable[str]) -> str:
    """A sentence for an error message: the nearest known names, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names)}"


class Registry(Generic[T]):
    """Names to things of one kind, filled by decorators where the things are defined."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: make an object known under `name`; a name is given once only."""

        def add(entry: T) -> T:
            if name in self._entries:
                raise ConfigError(f"{self._kind} {name!r} is registered twice: choose another name")
            self._entries[name] = entry
            return entry

        return add

    def get(self, name: str) -> T:
        """The entry called `name`; raises ConfigError with the nearest names."""
        try:
            return self._entries[name]
        except KeyError:
            raise ConfigError(f"unknown {self._kind} {name!r}: {nearest_names(name, self._entries)}") from None

    def names(self) -> tuple[str, ...]:
        """All registered names, sorted."""
        return tuple(sorted(self._entries))
