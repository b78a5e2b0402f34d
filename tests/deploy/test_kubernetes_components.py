"""What single components of k8s/ promise: a job that learns, an ingress that lets nothing else through, autoscalers."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from handlers.serving_settings import ServingSettings
from handlers.updater.__main__ import main
from tests.support.kubernetes import Manifest, containers, named, pod_of, pods, render, secrets

Render = Callable[[str], list[Manifest]]


@pytest.fixture(scope="module")
def overlay(root: Path, program: Callable[[str, str], str]) -> Render:
    return lambda name: render(program("kubectl", "kubernetes-client"), root / "k8s" / "overlays" / name)


def environment(container: Manifest) -> dict[str, str]:
    return {item["name"]: item["value"] for item in container["env"]}


def test_the_job_learns_on_a_gpu_what_the_base_only_takes_in(
    overlay: Render, capsys: pytest.CaptureFixture[str]
) -> None:
    documents = overlay("train-job")
    job = named(documents, "CronJob", "lucir-train")
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    (learner,) = pod_of(job)["containers"]
    assert learner["args"] == ["python", "-m", "handlers.updater", "--once"]
    assert importlib.util.find_spec("handlers.updater.__main__") is not None
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--once" in capsys.readouterr().out
    assert learner["resources"]["limits"]["nvidia.com/gpu"] == "1"
    base = {item["name"]: item for item in pod_of(named(documents, "Deployment", "lucir"))["containers"]}
    assert environment(base["updater"])["LUCIR_UPDATER__LEARNS"] == "false"
    assert "LUCIR_UPDATER__LEARNS" not in environment(learner)
    assert learner["image"] == base["updater"]["image"]
    assert "nvidia.com/gpu" not in base["updater"]["resources"]["limits"]
    # The same store with the same key.
    for name in ("LUCIR_CONFIG", "LUCIR_S3__ACCESS_KEY_FILE", "LUCIR_S3__SECRET_KEY_FILE"):
        assert environment(learner)[name] == environment(base["updater"])[name]
    settings = [volume for pod in pods(documents) for volume in pod["volumes"] if volume["name"] == "settings"]
    assert settings[0] == settings[1]


def test_the_ingress_leads_to_predictions_and_to_nothing_else(overlay: Render) -> None:
    documents = overlay("everything")
    ingress = named(documents, "Ingress", "lucir")
    (rule,) = ingress["spec"]["rules"]
    paths = {item["path"]: item["backend"]["service"] for item in rule["http"]["paths"]}
    assert set(paths) == {"/predictions/lucir", "/v2/models/lucir"}
    assert all(backend == {"name": "lucir", "port": {"name": "http"}} for backend in paths.values())
    assert [item["port"] for item in named(documents, "Service", "lucir")["spec"]["ports"] if item["name"] == "http"]
    assert {host for tls in ingress["spec"]["tls"] for host in tls["hosts"]} == {rule["host"]}
    annotations = ingress["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/force-ssl-redirect"] == "true"
    limit = annotations["nginx.ingress.kubernetes.io/proxy-body-size"].removesuffix("m")
    assert int(limit) == ServingSettings().max_request_mb + 1


def test_what_is_open_to_everybody_asks_for_a_key(overlay: Render) -> None:
    documents = overlay("everything")
    for name in ("lucir", "lucir-replica"):
        for container in pod_of(named(documents, "Deployment", name))["containers"]:
            file = Path(environment(container)["LUCIR_SERVING__API_KEY_FILE"])
            assert str(file.parent) in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_one_autoscaler_looks_after_the_replicas(overlay: Render) -> None:
    busy, keda = overlay("busy"), overlay("keda")
    scaler = named(busy, "HorizontalPodAutoscaler", "lucir-replica")["spec"]
    assert [metric["type"] for metric in scaler["metrics"]] == ["Pods"]
    scaled = named(keda, "ScaledObject", "lucir-replica")["spec"]
    assert not [item for item in keda if item["kind"] == "HorizontalPodAutoscaler"]
    assert named(keda, "Deployment", scaled["scaleTargetRef"]["name"])
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (scaler["minReplicas"], scaler["maxReplicas"])


def test_every_secret_that_is_asked_for_is_made_in_the_readme(root: Path, overlay: Render) -> None:
    text = (root / "k8s" / "README.md").read_text()
    asked = {secret for name in ("everything", "train-job") for pod in pods(overlay(name)) for secret in secrets(pod)}
    asked |= {tls["secretName"] for tls in named(overlay("everything"), "Ingress", "lucir")["spec"]["tls"]}
    assert asked == {"lucir-s3", "lucir-s3-read", "lucir-api-keys", "lucir-tls"}
    for secret in asked:
        assert f" {secret} " in text.replace("\n", " "), secret


def test_every_component_is_in_the_readme(root: Path) -> None:
    text = (root / "k8s" / "README.md").read_text()
    for kind in ("components", "overlays"):
        for folder in (root / "k8s" / kind).iterdir():
            assert f"`{kind}/{folder.name}`" in text, folder.name


def test_no_container_is_left_out_of_the_fixed_tags(overlay: Render) -> None:
    """A component that adds resources names the tag again: the base has named its own before."""
    tags = {item["image"] for pod in pods(overlay("train-job")) for item in containers(pod)}
    assert tags == {"lucir-serving:0.2.0", "lucir-updater:0.2.0"}


def test_the_examples_of_the_readme_are_yaml(root: Path) -> None:
    for block in (root / "k8s" / "README.md").read_text().split("```yaml\n")[1:]:
        assert yaml.safe_load(block.partition("```")[0])
