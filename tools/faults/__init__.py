"""Updates killed at every point, and what must be the same afterwards."""
