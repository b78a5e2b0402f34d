"""From the command line to the settings of this process and of its children."""

import pytest

from handlers.cli.foreground import UpRequest, resolve
from handlers.setting_values import assignments, environment, nested
from handlers.settings import SettingsError, load_settings


def test_values_are_typed_as_yaml() -> None:
    texts = ["a.b=3", "a.c=true", "d=text", "e=[1, 2]", "f=", "g=1e-3x=y"]
    assert assignments(texts) == {"a.b": 3, "a.c": True, "d": "text", "e": [1, 2], "f": None, "g": "1e-3x=y"}


def test_dotted_keys_become_a_tree_without_what_was_not_given() -> None:
    assert nested({"a.b.c": 1, "a.b.d": 2, "e": None, "f": "x"}) == {"a": {"b": {"c": 1, "d": 2}}, "f": "x"}


@pytest.mark.parametrize("text", ["port", "=3", "a..b=1", ".a=1", "a=[1"])
def test_what_is_no_assignment_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"--set "):
        assignments([text])


def test_children_read_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUCIR_SERVING__PORT", "1111")
    monkeypatch.setenv("LUCIR_UPDATER__POLL_SECONDS", "2")
    values = {
        "data": "some/folder",
        "serving.port": 2222,
        "learning.overrides.epochs": 3,
        "learning.overrides.milestones": [1, 2],
        "updater.min_images": 4,
        "store": None,
    }
    settings = load_settings(overrides=nested(values))
    for name, value in environment(settings, values).items():
        monkeypatch.setenv(name, value)
    child = load_settings()
    assert child.data.is_absolute()
    assert child.model_copy(update={"data": settings.data}) == settings
    assert child.serving.port == 2222
    assert child.updater.poll_seconds == 2
    assert child.learning.overrides == {"epochs": 3, "milestones": [1, 2]}


def test_free_ports_leaves_given_ports_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, changes = resolve(UpRequest(None, {"serving.port": 4321, "data": None}, (), free_ports=True))
    ports = {settings.serving.port, settings.serving.metrics_port, settings.updater.port}
    assert len(ports) == 3
    assert settings.serving.port == 4321
    assert changes["LUCIR_UPDATER__PORT"] == str(settings.updater.port)
