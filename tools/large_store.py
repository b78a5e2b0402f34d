"""A store as it is after years: many versions of many classes, none of them learnt."""

from pathlib import Path

from model_store.documents import encode
from model_store.forms.confusion import Confusion
from model_store.manifest import Accuracy, Counts, Evaluation, Gate
from model_store.objects import ObjectStore
from model_store.versions import VersionStore
from tools.manifests import make_manifest


def fill_store(objects: ObjectStore, folder: Path, *, versions: int, classes: int) -> VersionStore:
    """Publish versions whose documents are as large as real ones; the last is the current one."""
    names = tuple(f"class {number:04d}" for number in range(classes))
    evaluation = Evaluation(
        version=1,
        parent=None,
        images=10 * classes,
        cnn=Accuracy(all=0.9, old=0.8, new=0.95),
        nme=Accuracy(all=0.85, old=0.8, new=0.9),
        class_accuracy=dict.fromkeys(names, 0.9),
        class_best=dict.fromkeys(names, 0.9),
        old_as_new=0.01,
        forgetting=0.02,
        history=(0.95, 0.9),
        parent_old=0.85,
        confusion=Confusion.of(classes, ((number, number, 10) for number in range(classes))),
        gate=Gate(passed=True),
    )
    files = {"model.onnx": folder / "model", "evaluation.json": folder / "evaluation"}
    files["model.onnx"].write_bytes(b"model")
    files["evaluation.json"].write_bytes(encode(evaluation))
    counts = Counts(
        train=dict.fromkeys(names, 40), holdout=dict.fromkeys(names, 10), exemplars=dict.fromkeys(names, 20)
    )
    store = VersionStore(objects)
    for number in range(1, versions + 1):
        store.publish(make_manifest(number, classes=names, new_classes=names[-3:], counts=counts), files)
    store.point_to(versions, "published")
    return store
