"""The settings tree: order of the sources, secrets, and what a wrong key or value is answered."""

import threading
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest

from handlers.client import Client
from handlers.setting_values import assignments, load_settings, nested
from handlers.settings import Settings, SettingsError, fields, keys, secret_keys
from model_store.manifest import now


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("LUCIR_")]:
        monkeypatch.delenv(name)


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
        ("serving: {prot: 1}", r"unknown setting serving\.prot: did you mean serving\.port\? \(in \S+lucir\.yaml\)"),
        ("severing: {port: 1}", r"unknown setting severing: did you mean serving\? \(in"),
        ("serving: {port: high}", r"setting serving\.port: .* valid integer.*, not 'high' \(in \S+lucir\.yaml\)"),
        ("serving: 8080", r"setting serving: it is a branch, .* not 8080 \(in \S+\)"),
        ("serving: {port: {a: 1}}", r"setting serving\.port: .*, not {'a': 1} \(in"),
        ("data: 2024", r"setting data: .*, not 2024; put it in quotes \(in"),
        ("updater: {evaluation_share: 2}", "setting updater.evaluation_share: Input should be less than 0.9"),
        ("store: /plain/path", "store is file:///path or s3://bucket, not '/plain/path'"),
        ("[1, 2]", "holds no mapping"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_bad_file_is_one_clear_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings(_file(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml cannot be read: No such file"):
        load_settings(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"serving:\n\tport: 1", r"is not YAML: line 2: .*indent with spaces, not with tabs"),
        (b"serving: {port: 1}\nserving: {workers: 2}", "is not YAML: line 2: the key serving is there twice"),
        (b"serving:\n  port: 1\n  port: 2", "is not YAML: line 3: the key port is there twice"),
        ("store: Größe".encode("latin-1"), r"is not UTF-8 \(byte 9\): save it as UTF-8"),
        (b"data: \x07", "is not YAML"),
        (b"data: 2024-13-45", "is not YAML: month must be"),
        (b"? [1, 2]\n: 3", "is not YAML|unknown setting"),
        (b"[" * 5000, "is not YAML"),
        (b"- serving", "holds no mapping"),
        (b"serving", "holds no mapping"),
    ],
)
def test_a_file_that_is_no_settings_is_said_in_a_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "lucir.yaml").write_bytes(content)
    with pytest.raises(SettingsError, match=message) as told:
        load_settings(tmp_path / "lucir.yaml")
    assert "lucir.yaml" in str(told.value)
    assert "\n" not in str(told.value)


def test_a_folder_is_no_file_of_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load_settings(tmp_path)


@pytest.mark.parametrize("text", ["", "serving:", "# serving: {port: 1}", "\ufeffserving: {port: 8080}", "store:"])
def test_branches_with_nothing_in_them_leave_the_defaults(tmp_path: Path, text: str) -> None:
    assert load_settings(_file(tmp_path, text)) == Settings()


def test_what_yaml_merges_is_no_key_twice(tmp_path: Path) -> None:
    text = "follower: &a {port: 1, pointer_seconds: 3}\nupdater: &b {<<: *a, port: 2}\nserving: {port: 3}"
    settings = load_settings(_file(tmp_path, text))
    assert (settings.follower.port, settings.updater.port, settings.updater.pointer_seconds) == (1, 2, 3)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("LUCIR_SERVNG__PORT", "LUCIR_SERVING__PORT"),
        ("LUCIR_SERVING__PRT", "LUCIR_SERVING__PORT"),
        ("lucir_serving__prt", "LUCIR_SERVING__PORT"),
        ("LUCIR_SERVNG", "LUCIR_SERVING"),
        ("LUCIR_SERVING__PORT__X", "LUCIR_SERVING__PORT"),
        ("LUCIR_API_KEY", "LUCIR_SERVING__API_KEY"),
        ("LUCIR_STOER", "LUCIR_STORE"),
    ],
)
def test_an_unknown_name_in_the_environment_is_an_error(monkeypatch: pytest.MonkeyPatch, name: str, near: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError, match=rf"^unknown setting {name} in the environment: did you mean {near}\?$"):
        load_settings()


def test_a_key_below_a_variable_is_named_as_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUCIR_SERVING", "{prt: 1}")
    message = r"serving\.prt: did you mean serving\.port\? \(in the environment as LUCIR_SERVING\)"
    with pytest.raises(SettingsError, match=message):
        load_settings()


def test_a_bad_value_is_told_with_its_key_and_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"setting serving\.port: .*, not 0 \(given as an option\)"):
        load_settings(overrides={"serving": {"port": 0}})
    monkeypatch.setenv("LUCIR_SERVING__PORT", "0")
    with pytest.raises(SettingsError, match=r"serving\.port: .*, not 0 \(in the environment as LUCIR_SERVING__PORT\)"):
        load_settings()
    monkeypatch.setenv("LUCIR_SERVING__PORT", "[")
    with pytest.raises(SettingsError, match=r"LUCIR_SERVING__PORT in the environment: the value is not YAML"):
        load_settings()


def test_a_bad_secret_is_told_without_its_value(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"serving\.api_key") as told:
        load_settings(_file(tmp_path, "serving: {api_key: [hush]}"))
    assert "hush" not in str(told.value)


def test_the_same_value_means_the_same_from_every_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed as YAML, and as it stands where a text is wanted."""
    tree = {
        "data": "2024",
        "learning.device": "off",
        "learning.refine": "off",
        "updater.hints": "off",
        "serving.cors_origins": "[http://a.example, http://b.example]",
        "learning.overrides": "{epochs: 3, milestones: [1, 2]}",
        "retention": "{archive_days: 3}",
        "retention.keep_days": "1.5",
    }
    wanted = load_settings(overrides=nested(assignments([f"{key}={value}" for key, value in tree.items()])))
    assert (wanted.data, wanted.learning.device, wanted.learning.refine) == (Path("2024"), "off", "off")
    assert wanted.updater.hints is False
    assert wanted.serving.cors_origins == ("http://a.example", "http://b.example")
    assert (wanted.retention.archive_days, wanted.retention.keep_days) == (3, 1.5)
    texts = ("data: '2024'", "learning: {device: 'off', refine: off, overrides: {epochs: 3, milestones: [1, 2]}}")
    file = (*texts, "updater: {hints: off}", "serving: {cors_origins: [http://a.example, http://b.example]}")
    assert load_settings(_file(tmp_path, "\n".join((*file, "retention: {archive_days: 3, keep_days: 1.5}")))) == wanted
    for key, value in tree.items():
        monkeypatch.setenv("LUCIR_" + key.upper().replace(".", "__"), value)
    assert load_settings() == wanted


def test_branches_are_joined_key_by_key_whatever_form_they_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _file(
        tmp_path, "serving: {port: 1, workers: 1}\nlearning: {overrides: {epochs: 1, seed: 1, cbf: {epochs: 1}}}"
    )
    monkeypatch.setenv("LUCIR_SERVING__PORT", "3")
    monkeypatch.setenv("LUCIR_SERVING", "{port: 2, threads: 2}")
    monkeypatch.setenv("LUCIR_LEARNING__OVERRIDES", "{epochs: 2, cbf: {enabled: false}}")
    monkeypatch.setenv("LUCIR_LEARNING__OVERRIDES__EPOCHS", "3")
    settings = load_settings(file, {"learning": {"overrides": {"seed": 4}}})
    assert (settings.serving.port, settings.serving.workers, settings.serving.threads) == (3, 1, 2)
    assert settings.learning.overrides == {"epochs": 3, "seed": 4, "cbf": {"epochs": 1, "enabled": False}}


def test_one_setting_by_two_names_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUCIR_DATA", "a")
    monkeypatch.setenv("lucir_data", "b")
    with pytest.raises(SettingsError, match=r"(?i)LUCIR_DATA and LUCIR_DATA"):
        load_settings()


@pytest.mark.parametrize("null", ["null", ""])
@pytest.mark.parametrize(
    "key", ["store", "retention.archive_days", "serving.port", "serving.api_key_file", "retention"]
)
def test_null_takes_back_what_a_weaker_source_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, null: str
) -> None:
    text = "store: s3://images\nretention: {archive_days: 3}\nserving: {port: 1, api_key_file: keys}"
    file = _file(tmp_path, text)
    everything = dict(_values(load_settings(file)))
    default = dict(_values(Settings()))
    cleared = {name: default[name] if name.startswith(key) else value for name, value in everything.items()}
    assert cleared != everything
    assert dict(_values(load_settings(file, nested(assignments([f"{key}={null}"]))))) == cleared
    monkeypatch.setenv("LUCIR_" + key.upper().replace(".", "__"), null)
    assert dict(_values(load_settings(file))) == cleared


def test_null_is_a_value_where_any_names_are_taken(tmp_path: Path) -> None:
    """A preset's own settings may be none: ``learning.overrides.weights=null``."""
    file = _file(tmp_path, "learning: {overrides: {weights: a}}")
    values = nested(assignments(["learning.overrides.weights=null"]))
    assert load_settings(file, values).learning.overrides == {"weights": None}
    assert load_settings(file, nested(assignments(["learning.overrides=null"]))).learning.overrides == {}


def test_one_reading_changes_nothing_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("LUCIR_DATA", str(tmp_path / "of the environment"))
    file, before = _file(tmp_path, f"data: {tmp_path / 'of the file'}\nserving: {{port: 1234}}"), dict(os.environ)
    monkeypatch.delenv("LUCIR_DATA")
    assert Client(config=file).connection.settings.serving.port == 1234
    assert load_settings(file).serving.port == 1234
    assert Client().connection.settings.serving.port == 8080
    assert load_settings() == Settings()
    assert dict(os.environ) == {name: value for name, value in before.items() if name != "LUCIR_DATA"}


def test_a_tree_that_is_made_in_python_does_not_depend_on_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUCIR_SERVING__PORT", "1234")
    assert Settings().serving.port == 8080


def _values(settings: Settings) -> list[tuple[str, object]]:
    """Every value of a tree by its key."""

    def value(key: str) -> object:
        found: object = settings
        for name in key.split("."):
            found = getattr(found, name)
        return found

    return [(key, value(key)) for key in keys()]


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


@pytest.mark.parametrize("content", [b"", b"\n", b"  \nsecond", b"\xff\xfe"])
def test_a_secret_file_without_a_secret_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "empty").write_bytes(content)
    settings = load_settings(None, {"updater": {"token_file": tmp_path / "empty"}})
    with pytest.raises(SettingsError, match=r"the secret file .*empty (holds no secret|cannot be read)"):
        settings.updater.secret_token()


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


def _numbers() -> list[str]:
    """The keys whose values are numbers, alone or among others."""
    return [".".join(path) for path, field in fields().items() if {int, float} & _kinds(field.annotation)]


def _kinds(annotation: object) -> set[object]:
    """Every type in an annotation: of ``tuple[int, ...] | None`` also ``int``."""
    return {annotation}.union(*(_kinds(part) for part in get_args(annotation)))


def test_a_number_that_is_found_nowhere_would_be_no_test() -> None:
    assert {"serving.port", "updater.min_images", "retention.archive_days"} <= set(_numbers())


@pytest.mark.parametrize("key", _numbers())
@pytest.mark.parametrize("value", ["-1e300", "1e300", "-1000000000000000", "1000000000000000", ".inf", "-.inf", ".nan"])
def test_every_number_has_bounds(key: str, value: str) -> None:
    """An absurd one would be an ``OverflowError`` in some thread, or a process that waits for ever."""
    with pytest.raises(SettingsError, match=rf"setting {key}: .* \(given as an option\)"):
        load_settings(overrides=nested(assignments([f"{key}={value}"])))


@pytest.mark.parametrize("key", _numbers())
def test_the_largest_and_the_least_number_can_be_waited_for_and_dated(key: str) -> None:
    field = fields()[tuple(key.split("."))]
    bounds = [
        getattr(rule, name) for rule in field.metadata for name in ("ge", "gt", "le", "lt") if hasattr(rule, name)
    ]
    assert len(bounds) == 2
    if key.endswith("_seconds"):
        assert max(bounds) < threading.TIMEOUT_MAX
    if key.endswith("_days"):
        assert now() - timedelta(days=max(bounds)) < now()


@pytest.mark.parametrize("key", _numbers())
def test_a_word_that_yaml_takes_for_true_is_no_number(key: str) -> None:
    with pytest.raises(SettingsError, match=rf"setting {key}: a number is wanted, not on \(given"):
        load_settings(overrides=nested({key: True}))
