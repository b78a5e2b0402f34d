"""What ends the demo early."""


class DemoError(Exception):
    """A step failed; the message says which, and where its log is."""
