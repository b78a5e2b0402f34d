"""Changes of a state without training."""
