"""The manifests: valid Kubernetes, locked down, and in agreement with the settings."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from handlers.settings import CONFIG_VARIABLE, ENVIRONMENT_PREFIX, Settings
from handlers.torchserve.launch import drain_limit
from tests.support.kubernetes import (
    PODS,
    Manifest,
    container,
    containers,
    named,
    pod_of,
    pods,
    ports,
    render,
    secrets,
    template_of,
)

OVERLAYS = [
    "base",
    *(f"overlays/{name}" for name in ("busy", "everything", "gpu", "keda", "local-store", "replicas", "train-job")),
]
COMPONENTS = [
    f"components/{name}"
    for name in ("busy", "gpu", "ingress", "keda", "local-store", "monitoring", "replicas", "train-job")
]
VERSIONS = ("1.29", "1.31", "1.33", "1.35", kubernetes_validate.latest_version())
OF_OPERATORS = {"PodMonitor", "ScaledObject"}
"""Kinds that a cluster has with an operator: no schema of Kubernetes knows them."""


def validate(document: Manifest) -> None:
    """An unknown kind is an error here; the command line of kubernetes-validate only warns of it."""
    if document["kind"] in OF_OPERATORS:
        return
    for version in VERSIONS:
        kubernetes_validate.validate(document, version, strict=True)


def kustomization(root: Path, name: str) -> Manifest:
    return yaml.safe_load((root / "k8s" / name / "kustomization.yaml").read_text())


@pytest.mark.parametrize("name", ["base", *COMPONENTS])
def test_every_resource_file_is_valid_as_it_stands(root: Path, name: str) -> None:
    files = [item for item in kustomization(root, name).get("resources", []) if item.endswith(".yaml")]
    for file in files:
        for document in yaml.safe_load_all((root / "k8s" / name / file).read_text()):
            validate(document)


@pytest.mark.parametrize("name", [*OVERLAYS, *COMPONENTS])
def test_every_file_is_used(root: Path, name: str) -> None:
    content = kustomization(root, name)
    named = {
        *(item for item in content.get("resources", []) if item.endswith(".yaml")),
        *(patch["path"] for patch in content.get("patches", [])),
        *(file for generator in content.get("configMapGenerator", []) for file in generator["files"]),
    }
    assert {path.name for path in (root / "k8s" / name).iterdir()} == named | {"kustomization.yaml"}


def test_a_wrong_manifest_would_be_noticed(root: Path) -> None:
    document = yaml.safe_load((root / "k8s" / "base" / "deployment.yaml").read_text())
    with pytest.raises(kubernetes_validate.ValidationError):
        validate({**document, "spec": {**document["spec"], "replica": 1}})
    with pytest.raises(kubernetes_validate.SchemaNotFoundError):
        validate({**document, "apiVersion": "extensions/v1beta1"})


@pytest.fixture(scope="module", params=OVERLAYS)
def rendered(request: pytest.FixtureRequest, root: Path, program: Callable[[str, str], str]) -> list[Manifest]:
    """What ``kubectl apply -k`` would send."""
    return render(program("kubectl", "kubernetes-client"), root / "k8s" / request.param)


def test_rendered_manifests_are_valid_and_name_no_namespace(rendered: list[Manifest]) -> None:
    for document in rendered:
        validate(document)
        assert "namespace" not in document["metadata"]


def test_every_pod_is_locked_down(rendered: list[Manifest]) -> None:
    for pod in pods(rendered):
        assert pod["automountServiceAccountToken"] is False
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] == context["fsGroup"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        for each in containers(pod):
            own = each["securityContext"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["readOnlyRootFilesystem"] is True
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= set(each["resources"]["requests"])
            assert "memory" in each["resources"]["limits"]


def test_every_image_has_a_fixed_tag(rendered: list[Manifest]) -> None:
    for pod in pods(rendered):
        for each in containers(pod):
            repository, _, tag = each["image"].partition(":")
            assert tag not in {"", "latest"}, each["image"]
            assert repository != "minio/minio"


def test_kubernetes_puts_no_variables_of_its_own_into_the_containers(rendered: list[Manifest]) -> None:
    """A service called lucir would bring LUCIR_PORT: an unknown setting, which stops the start."""
    assert all(pod["enableServiceLinks"] is False for pod in pods(rendered))


def test_volumes_are_mounted_and_mounts_have_volumes(rendered: list[Manifest]) -> None:
    for document in rendered:
        if document["kind"] not in PODS:
            continue
        claims = {claim["metadata"]["name"] for claim in document["spec"].get("volumeClaimTemplates", [])}
        volumes = {volume["name"] for volume in pod_of(document)["volumes"]} | claims
        mounted = {mount["name"] for item in containers(pod_of(document)) for mount in item["volumeMounts"]}
        assert mounted == volumes


def test_selectors_find_the_pods(rendered: list[Manifest]) -> None:
    labels = [template_of(item)["metadata"]["labels"] for item in rendered if item["kind"] in PODS]
    for document in rendered:
        selector = {
            "Service": lambda item: item["spec"]["selector"],
            "PodDisruptionBudget": lambda item: item["spec"]["selector"]["matchLabels"],
            "NetworkPolicy": lambda item: item["spec"]["podSelector"]["matchLabels"],
            "Deployment": lambda item: item["spec"]["selector"]["matchLabels"],
            "StatefulSet": lambda item: item["spec"]["selector"]["matchLabels"],
        }.get(document["kind"])
        if selector is not None:
            wanted = selector(document).items()
            assert len([found for found in labels if wanted <= found.items()]) == 1, document["metadata"]["name"]


def test_named_ports_exist(rendered: list[Manifest]) -> None:
    names = {name for pod in pods(rendered) for name in ports(pod)}
    for document in rendered:
        if document["kind"] == "Service":
            assert {port["targetPort"] for port in document["spec"]["ports"]} <= names
        if document["kind"] == "NetworkPolicy":
            for rule in document["spec"].get("ingress", []):
                assert {port["port"] for port in rule["ports"]} <= names


def test_one_updater_writes(rendered: list[Manifest]) -> None:
    spec = named(rendered, "Deployment", "lucir")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


@pytest.fixture
def settings(
    rendered: list[Manifest], tmp_path: Path, container_settings: Callable[[Path, dict[str, str]], Settings]
) -> Callable[..., Settings]:
    """``settings(container, deployment)``: what its process reads, with a mounted secret in place of the cluster's."""
    file, secrets = tmp_path / "lucir.yaml", tmp_path / "secret"
    file.write_text(named(rendered, "ConfigMap", "lucir-settings")["data"]["lucir.yaml"])
    secrets.mkdir()
    (secrets / "access-key").write_text("the-access-key\n")
    (secrets / "secret-key").write_text("the-secret-key\n")

    def load(name: str, deployment: str = "lucir") -> Settings:
        pod = pod_of(named(rendered, "Deployment", deployment))
        process = container(pod, name)
        environment = {item["name"]: item["value"] for item in process["env"]}
        assert all(key.startswith(ENVIRONMENT_PREFIX) for key in environment)
        mounts = {mount["name"]: mount["mountPath"] for mount in process["volumeMounts"]}
        assert environment.pop(CONFIG_VARIABLE) == f"{mounts['settings']}/lucir.yaml"
        if "s3" in mounts:
            environment = {key: value.replace(mounts["s3"], str(secrets)) for key, value in environment.items()}
        return container_settings(file, environment)

    return load


def test_settings_are_known_and_the_ports_are_theirs(
    settings: Callable[..., Settings], rendered: list[Manifest]
) -> None:
    serving, updater = settings("serving"), settings("updater")
    assert ports(pod_of(named(rendered, "Deployment", "lucir"))) == {
        "inference": serving.serving.port,
        "ts-metrics": serving.serving.metrics_port,
        "updater": updater.updater.port,
    }
    assert updater.inference_url == "http://127.0.0.1:8080"
    assert serving.serving.host == updater.updater.host == "0.0.0.0"


def test_only_the_updater_has_the_keys(settings: Callable[..., Settings]) -> None:
    assert settings("updater").s3.credentials() == ("the-access-key", "the-secret-key")
    assert settings("serving").s3.credentials() == (None, None)


def test_the_data_folder_and_the_probe_are_where_the_settings_say(
    settings: Callable[..., Settings], rendered: list[Manifest]
) -> None:
    pod = pod_of(named(rendered, "Deployment", "lucir"))
    for name in ("serving", "updater"):
        mounts = {mount["mountPath"] for mount in container(pod, name)["volumeMounts"]}
        # One volume holds the whole data folder: the folder of the socket must belong to our user.
        assert {str(settings(name).data), "/tmp", "/etc/lucir"} <= mounts
    sockets = {str(settings(name).serving.management_socket) for name in ("serving", "updater")}
    assert sockets == {container(pod, "serving")["readinessProbe"]["exec"]["command"][-1]}


@pytest.mark.parametrize("rendered", ["overlays/gpu"], indirect=True)
def test_the_gpu_overlay_gives_the_updater_one(rendered: list[Manifest]) -> None:
    limits = {item["name"]: item["resources"]["limits"] for item in pods(rendered)[0]["containers"]}
    assert limits["updater"]["nvidia.com/gpu"] == "1"
    assert limits["updater"]["memory"] == "6Gi"
    assert "nvidia.com/gpu" not in limits["serving"]


REPLICAS = pytest.mark.parametrize("rendered", ["overlays/replicas"], indirect=True)


@REPLICAS
def test_a_replica_serves_and_follows_with_a_key_that_may_only_read(
    settings: Callable[..., Settings], rendered: list[Manifest]
) -> None:
    pod = pod_of(named(rendered, "Deployment", "lucir-replica"))
    assert {item["name"] for item in pod["containers"]} == {"serving", "follower"}
    assert container(pod, "follower")["args"] == ["python", "-m", "handlers.follower"]
    assert importlib.util.find_spec("handlers.follower.__main__") is not None
    assert secrets(pod) == {"lucir-s3-read"}
    serving, follower = settings("serving", "lucir-replica"), settings("follower", "lucir-replica")
    assert follower.s3.credentials() == ("the-access-key", "the-secret-key")
    assert serving.s3.credentials() == (None, None)
    assert follower.follower.host == serving.serving.host == "0.0.0.0"
    assert follower.store == settings("updater").store
    assert ports(pod) == {"inference": 8080, "ts-metrics": 8082, "follower": follower.follower.port}
    assert serving.serving.management_socket == follower.serving.management_socket
    mounts = [{mount["name"]: mount["mountPath"] for mount in item["volumeMounts"]} for item in pod["containers"]]
    assert {each["data"] for each in mounts} == {str(serving.data), str(follower.data)}


@REPLICAS
def test_a_replica_is_ready_without_its_follower(rendered: list[Manifest]) -> None:
    """While the store is away, or the follower restarts, it serves what it has."""
    pod = pod_of(named(rendered, "Deployment", "lucir-replica"))
    probed = {item["name"]: "readinessProbe" in item for item in pod["containers"]}
    assert probed == {"serving": True, "follower": False}
    assert all("livenessProbe" in item for item in pod["containers"])


@REPLICAS
def test_requests_go_to_replicas_of_which_some_always_stay(rendered: list[Manifest]) -> None:
    deployment = named(rendered, "Deployment", "lucir-replica")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert named(rendered, "Service", "lucir")["spec"]["selector"] == labels
    assert named(rendered, "Service", "lucir-replica-operator")["spec"]["clusterIP"] == "None"
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert "replicas" not in deployment["spec"]
    scaler = named(rendered, "HorizontalPodAutoscaler", "lucir-replica")["spec"]
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert scaler["minReplicas"] >= 2
    budget = named(rendered, "PodDisruptionBudget", "lucir-replica")["spec"]
    assert budget["maxUnavailable"] < scaler["minReplicas"]
    metric = scaler["metrics"][0]["containerResource"]
    assert metric["container"] in {item["name"] for item in deployment["spec"]["template"]["spec"]["containers"]}


@REPLICAS
def test_only_the_pod_that_learns_is_given_the_key_that_may_write(rendered: list[Manifest]) -> None:
    for document in rendered:
        if document["kind"] in PODS:
            assert ("lucir-s3" in secrets(pod_of(document))) == (document["metadata"]["name"] == "lucir")


def test_there_is_time_to_drain(settings: Callable[..., Settings], rendered: list[Manifest]) -> None:
    """preStop until nobody sends requests, then the drain, then TorchServe's end: all before SIGKILL."""
    for document in rendered:
        if document["kind"] == "Deployment":
            pod = pod_of(document)
            command, seconds = container(pod, "serving")["lifecycle"]["preStop"]["exec"]["command"]
            assert command == "sleep"
            limit = drain_limit(settings("serving", document["metadata"]["name"]))
            assert float(seconds) + limit < pod["terminationGracePeriodSeconds"]


def test_names_are_resolved_by_whoever_does_it_on_the_node(rendered: list[Manifest]) -> None:
    """NodeLocal DNSCache answers at an address of the node: a rule that names pods cuts it off."""
    for policy in (item for item in rendered if item["kind"] == "NetworkPolicy"):
        for rule in policy["spec"]["egress"]:
            if any(port["port"] == 53 for port in rule["ports"]):
                assert "to" not in rule, policy["metadata"]["name"]


def test_every_container_says_how_much_of_the_nodes_disk_it_takes(rendered: list[Manifest]) -> None:
    """Volumes of a pod on the node's disk count, all together, against the sum of its containers."""
    for pod in pods(rendered):
        limits = [item["resources"]["limits"]["ephemeral-storage"] for item in pod["containers"]]
        volumes = [item["emptyDir"]["sizeLimit"] for item in pod["volumes"] if "emptyDir" in item]
        assert sum(map(gibibytes, limits)) >= sum(map(gibibytes, volumes))
        assert all("ephemeral-storage" in item["resources"]["requests"] for item in containers(pod))


def gibibytes(text: str) -> float:
    return float(text[:-2]) * {"Gi": 1.0, "Mi": 1 / 1024}[text[-2:]]


@pytest.mark.parametrize("rendered", ["overlays/local-store", "overlays/everything"], indirect=True)
def test_only_the_service_reaches_its_store(rendered: list[Manifest]) -> None:
    policy = named(rendered, "NetworkPolicy", "lucir-store")["spec"]
    store = named(rendered, "StatefulSet", "lucir-store")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= store.items()
    assert policy["egress"] == []
    (rule,) = policy["ingress"]
    ours = [item["spec"]["template"]["metadata"]["labels"] for item in rendered if item["kind"] == "Deployment"]
    (allowed,) = [source["podSelector"]["matchLabels"].items() for source in rule["from"]]
    assert ours
    assert all(allowed <= labels.items() for labels in ours)


@pytest.mark.parametrize("rendered", ["overlays/everything"], indirect=True)
def test_all_components_fit_together(rendered: list[Manifest]) -> None:
    pod = pod_of(named(rendered, "Deployment", "lucir"))
    assert [item["name"] for item in pod["initContainers"]] == ["bucket"]
    limits = {item["name"]: item["resources"]["limits"] for item in pod["containers"]}
    assert limits["updater"]["nvidia.com/gpu"] == "1"
    settings = yaml.safe_load(named(rendered, "ConfigMap", "lucir-settings")["data"]["lucir.yaml"])
    assert settings["s3"]["endpoint"] == "http://lucir-store:9000"
    monitors = [item["spec"] for item in rendered if item["kind"] == "PodMonitor"]
    scraped = {each["port"] for monitor in monitors for each in monitor["podMetricsEndpoints"]}
    assert scraped == {"updater", "ts-metrics", "follower"} <= {name for each in pods(rendered) for name in ports(each)}
    jobs = {
        rule["replacement"] for each in monitors for end in each["podMetricsEndpoints"] for rule in end["relabelings"]
    }
    assert jobs == {"lucir-updater", "lucir-serving", "lucir-follower"}
