"""Images and containers by podman, as root and without systemd: runc, plain cgroups, the network of the host."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.servers.server import cache

PODMAN_MISSING = "no podman, or no base image: run tools/servers/install_podman.sh as root"
BASE_IMAGE = "localhost/lucir-python:bookworm"
BUILD_SECONDS = 1500

CONFIGURATION = """[containers]
default_ulimits = ["nofile=20000:20000", "nproc=10000:10000"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


def base_folder() -> Path | None:
    """The Debian that install_podman.sh made; None where it, or podman, is missing."""
    folder = cache() / "debian-bookworm"
    return folder if folder.is_dir() and shutil.which("podman") and os.getuid() == 0 else None


class Podman:
    """``folder``: for its configuration, which leaves that of the machine alone."""

    def __init__(self, folder: Path) -> None:
        self._configuration = folder / "containers.conf"
        self._configuration.write_text(CONFIGURATION, encoding="utf-8")

    def run(self, *arguments: str, check: bool = True, seconds: float = 120) -> "subprocess.CompletedProcess[str]":
        """``podman ARGUMENTS``. Raises ``RuntimeError`` with what it said, where ``check``."""
        done = subprocess.run(
            ["podman", *arguments],
            env={**os.environ, "CONTAINERS_CONF": str(self._configuration)},
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=seconds,
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"podman {' '.join(arguments)}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        return done

    def base_image(self) -> str:
        """Its name, imported from the folder of Debian if it is not there."""
        if self.run("image", "exists", BASE_IMAGE, check=False).returncode != 0:
            archive = self._configuration.with_name("base.tar")
            subprocess.run(["tar", "-C", str(base_folder()), "-cf", str(archive), "."], check=True)
            self.run("import", str(archive), BASE_IMAGE)
            archive.unlink()
        return BASE_IMAGE

    def build(self, root: Path, target: str, tag: str, seconds: float = BUILD_SECONDS) -> None:
        """A target of deploy/Dockerfile. pip uses this machine's certificates and configuration."""
        mounts = [path for path in ("/etc/ssl/certs", "/etc/pip.conf", "/opt/wheels") if Path(path).exists()]
        self.run(
            # OCI's own format has no health checks.
            *(
                "build",
                "--format",
                "docker",
                "--network",
                "host",
                "--file",
                str(root / "deploy" / "Dockerfile"),
                "--target",
                target,
            ),
            *("--ignorefile", str(root / "deploy" / "Dockerfile.dockerignore"), "--tag", tag),
            *("--build-arg", f"PYTHON_IMAGE={self.base_image()}"),
            *(word for path in mounts for word in ("--volume", f"{path}:{path}:ro")),
            str(root),
            seconds=seconds,
        )

    @contextmanager
    def container(self, *arguments: str) -> Iterator[str]:
        """``podman run --detach ARGUMENTS``: the id of a container that is gone in the end."""
        name = self.run("run", "--detach", *arguments).stdout.strip()
        try:
            yield name
        finally:
            self.run("rm", "--force", "--volumes", "--time", "5", name, check=False)
