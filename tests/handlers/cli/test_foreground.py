"""What ``lucir up`` says when it is ready."""

import io
import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from handlers.cli.foreground import announce_stack
from handlers.settings import Settings
from tests.support.quick_settings import changed


@pytest.mark.parametrize(
    ("started", "on_the_path", "typed"),
    [
        (".venv/bin/lucir", False, ".venv/bin/lucir"),
        ("/opt/lucir/bin/lucir", True, "lucir"),
        ("handlers/cli/main.py", False, "lucir"),
    ],
)
def test_the_command_to_teach_can_be_typed_as_it_is_said(
    started: str, on_the_path: bool, typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "lucir"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path if on_the_path else tmp_path / "nothing"))
    monkeypatch.setattr(sys, "argv", [started, "up"])
    said = io.StringIO()
    announce_stack(Settings(data=tmp_path / "data"), said)
    assert f"teach     {typed} drop FOLDER --data {tmp_path / 'data'}" in said.getvalue()


def test_where_a_key_is_asked_for_the_command_to_classify_has_a_place_for_it(tmp_path: Path) -> None:
    said = io.StringIO()
    settings = Settings(data=tmp_path)
    announce_stack(settings, said)
    assert "x-api-key" not in said.getvalue()
    announce_stack(changed(settings, serving={"api_key": "hidden"}), said)
    assert 'curl -T IMAGE.jpg -H "x-api-key: KEY" http' in said.getvalue()
    assert "hidden" not in said.getvalue()


def test_a_reader_that_is_gone_when_the_stack_is_ready_ends_nothing(tmp_path: Path) -> None:
    """``lucir up | head``: the lines of the services are left unsaid as well."""
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w", encoding="utf-8")
    announce_stack(Settings(data=tmp_path), stream)
    with suppress(BrokenPipeError):  # what it still held
        stream.close()
