"""Where the lines of the children go when a disk is full, or a folder is gone."""

import io
from pathlib import Path

import pytest

from handlers.stack.supervision.service_logs import LINES_KEPT, LogSink

FULL = Path("/dev/full")
"""Takes nothing: no space left on device."""


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_a_file_that_takes_no_lines_is_told_of_once_and_the_terminal_gets_them_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = io.StringIO()
    sink = LogSink(tmp_path, terminal)
    (tmp_path / "updater.log").symlink_to(FULL)
    for number in range(3):
        sink.write("updater", f"line {number}")
    sink.write("server", "fine")
    sink.close()
    shown = [line.partition(" | ")[2] for line in terminal.getvalue().splitlines()]
    told = f"{tmp_path}/updater.log cannot be written: No space left on device; free space"
    assert shown == ["line 0", told, "line 1", "line 2", "fine"]
    assert (tmp_path / "server.log").read_text(encoding="utf-8").endswith("fine\n")
    assert capsys.readouterr().err == ""


def test_lines_go_on_where_the_folder_cannot_be_made_and_to_the_file_when_it_can(tmp_path: Path) -> None:
    terminal, folder = io.StringIO(), tmp_path / "logs"
    folder.touch()  # a file stands in its place
    sink = LogSink(folder, terminal)
    for number in range(LINES_KEPT):
        sink.write("updater", f"line {number}")
    folder.unlink()
    sink.write("updater", "back")
    sink.close()
    assert terminal.getvalue().count("cannot be written") == 1
    assert sink.last_lines("updater")[-1] == "back"
    assert (folder / "updater.log").read_text(encoding="utf-8").endswith("back\n")
