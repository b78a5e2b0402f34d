import io
import json
import logging
from collections.abc import Iterator

import pytest

from handlers.logs import setup_logging
from handlers.settings import LogSettings


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = handlers, level


def test_json_lines_carry_the_extra_fields_and_the_exception() -> None:
    stream = io.StringIO()
    setup_logging(LogSettings(format="json"), "updater", stream)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("handlers.x").exception("failed\nbadly", extra={"version": 3})
    (line,) = stream.getvalue().splitlines()
    document = json.loads(line)
    assert (document["level"], document["process"], document["version"]) == ("ERROR", "updater", 3)
    assert document["message"] == "failed\nbadly"
    assert "ValueError: broken" in document["exception"]


def test_text_cannot_be_forged_by_a_file_name() -> None:
    stream = io.StringIO()
    setup_logging(LogSettings(), "updater", stream)
    logging.getLogger("handlers.x").warning("rejected %s", "a\n12:00:00 ERROR forged", extra={"key": "b\nc"})
    (line,) = stream.getvalue().splitlines()
    assert "x: rejected a\\n12" in line
    assert line.endswith("(key=b\\nc)")


def test_libraries_are_quiet_and_the_level_holds() -> None:
    stream = io.StringIO()
    setup_logging(LogSettings(level="INFO"), "updater", stream)
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("handlers.x").debug("detail")
    logging.getLogger("urllib3.connectionpool").warning("Retrying")
    assert stream.getvalue() == ""
    logging.getLogger("uvicorn.error").warning("odd")
    assert "odd" in stream.getvalue()
