"""The manifests of k8s/ as ``kubectl apply -k`` would send them, and what the tests look up in them."""

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

PODS = {"Deployment", "StatefulSet", "CronJob"}
"""Kinds that make pods here."""

Manifest = dict[str, Any]


def render(kubectl: str, folder: Path) -> list[Manifest]:
    """What the kustomization of ``folder`` comes to; a warning is an error."""
    result = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=True)
    assert result.stderr == ""
    return list(yaml.safe_load_all(result.stdout))


def template_of(document: Manifest) -> Manifest:
    """The template of the pods that it makes."""
    spec = document["spec"]
    return (spec["jobTemplate"]["spec"] if document["kind"] == "CronJob" else spec)["template"]


def pod_of(document: Manifest) -> Manifest:
    """The spec of the pods that it makes."""
    return template_of(document)["spec"]


def pods(documents: list[Manifest]) -> list[Manifest]:
    return [pod_of(document) for document in documents if document["kind"] in PODS]


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def container(pod: Manifest, name: str) -> Manifest:
    """The one of that name."""
    (found,) = [item for item in containers(pod) if item["name"] == name]
    return found


def secrets(pod: Manifest) -> set[str]:
    """The names of those that it mounts."""
    return {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}


def ports(pod: Manifest) -> dict[str, int]:
    """Of all its containers, by name."""
    return {port["name"]: port["containerPort"] for item in containers(pod) for port in item.get("ports", [])}


def named(documents: list[Manifest], kind: str, name: str) -> Manifest:
    """The one of that name; that of a ConfigMap ends in a hash."""
    pattern = re.compile(f"{name}-[a-z0-9]{{10}}" if kind == "ConfigMap" else name)
    (found,) = [item for item in documents if item["kind"] == kind and pattern.fullmatch(item["metadata"]["name"])]
    return found
