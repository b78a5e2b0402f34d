"""What each store is certified for, and that a store which breaks a promise is not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.cli.certificate import certify
from model_store.directory.directory_store import DirectoryStore
from model_store.objects import ObjectInfo, ObjectStore, StoreUnavailableError
from tests.model_store.conftest import Place

RACES = 40


@pytest.mark.slow
def test_every_store_is_certified_for_what_it_is(place: Place) -> None:
    found = certify(place.store, RACES)
    conditional = place.server is None or place.server.conditional
    assert found.verdict == ("certified" if conditional else "single"), found.problems
    assert found.exact_moves == (conditional and place.store.exact_moves)
    assert list(place.store.list("")) == []


def test_the_races_are_counted(directory: Place) -> None:
    seen: list[None] = []
    assert certify(directory.store, 6, lambda: seen.append(None)).races == 6
    assert len(seen) == 6


class Forgetful(DirectoryStore):
    """Ignores the tag that is expected."""

    def replace(self, key: str, data: bytes, *, expected_etag: str) -> ObjectInfo:
        return self.write(key, data)


class Late(DirectoryStore):
    """Lists nothing that was just written."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        yield from list(super().list(prefix))[:-1]


class SameTag(DirectoryStore):
    """Has one tag for everything."""

    def write(self, key: str, data: bytes, *, only_if_absent: bool = False) -> ObjectInfo:
        info = super().write(key, data, only_if_absent=only_if_absent)
        return ObjectInfo(info.key, info.size, "tag", info.modified)


class Away(DirectoryStore):
    """Does not answer."""

    def check(self) -> None:
        raise StoreUnavailableError("nobody answers")


@pytest.mark.parametrize(
    ("kind", "verdict", "reason"),
    [
        (Forgetful, "single", "writers were told that they had won"),
        (Late, "refused", "a listing right after writing shows"),
        (SameTag, "refused", "the tag of an object does not change"),
        (Away, "refused", "nobody answers"),
    ],
)
def test_a_broken_promise_is_noticed(tmp_path: Path, kind: type[DirectoryStore], verdict: str, reason: str) -> None:
    store: ObjectStore = kind(tmp_path / "store")
    found = certify(store, RACES)
    assert found.verdict == verdict
    assert reason in found.problems[0]
