"""Manifests for tests and benchmarks that publish versions without learning them."""

from typing import Any

from model_store.manifest import Counts, Manifest, Preprocessing, now


def make_manifest(version: int, *, side: int = 32, **values: Any) -> Manifest:
    """A version of an untrained model that takes images of ``side`` pixels; ``values`` replace what is said here."""
    facts: dict[str, Any] = {
        "parent": version - 1 or None,
        "update_id": f"{version:06d}",
        "created_at": now(),
        "classes": ("cat", "dog"),
        "new_classes": (),
        "updated_classes": (),
        "preprocessing": Preprocessing(size=side, resize=side),
        "readout": "cnn",
        "method": "lucir",
        "config": {},
        "counts": Counts(train={}, holdout={}, exemplars={}),
        "files": {},
        "software": {},
        "timings": {},
    }
    return Manifest(version=version, **(facts | values))
