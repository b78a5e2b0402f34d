"""What the stages of an update raise, and which of these failures are waited out however often they come."""

from model_store.documents import CorruptVersionError, NewerFormatError, VersionNotFoundError
from model_store.objects import StoreError, StoreUnavailableError


class BlockedError(StoreError):
    """Learning cannot go on until a person changes something; the drop is not at fault and stays where it is."""


class SupersededError(Exception):
    """The served version is not the one that the update started from: the update must be planned again."""


class LeaseLostError(Exception):
    """Another updater is active on this store: this one must not write anything."""


class LearningError(Exception):
    """The child failed; the message says how, in the child's own words when it left any."""


class MachineError(Exception):
    """The machine, not the drop, kept the child from working: try again later, however often."""


class StopRequestedError(Exception):
    """The updater is asked to end; the update goes on at the next start."""


NOT_THE_DROP = (
    StopRequestedError,
    LeaseLostError,
    MachineError,
    BlockedError,
    StoreUnavailableError,
    CorruptVersionError,
    NewerFormatError,
    VersionNotFoundError,
    OSError,
)
"""Failures that are waited out, however often they come."""
