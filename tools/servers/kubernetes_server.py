"""A control plane of Kubernetes as processes: etcd, the API server, the controllers. No node: no pod ever runs."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.servers.server import cache, free_port, process, wait_until

KUBERNETES_MISSING = "no control plane: run tools/servers/install_kubernetes.sh, and install etcd-server and kubectl"
TOKEN = "lucir-test-token"


@dataclass(frozen=True)
class Cluster:
    """The API server and a way to it."""

    kubeconfig: Path

    def kubectl(self, *arguments: str, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run kubectl against it; who calls looks at the status."""
        return subprocess.run(
            ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments],
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=60,
        )


def find_kubernetes() -> Path | None:
    """The folder of the programs that install_kubernetes.sh built; None where something is missing."""
    folder = max(cache().glob("kubernetes-*/kube-controller-manager"), default=None)
    return folder.parent if folder and shutil.which("etcd") and shutil.which("kubectl") else None


@contextmanager
def kubernetes(folder: Path) -> Iterator[Cluster]:
    """Run it on ``folder``, on free ports of 127.0.0.1."""
    programs = find_kubernetes()
    if programs is None:
        raise RuntimeError(KUBERNETES_MISSING)
    storage, peers, port = free_port(), free_port(), free_port()
    key = folder / "service-account.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    (folder / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n", encoding="utf-8")
    cluster = Cluster(_kubeconfig(folder, port))
    etcd = [
        "etcd",
        *("--data-dir", str(folder / "etcd"), "--unsafe-no-fsync"),
        *(
            "--listen-client-urls",
            f"http://127.0.0.1:{storage}",
            "--advertise-client-urls",
            f"http://127.0.0.1:{storage}",
        ),
        *("--listen-peer-urls", f"http://127.0.0.1:{peers}"),
    ]
    server = [
        str(programs / "kube-apiserver"),
        *("--etcd-servers", f"http://127.0.0.1:{storage}", "--cert-dir", str(folder / "certificates")),
        *("--bind-address", "127.0.0.1", "--secure-port", str(port), "--service-cluster-ip-range", "10.0.0.0/24"),
        *("--token-auth-file", str(folder / "tokens.csv"), "--authorization-mode", "RBAC"),
        *("--service-account-issuer", "https://lucir.invalid", "--service-account-key-file", str(key)),
        *("--service-account-signing-key-file", str(key)),
    ]
    controllers = [
        str(programs / "kube-controller-manager"),
        *("--kubeconfig", str(cluster.kubeconfig), "--service-account-private-key-file", str(key)),
        *("--leader-elect=false", "--secure-port", "0"),
    ]
    log = folder / "log"
    environment = {"HOME": str(folder), "ETCD_UNSUPPORTED_ARCH": os.uname().machine}
    with process(etcd, log, environment), process(server, log, environment) as child:
        wait_until(lambda: cluster.kubectl("get", "--raw", "/readyz").stdout == "ok", child, log)
        with process(controllers, log, environment):
            yield cluster


def _kubeconfig(folder: Path, port: int) -> Path:
    """The address and the token of an administrator."""
    path = folder / "kubeconfig"
    path.write_text(
        f"""apiVersion: v1
kind: Config
clusters:
  - {{name: test, cluster: {{server: "https://127.0.0.1:{port}", insecure-skip-tls-verify: true}}}}
users:
  - {{name: admin, user: {{token: {TOKEN}}}}}
contexts:
  - {{name: test, context: {{cluster: test, user: admin}}}}
current-context: test
""",
        encoding="utf-8",
    )
    return path
