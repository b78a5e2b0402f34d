"""Versions that nobody learnt, in a store: with a model that is none, and an evaluation."""

from pathlib import Path
from typing import Any

from model_store.manifest import Gate
from model_store.versions import VersionStore
from tests.support.documents import make_evaluation
from tools.manifests import make_manifest


def publish(
    versions: VersionStore, number: int, folder: Path, *, passed: bool = True, gate: Gate | None = None, **values: Any
) -> None:
    """The first two know two classes and three, all others three; from the third on they are provisional."""
    classes = ("cat", "dog", "owl")[: number + 1]
    files = {"model.onnx": folder / f"model-{number}", "evaluation.json": folder / f"evaluation-{number}"}
    files["model.onnx"].write_bytes(b"model %d" % number)
    evaluation = make_evaluation(number, classes, passed=passed)
    evaluation = evaluation if gate is None else evaluation.model_copy(update={"gate": gate})
    files["evaluation.json"].write_text(evaluation.model_dump_json())
    facts = {"kind": "learnt" if number < 3 else "provisional", "classes": classes, "new_classes": classes[-1:]}
    versions.publish(make_manifest(number, **(facts | values)), files)


def pointed(versions: VersionStore) -> int | None:
    """The version that the pointer names."""
    pointer = versions.current()
    return pointer.version if pointer is not None else None


def publish_first(versions: VersionStore, count: int, folder: Path, *pointed: int) -> VersionStore:
    """Versions from 1 on, of which the third is refused; the pointer is moved to ``pointed`` one by one."""
    for number in range(1, count + 1):
        publish(versions, number, folder, passed=number < 3)
    for number in pointed:
        versions.point_to(number, "published")
    return versions
