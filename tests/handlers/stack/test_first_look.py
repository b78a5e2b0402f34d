"""What is waited for before services start, and how a person ends that: a store that takes connections, and hangs."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.settings import Settings
from handlers.stack import first_look
from handlers.stack.errors import StackError
from handlers.stack.first_look import check_readable, check_store
from tests.support.stores.bad_s3 import raw
from tests.support.waiting import PATIENCE, wait_for

LOOKS = (check_store, check_readable)
Look = Callable[[Settings, threading.Event], None]


@pytest.mark.parametrize("look", LOOKS)
def test_a_store_that_hangs_is_named_and_waiting_for_it_ends_with_a_signal(
    look: Look, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(first_look, "PATIENCE_SECONDS", 0.0)
    caplog.set_level(logging.INFO)
    stop = threading.Event()
    with raw(None) as endpoint:
        s3 = {"endpoint": endpoint, "access_key": "key", "secret_key": "secret", "read_timeout_seconds": 10 * PATIENCE}
        looking = threading.Thread(target=look, args=(Settings.model_validate({"store": "s3://lucir", "s3": s3}), stop))
        looking.start()
        wait_for(lambda: f"waiting for an answer of the store s3://lucir at {endpoint}" in caplog.text)
        stop.set()
        looking.join(PATIENCE)
        assert not looking.is_alive()


@pytest.mark.parametrize("look", LOOKS)
def test_a_store_that_cannot_be_used_is_refused_and_one_that_is_away_is_not(
    look: Look, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="choose another one with --store"):
        look(Settings(store=(tmp_path / "file" / "x").as_uri()), threading.Event())
    s3 = {"endpoint": "http://127.0.0.1:1", "access_key": "key", "secret_key": "secret"}
    look(Settings.model_validate({"store": "s3://lucir", "s3": s3}), threading.Event())
    assert "keeps trying" in caplog.text
