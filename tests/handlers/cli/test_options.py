"""From the command line to the settings of this process and of its children."""

import os
from pathlib import Path

import pytest

from handlers.cli.foreground import UpRequest, resolve
from handlers.setting_values import assignments, environment, load_settings, nested
from handlers.settings import SettingsError, secret_keys
from handlers.stack.service_list import environment_with


def test_values_are_typed_as_yaml() -> None:
    texts = ["a.b=3", "a.c=true", "d=text", "e=[1, 2]", "f=", "g=1e-3x=y"]
    assert assignments(texts) == {"a.b": 3, "a.c": True, "d": "text", "e": [1, 2], "f": None, "g": "1e-3x=y"}


def test_dotted_keys_become_a_tree() -> None:
    given = {"a.b.c": 1, "a.b": {"d": 2}, "e": None, "f": "x"}
    assert nested(given) == {"a": {"b": {"c": 1, "d": 2}}, "e": None, "f": "x"}


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
        "learning.device": None,
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


SECRETS = sorted(secret_keys())


def test_every_secret_is_known_as_one() -> None:
    assert {"serving.api_key", "updater.token", "s3.access_key", "s3.secret_key"} == set(SECRETS)


@pytest.mark.parametrize("key", SECRETS)
def test_a_secret_on_the_command_line_is_refused_with_the_ways_that_hide_it(key: str) -> None:
    branch, _, name = key.partition(".")
    for texts in ((f"{key}=hush",), (f"{branch}={{{name}: hush}}",), ("log={}", f"{key}=hush")):
        with pytest.raises(SettingsError, match=rf"--set {key}: a secret .* LUCIR_{branch.upper()}__") as told:
            resolve(UpRequest(None, {}, texts, free_ports=False))
        assert "hush" not in str(told.value)


def test_a_secret_of_the_environment_is_never_handed_on_as_asterisks(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in SECRETS:
        monkeypatch.setenv("LUCIR_" + key.upper().replace(".", "__"), "hush")
    texts = ("s3={region: here}", "updater={poll_seconds: 3}", "serving={workers: 2}")
    settings, changes = resolve(UpRequest(None, {}, texts, free_ports=False))
    assert "*" not in "".join(changes.values())
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    child = load_settings()
    assert child == settings
    assert child.serving.keys() == ("hush",)
    assert (child.s3.region, child.updater.poll_seconds, child.serving.workers) == ("here", 3, 2)


def test_what_the_command_line_takes_back_and_overrides_reaches_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the file and over variables that stand nearer to the setting than the command line's."""
    (tmp_path / "lucir.yaml").write_text("retention: {archive_days: 3}\nlearning: {overrides: {epochs: 1, seed: 1}}")
    monkeypatch.setenv("LUCIR_CONFIG", str(tmp_path / "lucir.yaml"))
    monkeypatch.setenv("LUCIR_LEARNING__OVERRIDES__EPOCHS", "2")
    monkeypatch.setenv("LUCIR_STORE", "s3://images")
    monkeypatch.setenv("LUCIR_DATA", str(tmp_path))
    texts = ("retention.archive_days=null", "learning.overrides.epochs=3", "store=null", "learning.device=null")
    settings, changes = resolve(UpRequest(None, {}, texts, free_ports=False))
    assert (settings.retention.archive_days, settings.store) == (None, "")
    assert settings.learning.overrides == {"epochs": 3, "seed": 1}
    child = environment_with(settings, changes)
    for name in [name for name in os.environ if name.startswith("LUCIR_")]:
        monkeypatch.delenv(name)
    for name, value in child.items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings


def test_free_ports_leaves_given_ports_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, changes = resolve(UpRequest(None, {"serving.port": 4321, "data": None}, (), free_ports=True))
    ports = {settings.serving.port, settings.serving.metrics_port, settings.updater.port}
    assert len(ports) == 3
    assert settings.serving.port == 4321
    assert changes["LUCIR_UPDATER__PORT"] == str(settings.updater.port)
