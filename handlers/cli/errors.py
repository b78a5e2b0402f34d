"""How a command ends when it cannot do its work: one clear line, and an exit status."""

FAILED = 1
USAGE = 2


class CommandError(Exception):
    """The command failed; the message says why and what helps."""

    def __init__(self, message: str, status: int = FAILED) -> None:
        super().__init__(message)
        self.status = status


def expected(error: Exception) -> tuple[str, int] | None:
    """The message and the exit status of an error that needs no traceback; None for a bug."""
    from handlers.client.errors import ClientError, system_words
    from handlers.demo.errors import DemoError
    from handlers.settings import SettingsError
    from handlers.stack.errors import StackError
    from model_store.objects import StoreError

    if isinstance(error, CommandError):
        return str(error), error.status
    if isinstance(error, SettingsError):
        return str(error), USAGE
    if isinstance(error, ClientError | DemoError | StackError | StoreError):
        return str(error), FAILED
    if isinstance(error, OSError):
        return system_words(error), FAILED
    return None
