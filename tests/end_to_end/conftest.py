"""One stack that several tests of a module share."""

from collections.abc import Iterator

import pytest

from tests.support.processes.stack import Stack, folders, running


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that has learnt the digits 0 and 1 as its version 1."""
    root = tmp_path_factory.mktemp("learnt")
    with running(root / "data") as stack:
        assert stack.drop(folders(root / "first", "01"))["version"] == 1
        yield stack
