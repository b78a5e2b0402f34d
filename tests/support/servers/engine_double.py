"""The calls of an engine's management and of the probe, for states that no real one can be brought into at will."""

from dataclasses import replace

from handlers.torchserve.inference_port import LateError, ProbeError
from handlers.torchserve.management import ManagementUnavailableError, RegisteredVersion, Worker


class Engine:
    """A server with one worker for each registration, whose slot nobody has moved."""

    def __init__(self) -> None:
        self.registered: dict[int, RegisteredVersion] = {}
        self.late = self.down = False
        """Whether nobody answers at everybody's address, and whether nobody answers at all."""
        self.says: int | None = None
        """The version in every answer, where it is not the right one."""
        self.successor = 0
        """The process id of the worker that is there after the next request has ended the one that is asked."""
        self.calls: list[str] = []
        self.asked: list[int | None] = []

    def begin(self, *numbers: int, pid: int = 1, ready: bool = True, problem: str = "") -> None:
        """These are registered; the last one is the default."""
        workers = (Worker(pid, ready, False),)
        made = [RegisteredVersion(number, False, 1, workers, 0, problem) for number in numbers]
        self.registered = {one.number: one for one in made}
        self.set_default(numbers[-1])

    @property
    def default(self) -> int:
        """Who answers everybody."""
        return next(number for number, one in self.registered.items() if one.default)

    def versions(self) -> dict[int, RegisteredVersion]:
        if self.down:
            raise ManagementUnavailableError("nobody there")
        return dict(self.registered)

    def register(self, folder: str, **_: int) -> None:
        self.calls.append(f"register {folder}")

    def scale(self, number: int, workers: int) -> None:
        self.calls.append(f"scale {number} {workers}")

    def set_default(self, number: int) -> None:
        self.registered = {one: replace(each, default=one == number) for one, each in self.registered.items()}

    def unregister(self, number: int) -> None:
        self.calls.append(f"unregister {number}")
        del self.registered[number]

    def ask(self, address: int | None) -> int:
        self.asked.append(address)
        if self.successor:
            self.begin(*self.registered, pid=self.successor)
            raise ProbeError("nobody answers")
        if self.late and address is None:
            raise LateError("no answer in time")
        return self.says or (self.default if address is None else address)

    def close(self) -> None:
        """Nothing."""
