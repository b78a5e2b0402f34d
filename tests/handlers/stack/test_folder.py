"""One stack per data folder, short sockets, clear messages."""

import os
import socket
from pathlib import Path

import pytest

from handlers.settings import Settings
from handlers.stack import ports
from handlers.stack.errors import StackError
from handlers.stack.folder import StackRecord, claimed, find_stack, write_record
from handlers.stack.ports import Listener, check_ports, free_ports

RECORD = StackRecord(
    pid=os.getpid(),
    inference_url="http://127.0.0.1:1",
    metrics_url="http://127.0.0.1:2",
    updater_url="http://127.0.0.1:3",
    store="file:///tmp/store",
    ready=True,
)


def test_the_record_is_found_while_the_stack_runs_only(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data")
    assert find_stack(settings) is None
    with claimed(settings):
        write_record(settings, RECORD)
        assert find_stack(settings) == RECORD
    assert find_stack(settings) is None
    assert [path.name for path in settings.run_folder.iterdir()] == ["stack.lock"]


def test_a_record_that_a_killed_stack_left_is_not_believed_and_is_tidied(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data")
    settings.run_folder.mkdir(parents=True)
    write_record(settings, RECORD)
    assert find_stack(settings) is None
    with claimed(settings):
        assert not (settings.run_folder / "stack.json").exists()


def test_a_second_stack_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    with claimed(settings):
        write_record(settings, RECORD)
        with pytest.raises(StackError, match=rf"another stack uses .*process {os.getpid()}.*--data"), claimed(settings):
            pass


def test_a_data_folder_that_cannot_be_made_is_named_with_its_option(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")  # works for root too, who may write everywhere else
    with (
        pytest.raises(StackError, match=r"file/inner.* cannot be written \(not a directory\).*--data"),
        claimed(Settings(data=tmp_path / "file" / "inner")),
    ):
        pass


def test_a_taken_port_is_named_with_its_option() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=rf"port {port} on 127.0.0.1 .* inference .*in use.*--port PORT"):
            check_ports([Listener("inference", "127.0.0.1", port, "--port")])


def test_one_port_for_two_purposes_is_refused() -> None:
    port = free_ports(1)[0]
    listeners = [
        Listener("inference", "127.0.0.1", port, "--port"),
        Listener("pages", "127.0.0.1", port, "--updater-port"),
    ]
    with pytest.raises(StackError, match=rf"port {port} is wanted for inference and for pages: .*--updater-port"):
        check_ports(listeners)


def test_free_ports_are_different_and_usable() -> None:
    found = free_ports(5)
    assert len(set(found)) == 5
    check_ports([Listener("a test", "127.0.0.1", port, "--port") for port in found])


@pytest.mark.parametrize(
    ("outgoing", "allowed"),
    [
        ("32768\t60999\n", set(range(10240, 32768)) | set(range(61000, 65536))),
        ("1024\t65000\n", set(range(65001, 65536))),
        ("1024\t65535\n", set(range(10240, 65536))),
    ],
)
def test_free_ports_avoid_those_of_outgoing_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outgoing: str, allowed: set[int]
) -> None:
    (tmp_path / "range").write_text(outgoing)
    monkeypatch.setattr(ports, "OUTGOING", tmp_path / "range")
    assert set(free_ports(50)) <= allowed
