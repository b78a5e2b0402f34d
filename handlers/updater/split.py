"""Which images of a class are held out for evaluation: by content, so that every run of a plan gives the same."""

from collections.abc import Sequence


def held_out(hashes: Sequence[str], share: float, room: int) -> frozenset[str]:
    """The sha256 hashes of the images to hold out: about ``share`` of them, at most ``room``.

    Of two images or more at least one is trained on, and where ``room`` allows at least one is held out.
    """
    count = len(hashes)
    if count < 2 or room < 1:
        return frozenset()
    size = min(max(1, round(share * count)), room, count - 1)
    return frozenset(sorted(hashes)[:size])
