"""Checks of configuration values; a value that fails is named together with what it must be."""

from lucir_core.errors import ConfigError


def require(holds: bool, name: str, value: object, wanted: str) -> None:
    """Raise ConfigError unless `holds`."""
    if not holds:
        raise ConfigError(f"{name} is {value}: it must be {wanted}")


def require_milestones(name: str, milestones: tuple[int, ...]) -> None:
    """Raise ConfigError unless the milestones are rising epoch numbers."""
    rising = all(first < second for first, second in zip((0, *milestones), milestones, strict=False))
    require(rising, name, milestones, "rising epoch numbers from 1 on")
