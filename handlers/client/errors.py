"""What the client raises."""


class ClientError(Exception):
    """The service did not do what was asked; the message says why and what helps."""
