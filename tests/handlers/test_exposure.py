from pathlib import Path

import pytest

from handlers.exposure import check_exposure
from handlers.settings import Settings, SettingsError
from handlers.sockets import LaunchError


def settings(**serving: object) -> Settings:
    return Settings.model_validate({"serving": serving})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_this_machine_needs_no_key(host: str) -> None:
    check_exposure(settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "serving.example.org"])
def test_strangers_need_a_key_or_somebody_who_let_them_in(host: str, tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="LUCIR_SERVING__API_KEY_FILE"):
        check_exposure(settings(host=host))
    check_exposure(settings(host=host, open_access=True))
    check_exposure(settings(host=host, api_key="a"))
    keys = tmp_path / "keys"
    keys.write_text("one\n\n two \n", encoding="utf-8")
    known = settings(host=host, api_key_file=keys)
    check_exposure(known)
    assert known.serving.keys() == ("one", "two")
    assert known.serving.authorization() == {"authorization": "Bearer one"}
    keys.write_text("\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="no key"):
        check_exposure(known)


def test_keys_are_not_shown() -> None:
    assert "hidden" not in repr(settings(api_key="hidden"))
