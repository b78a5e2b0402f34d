"""What grows with the number of classes and of replicas: the constants of docs/growing.md.

    python -m benchmarks.growing.run --output benchmarks/growing/result.json

Made features (1,280 numbers, five images a class: its direction and noise) stand for those of a backbone: what is timed
does not depend on what they show. For each number of classes, in a process of its own whose peak memory is read: the
head, an answer, ``evaluation.json`` written and read. Then followers' reads of the pointer on a real MinIO, from 64
threads.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.growing.pollers import pointer_reads
from benchmarks.result import machine, show
from lucir_core.frozen.analytic import class_means, class_sums, fit_ridge, unit_rows
from model_store.documents import encode, parse
from model_store.forms.confusion import Confusion
from model_store.manifest import Accuracy, Evaluation, Gate

WIDTH, EACH = 1280, 5
CLASSES = (300, 1_000, 3_000, 10_000)


def main() -> None:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--classes", type=int, help="one measurement, in this process")
    options = parser.parse_args()
    if options.classes is not None:
        sys.stdout.write(json.dumps(measure(options.classes)))
        return
    rows = {str(count): in_its_own_process(count) for count in CLASSES}
    result = {"machine": machine(), "images_per_class": EACH, "classes": rows, "pointer": pointer_reads()}
    show(result, options.output)


def in_its_own_process(count: int) -> dict[str, float]:
    """Peak memory is a process's: each number of classes has one."""
    command = [sys.executable, "-m", "benchmarks.growing.run", "--classes", str(count)]
    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def measure(count: int) -> dict[str, float]:
    """Seconds and mebibytes for so many classes."""
    drawn = np.random.default_rng(1993)
    labels = np.repeat(np.arange(count), EACH)
    directions = drawn.standard_normal((count, WIDTH)).astype(np.float32)
    features = directions[labels] + drawn.standard_normal((len(labels), WIDTH)).astype(np.float32)
    figures = {"features_mib": round(features.nbytes / 2**20, 1)}
    started = time.monotonic()
    units = unit_rows(features)
    class_means(class_sums(units, labels, count))
    fit = fit_ridge(units, labels, count)
    figures["head_seconds"] = round(time.monotonic() - started, 2)
    weights, image = fit.weights.astype(np.float32), features[:1]
    figures["head_mib"] = round(weights.nbytes / 2**20, 1)
    started = time.monotonic()
    for _ in range(100):
        image @ weights.T
    figures["answer_milliseconds"] = round((time.monotonic() - started) * 10, 2)
    figures |= evaluation_document(fit.left_out.argmax(axis=1), labels, count)
    figures["peak_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return figures


def evaluation_document(found: np.ndarray, labels: np.ndarray, count: int) -> dict[str, float]:
    """What a version's ``evaluation.json`` costs: its size, and writing and reading it."""
    pairs, images = np.unique(np.stack([labels, found]), axis=1, return_counts=True)
    answered = np.bincount(labels[found == labels], minlength=count)
    right = {f"class {number}": float(answered[number]) / EACH for number in range(count)}
    share = Accuracy(all=float(np.mean(found == labels)), old=None, new=None)
    document = Evaluation(
        version=1,
        parent=None,
        images=len(labels),
        cnn=share,
        nme=share,
        class_accuracy=right,
        class_best=right,
        old_as_new=None,
        forgetting=0.0,
        history=(share.all,),
        parent_old=None,
        confusion=Confusion.of(count, zip(*pairs.tolist(), images.tolist(), strict=True)),
        gate=Gate(passed=True, reasons=()),
    )
    started = time.monotonic()
    written = encode(document)
    wrote = time.monotonic() - started
    started = time.monotonic()
    parse(Evaluation, written, "evaluation.json", "it is made again")
    return {
        "evaluation_mib": round(len(written) / 2**20, 2),
        "evaluation_write_seconds": round(wrote, 2),
        "evaluation_read_seconds": round(time.monotonic() - started, 2),
    }


if __name__ == "__main__":
    main()
