"""A certificate for a store: whether what the service relies on holds on this server, found out by doing it.

Many threads create and replace the same object at once, over and over: of each race exactly one may win. Then listings,
tags, moves and the words for what is not there. All of it below a folder of its own, which is removed at the end.
"""

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from model_store.objects import ObjectNotFoundError, ObjectStore, PreconditionFailedError, StoreError, exists

RACES: Final = 1000
WRITERS: Final = 4
NAMES: Final = ("plain", "with space", "größe-猫", "100%+1", "a~b(c)")
"""Last parts of keys that servers are known to mangle."""


@dataclass(frozen=True)
class Certificate:
    """``certified``: several updaters may share the store; ``single``: one only; ``refused``: none."""

    verdict: Literal["certified", "single", "refused"]
    races: int
    problems: tuple[str, ...] = ()
    """Why it did not get a better verdict."""
    exact_moves: bool = False
    """Of one that is certified: whether its moves spare what comes meanwhile."""


class UnfitError(Exception):
    """Something that the service relies on does not hold; the message says what."""


def certify(store: ObjectStore, races: int = RACES, report: Callable[[], None] = lambda: None) -> Certificate:
    """Try everything; ``report`` is called after each race. Nothing is raised: what goes wrong is the verdict."""
    folder = f"lucir-doctor-{secrets.token_hex(6)}"
    try:
        store.check()
        for trial in (_objects, _listings, _moves):
            trial(store, f"{folder}/{trial.__name__.strip('_')}")
        if not store.conditional_writes:
            return Certificate("single", 0, ("the server does not honour conditional writes: run one updater only",))
        lost = list(_races(store, f"{folder}/races", races, report))
        exact = store.exact_moves
        if lost:
            return Certificate("single", races, (f"{len(lost)} of {races} races went wrong, the first: {lost[0]}",))
    except (StoreError, UnfitError) as error:
        return Certificate("refused", 0, (str(error),))
    finally:
        with suppress(StoreError):
            for info in list(store.list(f"{folder}/")):
                store.delete(info.key)
    return Certificate("certified", races, exact_moves=exact)


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise UnfitError(what)


def _objects(store: ObjectStore, folder: str) -> None:
    """What was written is read, and its tag changes with it; what is not there is said to be so."""
    key = f"{folder}/object"
    try:
        store.read(key)
    except ObjectNotFoundError:
        pass
    else:
        raise UnfitError("an object that was never written could be read")
    first = store.write(key, b"first")
    _expect(store.read(key) == b"first", "an object is not read as it was written")
    second = store.write(key, b"other")
    _expect(store.read(key) == b"other", "an object that was replaced is still read as it was")
    _expect(first.etag != second.etag, "the tag of an object does not change with its content")
    _expect(store.stat(key).etag == second.etag, "an object is described with another tag than it was written with")
    _expect(store.stat(key).size == 5, "an object is described with a wrong size")
    store.delete(key)
    store.delete(key)
    _expect(not exists(store, key), "an object that was deleted is still there")


def _listings(store: ObjectStore, folder: str) -> None:
    """A listing shows at once what is there, in order, by its right name, and nothing that is not."""
    keys = sorted(f"{folder}/{part}/{name}" for part in ("a", "b") for name in NAMES)
    tags = {key: store.write(key, key.encode()).etag for key in keys}
    found = list(store.list(f"{folder}/"))
    listed = [info.key for info in found]
    _expect(set(listed) == set(keys), f"a listing right after writing shows {listed}, not {keys}")
    _expect(listed == sorted(listed, key=str.encode), "a listing is not in the order of keys")
    _expect({info.key: info.etag for info in found} == tags, "a listing has other tags than the objects")
    _expect(set(store.folders(f"{folder}/")) == {"a", "b"}, "folders are not listed as what they are")
    for key in keys[::2]:
        store.delete(key)
    left = [info.key for info in store.list(f"{folder}/")]
    _expect(set(left) == set(keys[1::2]), "a listing right after deleting shows what was deleted")


def _moves(store: ObjectStore, folder: str) -> None:
    """An object is moved with its content, and is in one place afterwards."""
    content = bytes(range(256)) * 64
    store.write(f"{folder}/from", content)
    store.move(f"{folder}/from", f"{folder}/to")
    _expect(store.read(f"{folder}/to") == content, "an object that was moved is not what it was")
    left = [info.key for info in store.list(f"{folder}/")]
    _expect(left == [f"{folder}/to"], "an object that was moved is still where it was")
    store.move(f"{folder}/from", f"{folder}/to")  # again, as after a crash
    _expect(store.read(f"{folder}/to") == content, "moving an object again damages it")


def _races(store: ObjectStore, folder: str, races: int, report: Callable[[], None]) -> Iterator[str]:
    """What went wrong, race by race: half of them create an object, half replace one."""
    key = f"{folder}/object"
    with ThreadPoolExecutor(WRITERS, thread_name_prefix="race") as pool:
        for race in range(races):
            if race % 2 == 0:
                store.delete(key)
                expected = None
            else:
                expected = store.stat(key).etag
            contents = [b"%d of writer %d" % (race, writer) for writer in range(WRITERS)]
            said = list(pool.map(lambda content, tag=expected: _try(store, key, content, tag), contents))
            winners = [content for content, answer in zip(contents, said, strict=True) if answer == "won"]
            others = {answer for answer in said if answer not in {"won", "lost"}}
            if others:
                yield next(iter(others))
            elif len(winners) != 1:
                yield f"{len(winners)} of {WRITERS} writers were told that they had won"
            elif store.read(key) != winners[0]:
                yield "the content is that of a writer who was told that it had lost"
            report()


def _try(store: ObjectStore, key: str, content: bytes, expected: str | None) -> str:
    try:
        if expected is None:
            store.write(key, content, only_if_absent=True)
        else:
            store.replace(key, content, expected_etag=expected)
    except PreconditionFailedError:
        return "lost"
    except StoreError as error:
        return str(error)
    return "won"
