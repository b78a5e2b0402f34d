"""What phases on a frozen backbone learn in these tests."""

from dataclasses import replace

import pytest

from lucir_core.data.phase_data import PhaseData
from lucir_core.testing import synthetic_phase

CLASSES = ("ant", "bee", "cat", "dog", "elk")


@pytest.fixture(scope="module")
def data() -> PhaseData:
    """Eight images of 32 x 32 pixels of each class."""
    return replace(synthetic_phase(dict.fromkeys(range(5), 8), 5, side=32), classes=CLASSES)
