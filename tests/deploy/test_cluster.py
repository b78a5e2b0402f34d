"""A real API server takes every overlay, and its controllers make every pod, under the profile ``restricted``.

By ``make test-cluster``: the programs take ten minutes to build, once.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kubernetes import PODS, Manifest, render
from tests.support.waiting import wait_for
from tools.servers.kubernetes_server import KUBERNETES_MISSING, Cluster, find_kubernetes, kubernetes
from tools.servers.server import cache

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("TEST_CLUSTER"), reason="by make test-cluster only: it takes a minute"),
    pytest.mark.skipif(find_kubernetes() is None, reason=KUBERNETES_MISSING),
]

OVERLAYS = sorted(path.name for path in (Path(__file__).parents[2] / "k8s" / "overlays").iterdir())
ACCEPTED = {
    "container-image-pull-policy": "tags are fixed, and an overlay pins digests: pulling anew changes nothing",
    "deployment-strategy": "one updater writes: Recreate never runs two side by side",
    "deployment-replicas": "the same; the number of the replicas is their autoscaler's",
    "deployment-has-host-podantiaffinity": "topologySpreadConstraints spread them, and still fit one node",
}
"""Findings of kube-score that are meant so, and why. Processors have no limits either: learning is niced and may use
what nobody else needs, and a limit throttles a server in the middle of an answer."""
OF_OPERATORS = (("monitoring.coreos.com", "v1", "PodMonitor"), ("keda.sh", "v1alpha1", "ScaledObject"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with kubernetes(tmp_path_factory.mktemp("kubernetes")) as running:
        for group, version, kind in OF_OPERATORS:
            done = running.kubectl("apply", "-f", "-", stdin=json.dumps(operators_kind(group, version, kind)))
            assert done.returncode == 0, done.stderr
            plural = f"{kind.lower()}s.{group}"
            done = running.kubectl("wait", "--for=condition=Established", f"crd/{plural}", "--timeout=30s")
            assert done.returncode == 0, done.stderr
        yield running


def operators_kind(group: str, version: str, kind: str) -> Manifest:
    """What an operator would bring, with any content."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.lower()}s.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": f"{kind.lower()}s", "singular": kind.lower()},
            "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
        },
    }


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    """A new one, where a pod that is not ``restricted`` is refused."""
    name = "of-" + request.node.name.partition("[")[2].rstrip("]") if "[" in request.node.name else "plain"
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    done = cluster.kubectl("apply", "-f", "-", stdin=json.dumps(document))
    assert done.returncode == 0, done.stderr
    return name


def pods_in(cluster: Cluster, namespace: str) -> list[Manifest]:
    items: list[Manifest] = json.loads(cluster.kubectl("-n", namespace, "get", "pods", "-o", "json").stdout)["items"]
    return items


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_is_taken_and_its_pods_are_made(root: Path, cluster: Cluster, namespace: str, name: str) -> None:
    folder = str(root / "k8s" / "overlays" / name)
    apply = ("-n", namespace, "apply", "--server-side", "--validate=strict", "-k", folder)
    for more in (["--dry-run=server"], [], []):  # the second time nothing is another manager's
        done = cluster.kubectl(*apply, *more)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    if name == "train-job":
        done = cluster.kubectl("-n", namespace, "create", "job", "--from=cronjob/lucir-train", "now")
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    documents = render("kubectl", root / "k8s" / "overlays" / name)
    expected = {f"{item['metadata']['name']}" for item in documents if item["kind"] in PODS - {"CronJob"}}
    expected |= {"now"} if name == "train-job" else set()

    def owners() -> list[str]:
        return [pod["metadata"]["generateName"] for pod in pods_in(cluster, namespace)]

    wait_for(lambda: expected <= {known for made in owners() for known in expected if made.startswith(f"{known}-")})
    scalers = [item for item in documents if item["kind"] == "HorizontalPodAutoscaler"]
    if scalers:  # its controller brings the replicas to the least number, with or without metrics
        least = scalers[0]["spec"]["minReplicas"]
        wait_for(lambda: sum(made.startswith("lucir-replica-") for made in owners()) == least)


def test_the_profile_is_enforced(cluster: Cluster, namespace: str) -> None:
    """Without this, nothing above would say anything."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "root"},
        "spec": {"containers": [{"name": "root", "image": "lucir-serving:0.2.0"}]},
    }
    wait_for(lambda: cluster.kubectl("-n", namespace, "get", "serviceaccount", "default").returncode == 0)
    done = cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps(pod))
    assert done.returncode != 0
    assert 'violates PodSecurity "restricted:latest"' in done.stderr


@pytest.mark.parametrize("name", OVERLAYS)
def test_kube_score_finds_nothing_else(root: Path, name: str) -> None:
    program = max(cache().glob("kube-score-*/kube-score"), default=None)
    if program is None:
        pytest.skip("no kube-score: run tools/servers/install_kube_score.sh")
    manifests = subprocess.run(
        ["kubectl", "kustomize", str(root / "k8s" / "overlays" / name)], capture_output=True, text=True, check=True
    ).stdout
    ignored = [word for test in ACCEPTED for word in ("--ignore-test", test)]
    command = [str(program), "score", "--output-format", "ci", "--exit-one-on-warning", "--ignore-container-cpu-limit"]
    done = subprocess.run([*command, *ignored, "-"], input=manifests, capture_output=True, text=True, check=False)
    found = [line for line in done.stdout.splitlines() if line.startswith(("[CRITICAL]", "[WARNING]"))]
    assert (done.returncode, found) == (0, []), done.stderr
