"""Documents of updates and versions for tests that learn nothing: valid as they are, any field can be said."""

from typing import Any

from handlers.bucket.update_documents import Done, Entry, Plan, Role
from model_store.manifest import Accuracy, Evaluation, Gate, now


def make_entry(key: str, role: Role = "train", **values: Any) -> Entry:
    """An object of ``incoming/`` that a plan has given a role."""
    facts: dict[str, Any] = {
        "etag": "e",
        "size": 3,
        "modified": 0.0,
        "sha256": "0" * 64,
        "class_name": "cat",
        "reason": "too small" if role == "rejected" else None,
        "target": f"archive/{key}",
    }
    return Entry(key=key, role=role, **(facts | values))


def make_plan(update_id: str, entries: tuple[Entry, ...] = (), **values: Any) -> Plan:
    """What an update decides on: the class cat is new."""
    facts: dict[str, Any] = {
        "created_at": now(),
        "parent": None,
        "version": 1,
        "classes": ("cat",),
        "new_classes": ("cat",),
        "updated_classes": (),
        "own_evaluation": (),
        "resize": 32,
        "dropped_at": 0.0,
    }
    return Plan(id=update_id, entries=entries, **(facts | values))


def make_done(update_id: str, result: str = "published", version: int | None = None, **values: Any) -> Done:
    """How an update ended."""
    facts: dict[str, Any] = {
        "result": result,
        "version": version,
        "reason": None if result == "published" else "the reason",
        "finished_at": now(),
        "images": {},
        "moved": 0,
        "left": (),
        "timings": {},
    }
    return Done(id=update_id, **(facts | values))


def make_evaluation(
    version: int, classes: tuple[str, ...] = ("cat",), *, passed: bool = True, **values: Any
) -> Evaluation:
    """Nine of ten images of each class right."""
    facts: dict[str, Any] = {
        "parent": version - 1 or None,
        "images": 10,
        "cnn": Accuracy(all=0.9, old=0.85 if version > 1 else None, new=0.95),
        "nme": Accuracy(all=0.5, old=None, new=0.5),
        "class_accuracy": dict.fromkeys(classes, 0.9),
        "class_best": dict.fromkeys(classes, 0.9),
        "old_as_new": None,
        "forgetting": 0.05,
        "history": (0.9,),
        "parent_old": None,
        "confusion": ((10,),),
        "gate": Gate(passed=passed, reasons=() if passed else ("too bad",)),
    }
    return Evaluation(version=version, **(facts | values))
