"""The store that an earlier release wrote, at commit a175682: what later ones must go on with."""

from pathlib import Path

OLD = Path(__file__).parents[2] / "data" / "store_a175682"
