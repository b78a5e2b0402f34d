"""The compose file: its schema (which check-jsonschema carries, offline), hardening, agreement with the settings."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from handlers.settings import CONFIG_VARIABLE, ENVIRONMENT_PREFIX, Settings
from handlers.torchserve.launch import drain_limit

VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<kind>:[-?])(?P<value>[^}]*))?\}")
SERVICES = ["store", "bucket", "serving", "updater", "prometheus", "grafana"]


def substitute(value: str) -> str:
    """A compose value as an operator with every secret filled in gets it."""
    return VARIABLE.sub(lambda match: (match["value"] or "") if match["kind"] == ":-" else "filled-in", value)


def target_of(port: str) -> int:
    """The container's side of a published port."""
    return int(substitute(port).rsplit(":", 1)[1])


@pytest.mark.parametrize("file", ["compose.yaml", "compose.uvicorn.yaml"])
def test_follows_the_compose_schema(root: Path, file: str) -> None:
    command = ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", root / "deploy" / file]
    result = subprocess.run([Path(sys.executable).parent / command[0], *command[1:]], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_has_exactly_the_services_tested_here(compose: dict[str, Any]) -> None:
    assert sorted(compose["services"]) == sorted(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_is_locked_down(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    limits = service["deploy"]["resources"]["limits"]
    assert {"cpus", "memory"} <= set(limits)


@pytest.mark.parametrize("name", SERVICES)
def test_names_a_fixed_image(compose: dict[str, Any], name: str) -> None:
    image = substitute(compose["services"][name]["image"])
    repository, _, tag = image.partition(":")
    assert tag
    assert tag != "latest"
    assert repository != "minio/minio"  # gone; see .env.example


@pytest.mark.parametrize("name", SERVICES)
def test_health_is_judged(compose: dict[str, Any], root: Path, name: str) -> None:
    service = compose["services"][name]
    if name == "bucket":  # a step that ends: others wait for its success
        assert service["healthcheck"] == {"disable": True}
        return
    in_image = "build" in service and "HEALTHCHECK" in (root / "deploy" / "Dockerfile").read_text()
    assert in_image or service["healthcheck"]["test"][0] == "CMD"


def test_mounts_exist_and_are_read_only(compose: dict[str, Any], root: Path) -> None:
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source, _, rest = volume.partition(":")
            if source.startswith("."):
                assert (root / "deploy" / source).exists(), (name, source)
                assert rest.endswith(":ro"), (name, volume)
            else:
                assert source in compose["volumes"], (name, source)


def test_dependencies_and_networks_exist(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert set(service.get("depends_on", [])) <= set(compose["services"])
        assert set(service["networks"]) <= set(compose["networks"])
    assert "storage" not in compose["services"]["serving"]["networks"]


def test_secrets_have_no_default_and_the_example_names_every_variable(root: Path) -> None:
    text = (root / "deploy" / "compose.yaml").read_text()
    uses = list(VARIABLE.finditer(text))
    example = dict(
        line.split("=", 1)
        for line in (root / "deploy" / ".env.example").read_text().splitlines()
        if line and not line.startswith("#")
    )
    required = {use["name"] for use in uses if use["kind"] == ":?"}
    assert required == {"S3_ACCESS_KEY", "S3_SECRET_KEY", "GRAFANA_PASSWORD"}
    assert all(example[name] == "" for name in required)
    defaults = {use["name"]: use["value"] for use in uses if use["kind"] == ":-"}
    assert {name: value for name, value in defaults.items() if name in example} == {
        name: value for name, value in example.items() if name not in required
    }
    # These would reach `lucir` on the host as unknown settings if somebody exported the file.
    assert not any(name.startswith(ENVIRONMENT_PREFIX) for name in example)


@pytest.fixture
def settings(
    compose: dict[str, Any], root: Path, container_settings: Callable[[Path, dict[str, str]], Settings]
) -> Callable[[str], Settings]:
    """``settings(service)``: what the service's process reads at its start."""

    def load(name: str) -> Settings:
        service = compose["services"][name]
        environment = {key: substitute(value) for key, value in service["environment"].items()}
        inside = environment.pop(CONFIG_VARIABLE)
        mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in service["volumes"]}
        return container_settings(root / "deploy" / mounted[inside], environment)

    return load


@pytest.mark.parametrize("name", ["bucket", "serving", "updater"])
def test_settings_are_known_and_lead_to_the_store(
    settings: Callable[[str], Settings], compose: dict[str, Any], name: str
) -> None:
    found = settings(name)
    assert found.store == "s3://lucir"
    endpoint = urlsplit(found.s3.endpoint)
    assert endpoint.hostname in compose["services"]
    assert endpoint.port == 9000
    assert found.s3.credentials() == ((None, None) if name == "serving" else ("filled-in", "filled-in"))


def test_the_two_halves_agree(settings: Callable[[str], Settings], compose: dict[str, Any]) -> None:
    serving, updater = settings("serving"), settings("updater")
    assert serving.data == updater.data
    volumes = [compose["services"][name]["volumes"] for name in ("serving", "updater")]
    assert all(f"data:{serving.data}" in mounts for mounts in volumes)
    assert serving.serving.management_socket == updater.serving.management_socket
    assert str(serving.serving.management_socket).startswith(f"{serving.data}/")
    assert updater.inference_url == f"http://serving:{serving.serving.port}"
    assert serving.serving.host == updater.updater.host == "0.0.0.0"
    assert set(compose["services"]["updater"]["networks"]) & set(compose["services"]["serving"]["networks"])


def test_published_ports_are_the_settings_ports(settings: Callable[[str], Settings], compose: dict[str, Any]) -> None:
    serving, updater = settings("serving"), settings("updater")
    assert [target_of(port) for port in compose["services"]["serving"]["ports"]] == [serving.serving.port]
    assert [target_of(port) for port in compose["services"]["updater"]["ports"]] == [updater.updater.port]


def test_pages_without_a_login_stay_on_this_machine(compose: dict[str, Any]) -> None:
    for name in ("updater", "prometheus", "grafana"):
        assert all(port.startswith("127.0.0.1:") for port in compose["services"][name]["ports"]), name


def test_prometheus_scrapes_both_halves(
    settings: Callable[[str], Settings], compose: dict[str, Any], root: Path
) -> None:
    config = yaml.safe_load((root / "deploy" / "prometheus" / "prometheus.yml").read_text())
    jobs = config["scrape_configs"]
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in jobs if "static_configs" in job}
    assert targets == {
        "lucir-updater": [f"updater:{settings('updater').updater.port}"],
        "lucir-serving": [f"serving:{settings('serving').serving.metrics_port}"],
    }
    # Replicas are elsewhere: they are named in files, which name none as they come.
    files = {job["job_name"]: job["file_sd_configs"][0]["files"] for job in jobs if "file_sd_configs" in job}
    assert set(files) == {"lucir-serving", "lucir-follower"}
    for (file,) in files.values():
        assert yaml.safe_load((root / "deploy" / "prometheus" / file).read_text()) == []
        assert (
            f"./prometheus/{Path(file).parent}:/etc/prometheus/{Path(file).parent}:ro"
            in (compose["services"]["prometheus"]["volumes"])
        )
    own = set(compose["services"]["prometheus"]["networks"])
    for name in ("updater", "serving"):
        assert own & set(compose["services"][name]["networks"])


def test_there_is_time_to_drain(settings: Callable[[str], Settings], compose: dict[str, Any]) -> None:
    limit = drain_limit(settings("serving"))
    assert limit < float(compose["services"]["serving"]["stop_grace_period"].removesuffix("s"))
