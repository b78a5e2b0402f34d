"""A version whose report has something in each part, and every shade of its matrix."""

import base64
from pathlib import Path

import numpy as np

from handlers.bucket.report_document import (
    REPORT_HTML,
    REPORT_JSON,
    Change,
    Confusion,
    Doubts,
    Figures,
    Incoming,
    LooksLike,
    LooksSame,
    MayBeMistaken,
    Mistake,
    Rejection,
    Report,
    Taken,
)
from handlers.demo.digits import png
from handlers.updater.release.report.html import render
from model_store.documents import encode
from model_store.manifest import Gate, now
from model_store.versions import VersionStore
from tests.support.documents import make_evaluation
from tools.manifests import make_manifest

SHARES = tuple(range(0, 101, 14))
"""Per cent of a class that are answered rightly: one for each shade."""
LONG = "a class whose name is as long as names may be, " + "x" * 50
KEY = "incoming/owl/a folder within the folder/another one below it, with a long name/photograph 0001.jpg"


def publish_report(versions: VersionStore, number: int, folder: Path) -> Report:
    """Publish a version with it; gives it."""
    report = full_report(number)
    files = {name: folder / f"{name}-{number}" for name in ("model.onnx", "evaluation.json", REPORT_JSON, REPORT_HTML)}
    files["model.onnx"].write_bytes(b"model")
    files["evaluation.json"].write_bytes(encode(make_evaluation(number, report.matrix_classes, passed=True)))
    files[REPORT_JSON].write_bytes(encode(report))
    files[REPORT_HTML].write_text(render(report), encoding="utf-8")
    versions.publish(make_manifest(number, classes=report.matrix_classes, new_classes=report.new_classes), files)
    return report


def full_report(number: int) -> Report:
    """Its figures, made up."""
    names = (*(f"class {share}" for share in SHARES[:-1]), LONG)
    matrix = np.diag(SHARES)
    matrix[np.arange(len(SHARES)), np.roll(np.arange(len(SHARES)), 1)] = 100 - np.diag(matrix)
    image = base64.b64encode(png(np.eye(8) * 16, 32)).decode()
    return Report(
        version=number,
        parent=1,
        update_id=f"{number:06d}",
        kind="learnt",
        asked=None,
        created_at=now(),
        new_classes=names[-1:],
        updated_classes=names[:1],
        class_count=len(names),
        incoming=(
            Incoming(name=LONG, state="new", trained=30, held_out=8, rejected=2),
            Incoming(name=names[0], state="known", trained=1200, held_out=0, rejected=0, archived=7),
            Incoming(name="empty", state="none", trained=0, held_out=0, rejected=1),
        ),
        incoming_left_out=1,
        rejections=(Rejection(reason="the file is not an image", count=3, examples=(KEY, "incoming/empty/a")),),
        rejections_left_out=1,
        accuracy=Figures(
            before_old=0.9, all=0.5, old=0.4, new=1.0, nearest_mean=0.6, forgetting=0.5, images=800, interval=(0.4, 0.6)
        ),
        gate=Gate(passed=False, reasons=("too much was lost",), undecided=("1 of 4 images of one class is right",)),
        taken=Taken(old_right=300, old_as_old=200, old_as_new=200, new_right=90, new_as_new=0, new_as_old=10),
        confusions=(Confusion(true=names[0], predicted=LONG, count=100, kind="old as new"),),
        matrix=tuple(map(tuple, matrix.tolist())),
        matrix_classes=names,
        classes=tuple(
            Change(name=name, is_new=name == LONG, images=100, before=None if name == LONG else 0.9, after=share / 100)
            for name, share in zip(names, SHARES, strict=True)
        ),
        classes_left_out=1,
        mistakes=(Mistake(true=names[0], predicted=LONG, probability=0.7, png=image),),
        seconds={"learn": 3.2, "evaluate": 0.4},
        doubts=Doubts(
            judged=40,
            share=0.05,
            mislabelled=(LooksLike(key=KEY, name=names[0], looks_like=LONG, margin=0.9),),
            left_out=1,
            duplicates=(LooksSame(key=KEY, name=names[0], other_key=None, other=LONG, cosine=0.99),),
            lookalikes=(MayBeMistaken(name=names[0], other=LONG, share=0.3),),
        ),
        advice="a frozen pretrained backbone reaches 90.0 % (learning.preset: photo)",
    )
