"""How starting or finding a stack fails; every message names the remedy."""


class StackError(Exception):
    """The stack cannot be started or has failed."""
