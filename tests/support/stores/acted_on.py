"""A store in which something happens right before a call: a kill, another process, a person."""

from collections.abc import Callable
from typing import Any

from model_store.objects import ObjectStore
from model_store.versions import VersionStore


class Killed(BaseException):
    """The process ends here."""


def fail() -> None:
    raise Killed


class ActedOn:
    """Calls ``act(name, key)`` before each call of the store; ``calls``: how many there were."""

    def __init__(self, store: ObjectStore, act: Callable[[str, str], None]) -> None:
        self._store, self._act = store, act
        self.calls = 0

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def conditional_writes(self) -> bool:
        return self._store.conditional_writes

    @property
    def exact_moves(self) -> bool:
        return self._store.exact_moves

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            self._act(name, arguments[0] if arguments else "")
            return method(*arguments, **options)

        return call


def before(store: ObjectStore, number: int, act: Callable[[], None]) -> ActedOn:
    """``act`` is run before the ``number``-th call, from 0 on."""

    def at_that_call(_name: str, _key: str) -> None:
        if made.calls == number + 1:
            act()

    made = ActedOn(store, at_that_call)
    return made


def versions_of(store: ObjectStore, act: Callable[[str, str], None]) -> VersionStore:
    return VersionStore(ActedOn(store, act))  # type: ignore[arg-type]  # it answers by __getattr__
