"""Messages of TorchServe's frontend, read by TorchServe's own functions from a real socket."""

import io
import socket
import struct
from collections.abc import Iterator

import pytest

from handlers.inference.workers.frontend_messages import READING, read_large_pieces
from tests.support.present import present
from tests.support.servers.asked_classifier import otf_message_handler
from tests.support.waiting import PATIENCE

HEADERS = {"content-type": "image/jpeg", "host": "localhost", "x-request-id": "7"}


class Counted(socket.socket):
    """Remembers how often the kernel was asked for bytes."""

    asked = 0
    made: io.IOBase | None = None
    """What reads from it."""

    def makefile(self, *words: object, **options: object) -> io.IOBase:  # type: ignore[override]
        self.made = super().makefile(*words, **options)  # type: ignore[call-overload]
        return self.made

    def recv(self, size: int, flags: int = 0) -> bytes:
        self.asked += 1
        return super().recv(size, flags)

    def recv_into(self, *words: object) -> int:
        self.asked += 1
        return super().recv_into(*words)  # type: ignore[arg-type]  # whatever it was called with


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[socket.socket, Counted]]:
    """The frontend's, and a worker's, whose reading is undone afterwards."""
    monkeypatch.setattr(otf_message_handler, READING, getattr(otf_message_handler, READING))
    ours, theirs = socket.socketpair()
    with ours, Counted(fileno=theirs.detach()) as worker:
        worker.settimeout(PATIENCE)
        ours.settimeout(PATIENCE)
        yield ours, worker
        present(worker.made).close()


def piece(data: bytes) -> bytes:
    return struct.pack("!i", len(data)) + data


def message(*images: bytes) -> bytes:
    """A batch as the frontend writes one."""
    end = struct.pack("!i", -1)
    headers = b"".join(piece(name.encode()) + piece(value.encode()) for name, value in HEADERS.items())
    requests = [
        piece(b"id-%d" % number) + headers + end + piece(b"body") + piece(b"image/jpeg") + piece(image) + end
        for number, image in enumerate(images)
    ]
    return b"I" + b"".join(requests) + end


def test_a_batch_is_read_in_few_pieces_and_nothing_of_the_next_is_lost(ends: tuple[socket.socket, Counted]) -> None:
    frontend, worker = ends
    read_large_pieces()
    batches = [(b"one" * 1000, b"", b"three"), (b"four",)]
    frontend.sendall(b"".join(message(*batch) for batch in batches))
    for batch in batches:
        command, requests = otf_message_handler.retrieve_msg(worker)
        assert command == b"I"
        assert [request["parameters"][0]["value"] for request in requests] == list(batch)
        headers = [{each["name"].decode(): each["value"].decode() for each in one["headers"]} for one in requests]
        assert headers == [HEADERS] * len(batch)
    assert worker.asked <= 2


def test_a_message_that_comes_in_parts_is_waited_for_and_the_end_ends_the_worker(
    ends: tuple[socket.socket, Counted],
) -> None:
    frontend, worker = ends
    read_large_pieces()
    data = message(b"image")
    for at in range(0, len(data), 7):  # they may come together, or not
        frontend.sendall(data[at : at + 7])
    _, requests = otf_message_handler.retrieve_msg(worker)
    assert requests[0]["parameters"][0]["value"] == b"image"
    frontend.sendall(data[:9])
    frontend.close()
    with pytest.raises(SystemExit) as ended:
        otf_message_handler.retrieve_msg(worker)
    assert ended.value.code == 0
