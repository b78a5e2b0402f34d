"""Which images no backbone ever learns from: they decide whether a refined one is better. No torch here."""

import numpy as np
from numpy.typing import NDArray

LEAST_HELD_BACK = 10
"""Images; with six not even all of them answered better would be sure, and some are answered rightly before."""


def held_back_by(digests: NDArray[np.uint8], share: float) -> NDArray[np.bool_]:
    """(n,) which images are held back, by their content alone; digests: (n, 16) `image_digest` of each."""
    heads = np.ascontiguousarray(digests[:, :4]).view(np.uint32).ravel()
    return heads < share * 2.0**32
