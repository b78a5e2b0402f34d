import stat
import tempfile
from pathlib import Path

import pytest

from handlers.inference.workers.worker import WorkerOptions, read_options
from handlers.labelling.unsure_images import UnsureRules
from handlers.settings import LabellingSettings, Settings
from handlers.sockets import LaunchError, management_socket
from handlers.store import incoming_place
from handlers.torchserve.folders import prepare_nothing_learnt, version_of
from handlers.torchserve.launch import prepare_launch, render_config, render_log4j


def parse(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


def settings(data: Path, **values: object) -> Settings:
    return Settings.model_validate({"data": data, **values})


def test_config_says_what_the_settings_say(tmp_path: Path) -> None:
    tree = settings(
        tmp_path,
        serving={"host": "0.0.0.0", "port": 18080, "metrics_port": 18082, "queue_size": 7, "max_request_mb": 3},
    )
    config = parse(render_config(tree))
    expected = {
        "inference_address": "http://0.0.0.0:18080",  # the only one that listens beyond this machine
        "metrics_address": f"unix:{tmp_path}/run/metrics.sock",
        "management_address": f"unix:{tmp_path}/run/management.sock",
        "model_store": str(tmp_path / "models"),
        "job_queue_size": "7",
        "max_request_size": str(3 * 1024 * 1024),
        "metrics_mode": "prometheus",
        "disable_token_authorization": "true",
    }
    assert {name: config[name] for name in expected} == expected
    addresses = {key: value for key, value in config.items() if key.endswith("_address")}
    assert {key for key, value in addresses.items() if "0.0.0.0" in value} == {"inference_address"}


def test_web_pages_of_one_origin(tmp_path: Path) -> None:
    def config(*origins: str) -> dict[str, str]:
        return parse(render_config(settings(tmp_path, serving={"cors_origins": origins})))

    assert not any(key.startswith("cors") for key in config())
    assert config("https://a.example")["cors_allowed_origin"] == "https://a.example"
    assert "x-api-key" in config("*")["cors_allowed_headers"]
    with pytest.raises(LaunchError, match=r"2 origins .*uvicorn"):
        config("https://a.example", "https://b.example")


def test_paths_beyond_ascii_survive_the_properties_file(tmp_path: Path) -> None:
    line = next(line for line in render_config(settings(tmp_path / "größe")).splitlines() if line.startswith("model_s"))
    assert line.isascii()
    assert line.encode().decode("unicode_escape").endswith("größe/models")


def test_log_level_reaches_torchserve(tmp_path: Path) -> None:
    assert 'org.pytorch.serve" level="warn"' in render_log4j(settings(tmp_path))
    assert 'org.pytorch.serve" level="debug"' in render_log4j(settings(tmp_path, log={"level": "DEBUG"}))
    assert "RollingFile" not in render_log4j(settings(tmp_path))


def test_launch_is_private_and_repeatable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TS_CONFIG_FILE", "/somebody/elses")
    tree = settings(tmp_path)
    launch = prepare_launch(tree)
    assert prepare_launch(tree) == launch
    assert "TS_CONFIG_FILE" not in launch.environment
    for folder in (management_socket(tree).parent, Path(launch.environment["TMPDIR"])):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert Path(launch.command[0]).is_file()


def test_two_stacks_share_nothing(tmp_path: Path) -> None:
    first, second = prepare_launch(settings(tmp_path / "a")), prepare_launch(settings(tmp_path / "b"))
    assert first.folder != second.folder
    assert first.environment["TMPDIR"] != second.environment["TMPDIR"]


def test_socket_path_fits_whatever_the_data_folder_is_called(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    socket = management_socket(settings(deep))
    assert len(str(socket)) < 107
    assert socket == management_socket(settings(deep))
    assert socket != management_socket(settings(tmp_path / ("y" * 100)))


def test_socket_path_fits_whatever_the_temporary_folder_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("t" * 80)))
    assert len(str(management_socket(settings(tmp_path / ("x" * 100))))) < 80


def test_no_temporary_folder_is_needed_for_a_short_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's root may be read-only."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_get_default_tempdir", raise_no_folder)
    assert management_socket(settings(Path("/data"))) == Path("/data/run/management.sock")


def raise_no_folder() -> str:
    raise FileNotFoundError("no usable temporary directory found")


def test_somebody_elses_folder_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "ts").symlink_to(tmp_path)
    with pytest.raises(LaunchError, match="ts"):
        prepare_launch(settings(tmp_path))


def test_worker_options_survive_the_environment() -> None:
    options = WorkerOptions(top_k=3, threads=2)
    assert read_options(options.to_environment()) == options
    assert read_options({}) == WorkerOptions()


def test_defaults_of_the_worker_are_those_of_the_settings(tmp_path: Path) -> None:
    environment = prepare_launch(settings(tmp_path)).environment
    assert read_options(environment) == WorkerOptions(unsure=UnsureRules(tmp_path / "unsure"))


def test_place_to_drop(tmp_path: Path) -> None:
    assert incoming_place(settings(tmp_path / "a b")) == f"{tmp_path}/a b/store/incoming/"
    assert incoming_place(settings(tmp_path, store="s3://bucket")) == "s3://bucket/incoming/"


def test_nothing_learnt_folder_names_the_place(tmp_path: Path) -> None:
    tree = settings(tmp_path)
    folder = prepare_nothing_learnt(tree)
    assert version_of(folder) == 0
    assert incoming_place(tree) in (folder / "nothing_learnt.json").read_text()


def test_a_worker_is_told_where_to_keep_what_it_was_unsure_of(tmp_path: Path) -> None:
    tree = Settings(data=tmp_path, labelling=LabellingSettings(keep_images=3, keep_days=2, below=0.7))
    told = read_options(prepare_launch(tree).environment).unsure
    assert told == UnsureRules(tmp_path / "unsure", images=3, days=2.0, below=0.7)
