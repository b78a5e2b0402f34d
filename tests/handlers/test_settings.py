"""The settings tree: order of the sources, secrets, and what a wrong key or value is answered."""

from pathlib import Path

import pytest

from handlers.setting_values import assignments, nested
from handlers.settings import SettingsError, keys, load_settings, secret_keys


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("LUCIR_")]:
        monkeypatch.delenv(name)
    # load_settings hands the file on to child processes through the environment: undo that after each test
    monkeypatch.setenv("LUCIR_CONFIG", "")


def _file(folder: Path, text: str) -> Path:
    path = folder / "lucir.yaml"
    path.write_text(text)
    return path


def test_command_line_beats_environment_beats_file_beats_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _file(tmp_path, "serving: {port: 1001, workers: 2, batch_size: 4}")
    monkeypatch.setenv("LUCIR_SERVING__PORT", "1002")
    monkeypatch.setenv("LUCIR_SERVING__WORKERS", "3")
    settings = load_settings(file, {"serving": {"port": 1003}})
    assert (settings.serving.port, settings.serving.workers, settings.serving.batch_size) == (1003, 3, 4)
    assert settings.serving.metrics_port == 8082


def test_the_store_defaults_to_a_folder_of_the_data_folder(tmp_path: Path) -> None:
    assert load_settings(None, {"data": tmp_path}).store_url == (tmp_path / "store").as_uri()
    assert load_settings(None, {"store": "s3://images"}).store_url == "s3://images"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("serving: {prot: 1}", "unknown setting serving.prot: did you mean serving.port?"),
        ("severing: {port: 1}", "unknown setting severing"),
        ("serving: {port: high}", "setting serving.port: Input should be a valid integer"),
        ("updater: {evaluation_share: 2}", "setting updater.evaluation_share: Input should be less than 0.9"),
        ("store: /plain/path", "store is file:///path or s3://bucket, not '/plain/path'"),
        ("[1, 2]", "holds no mapping"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_bad_file_is_one_clear_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message.replace("?", r"\?")):
        load_settings(_file(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml cannot be read: No such file"):
        load_settings(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("name", ["LUCIR_SERVNG__PORT", "LUCIR_PROT"])
def test_an_unknown_name_in_the_environment_is_an_error(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError, match=f"unknown setting {name} in the environment"):
        load_settings()


def test_an_unknown_nested_name_in_the_environment_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUCIR_SERVING__PRT", "1")
    with pytest.raises(SettingsError, match=r"unknown setting serving\.prt: did you mean serving\.port\?"):
        load_settings()


def test_secrets_are_read_but_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUCIR_S3__ACCESS_KEY", "visible-nowhere")
    (tmp_path / "secret").write_text("from-a-file\n")
    settings = load_settings(None, {"s3": {"secret_key_file": tmp_path / "secret"}})
    assert settings.s3.credentials() == ("visible-nowhere", "from-a-file")
    assert "visible-nowhere" not in repr(settings) + settings.model_dump_json()


@pytest.mark.parametrize("key", sorted(secret_keys()))
def test_asterisks_that_stand_for_a_secret_open_nothing(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """What ``str(SecretStr)`` gives: whoever sends it could otherwise come in."""
    monkeypatch.setenv("LUCIR_" + key.upper().replace(".", "__"), "**********")
    with pytest.raises(SettingsError, match=f"{key}: these asterisks"):
        load_settings()


def test_a_secret_file_that_is_missing_is_named(tmp_path: Path) -> None:
    settings = load_settings(None, {"s3": {"secret_key_file": tmp_path / "gone"}})
    with pytest.raises(SettingsError, match="gone cannot be read"):
        settings.s3.credentials()


def test_public_names_and_defaults_stay_as_they_are() -> None:
    """A change here is a change of behaviour for everybody who runs the service."""
    defaults = load_settings()
    assert {"store", "serving.port", "updater.port", "learning.preset", "gate.max_old_accuracy_loss"} <= set(keys())
    assert (defaults.serving.port, defaults.serving.metrics_port, defaults.updater.port) == (8080, 8082, 8090)
    assert (defaults.updater.settle_seconds, defaults.updater.evaluation_share) == (10.0, 0.2)
    assert [defaults.updater.least_images(frozen=frozen) for frozen in (True, False)] == [3, 10]
    chosen = defaults.updater.model_copy(update={"min_images": 7})
    assert [chosen.least_images(frozen=frozen) for frozen in (True, False)] == [7, 7]
    assert defaults.data == Path("lucir-data")
    assert (defaults.serving.batch_size, defaults.serving.batch_delay_ms) == (16, 2)
    assert (defaults.follower.port, defaults.follower.pointer_seconds) == (8091, 2.0)
    kept = defaults.retention
    assert (kept.keep_versions, kept.keep_days, kept.archive_days, kept.rejected_days) == (10, 0.0, None, None)


@pytest.mark.parametrize(
    ("word", "refine", "copies"), [("off", "off", "off"), ("on", "on", None), ("auto", "auto", "auto")]
)
def test_on_and_off_are_words_where_they_are_to_choose_from(word: str, refine: str, copies: str | None) -> None:
    """YAML, and with it ``--set``, reads both as true and false."""
    assert load_settings(overrides=nested(assignments([f"learning.refine={word}"]))).learning.refine == refine
    values = nested(assignments([f"serving.copies={word}"]))
    if copies is None:
        with pytest.raises(SettingsError, match=r"serving\.copies"):
            load_settings(overrides=values)
    else:
        assert load_settings(overrides=values).serving.copies == copies
    assert load_settings(overrides=nested(assignments(["updater.hints=off"]))).updater.hints is False
