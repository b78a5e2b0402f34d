"""What the learning child does when it is to edit a version: see ``handlers.updater.training``."""

import shutil
import time
from functools import partial
from pathlib import Path

import torch

from handlers.bucket.edit_documents import DeleteImages, Rename
from handlers.bucket.edit_rules import regrouping
from handlers.bucket.seen_images import Learnt
from handlers.updater.training.export_check import check_export, most_checked, spread
from handlers.updater.training.job import do_job, make_result
from handlers.updater.training.messages import RESULT, STATE, TASK, EditTask
from lucir_core.edit.edit_state import forget_images, regroup_state
from lucir_core.edit.regroup import regroup_blobs
from lucir_core.export.onnx_export import export_onnx
from lucir_core.memory.image_blobs import ImageBlobs
from lucir_core.state import LearnerState, load_state, save_state
from model_store.layout import HEAD, HOLDOUT, MODEL, SEEN_IMAGES


def run(folder: Path) -> int:
    """Do the task in ``folder``; return the exit status."""
    task = EditTask.read(folder / TASK)
    return do_job(folder, "editing", task.log, partial(edit, folder, task))


def edit(folder: Path, task: EditTask) -> None:
    """Write the edited state, held-out images, hashes and model, then ``result.json``."""
    if task.threads is not None:
        torch.set_num_threads(task.threads)
    started = time.monotonic()
    parent = Path(task.parent)
    state, holdout, learnt = load_state(parent), ImageBlobs.load(parent / HOLDOUT), Learnt.load(parent / SEEN_IMAGES)
    digests = {bytes.fromhex(digest) for digest in task.digests}
    if isinstance(task.operation, DeleteImages):
        state = forget_images(state, digests)
        holdout = holdout.without(digests)
        learnt = learnt.without(task.learnt)
    else:
        change = regrouping(task.operation, state.classes)
        state, holdout, learnt = regroup_state(state, change), regroup_blobs(holdout, change), learnt.regrouped(change)
    shutil.rmtree(folder / STATE, ignore_errors=True)
    (folder / STATE).mkdir()
    save_state(state, folder / STATE)
    holdout.save(folder / HOLDOUT)
    learnt.save(folder / SEEN_IMAGES)
    _write_model(folder, parent, state, holdout, renamed=isinstance(task.operation, Rename))
    make_result(state, {"edit": round(time.monotonic() - started, 3)}).write(folder / RESULT)


def _write_model(folder: Path, parent: Path, state: LearnerState, holdout: ImageBlobs, *, renamed: bool) -> None:
    """The model, compared with PyTorch where there are images. Raises ``ExportMismatchError``."""
    if renamed:  # names are not part of the model
        for name in (MODEL, HEAD):
            if (parent / name).exists():  # a version of an earlier release has no head by itself
                shutil.copyfile(parent / name, folder / name)
        return
    export_onnx(state, folder / MODEL, folder / HEAD)
    sources = [(blobs, index) for blobs in (holdout, state.exemplars) for index in range(len(blobs))]
    picked = [sources[index] for index in spread(len(sources), most_checked(state.config))]
    if picked:
        check_export(state, folder / MODEL, [blobs.decode(index) for blobs, index in picked])
