"""What the probabilities of a model and its "unknown" are worth, measured on images that it did not learn from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Calibration:
    """Measured by leaving each learnt image out in turn."""

    images: int
    """How many images it was measured on."""
    temperature: float
    """What the scores are divided by before the softmax."""
    calibration_error: float
    """Expected calibration error of the best class's probability, 0 to 1 (15 bins of equal width)."""
    known_cosine: float | None
    """An image is of no known class when the model's output `known` is below this, or, for a model without that
    output, the cosine to the nearest class mean; None where too few images are there to tell."""
    false_alarms: float | None
    """Share of known images that are called unknown."""
