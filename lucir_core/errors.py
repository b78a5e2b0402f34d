"""What can go wrong in the learning library, by name."""


class LearningError(Exception):
    """Base of every error that this library raises on purpose."""


class ConfigError(LearningError, ValueError):
    """A configuration value, preset or registered name is unknown or out of range; the message names the remedy."""


class DataError(LearningError, ValueError):
    """Images, labels or classes do not fit together or do not fit the configuration."""


class StateError(LearningError, ValueError):
    """A saved state is damaged, or was learnt with another method, network or class list."""


class DivergedError(LearningError, ArithmeticError):
    """A loss became NaN or infinite; the previous state and the last resume file are untouched."""


class DeviceMemoryError(LearningError, MemoryError):
    """A device ran out of memory during a phase; the previous state and the last resume file are untouched."""
