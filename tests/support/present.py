"""For what may be missing in general and must be there in a test."""

from typing import TypeVar

Found = TypeVar("Found")


def present(found: Found | None) -> Found:
    """The same; None fails the test."""
    assert found is not None
    return found
