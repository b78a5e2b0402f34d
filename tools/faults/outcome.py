"""What an update left in a store, in a form that is equal whenever nothing was lost, doubled or changed."""

import hashlib
import json
from typing import Any

from model_store.layout import EVALUATION
from model_store.manifest import Manifest
from model_store.objects import ObjectStore
from model_store.versions import VersionStore

TIMED = frozenset({EVALUATION, "report.html", "report.json"})
"""Files of a version that tell when and how fast it was made."""


def outcome(objects: ObjectStore) -> dict[str, Any]:
    """Everything but times and names of processes."""
    versions = VersionStore(objects)
    pointer = versions.current()
    return {
        "incoming": _hashes(objects, "incoming/"),
        "archive": _hashes(objects, "archive/"),
        "rejected": {
            key: value if not key.endswith(".reason.json") else json.loads(objects.read(key))["reason"]
            for key, value in _hashes(objects, "rejected/").items()
        },
        "versions": {str(number): _version(versions.verify(number), versions) for number in versions.numbers()},
        "pointer": (pointer.version, pointer.previous) if pointer is not None else None,
        "updates": {name: _done(objects, name) for name in objects.folders("updates/")},
    }


def differences(found: Any, expected: Any, place: str = "") -> list[str]:
    """What differs, in a line each; empty when nothing does."""
    if isinstance(found, dict) and isinstance(expected, dict):
        names = sorted({*found, *expected})
        return [
            line
            for name in names
            for line in differences(found.get(name, "nothing"), expected.get(name, "nothing"), f"{place}/{name}")
        ]
    return [] if found == expected else [f"{place}: {found} instead of {expected}"]


def expected_of(found: dict[str, Any], undisturbed: dict[str, Any]) -> dict[str, Any]:
    """What the undisturbed run left, without the provisional versions that are not in ``found``.

    An update whose imprinting was killed does not try again: it goes on to the learnt version.
    """
    versions = {
        number: facts
        for number, facts in undisturbed["versions"].items()
        if facts["kind"] != "provisional" or number in found["versions"]
    }
    current, previous = undisturbed["pointer"]
    if previous is not None and str(previous) not in versions:
        previous = undisturbed["versions"][str(previous)]["parent"]
    return {**undisturbed, "versions": versions, "pointer": (current, previous)}


def counts(found: dict[str, Any], expected: dict[str, Any]) -> tuple[int, int]:
    """(images lost, images there twice): over everything that was uploaded, by content."""
    there, wanted = _contents(found), _contents(expected)
    lost = sum(max(0, wanted.count(content) - there.count(content)) for content in set(wanted))
    doubled = sum(max(0, there.count(content) - wanted.count(content)) for content in set(there))
    return lost, doubled


def _contents(found: dict[str, Any]) -> list[str]:
    originals = [value for key, value in found["rejected"].items() if not key.endswith(".reason.json")]
    return [*found["archive"].values(), *originals, *found["incoming"].values()]


def _hashes(objects: ObjectStore, prefix: str) -> dict[str, str]:
    return {info.key: hashlib.sha256(objects.read(info.key)).hexdigest() for info in objects.list(prefix)}


def _version(manifest: Manifest, versions: VersionStore) -> dict[str, Any]:
    evaluation = versions.evaluation(manifest.version)
    return {
        "classes": manifest.classes,
        "kind": manifest.kind,
        "parent": manifest.parent,
        "counts": manifest.counts.model_dump(),
        "files": {name: record.sha256 for name, record in manifest.files.items() if name not in TIMED},
        "accuracy": evaluation.cnn.model_dump(),
    }


def _done(objects: ObjectStore, update: str) -> dict[str, Any]:
    done = json.loads(objects.read(f"updates/{update}/done.json"))
    return {name: done[name] for name in ("result", "version", "images", "left")}
