"""From a made model to a version: measured, its manifest and files in the store, and the pointer if it may follow."""

import logging
import shlex
from pathlib import Path

import onnxruntime
import yaml

from handlers.updater.context.candidate import Candidate
from handlers.updater.context.update import Update
from handlers.updater.context.version_spec import VersionSpec
from handlers.updater.errors import SupersededError
from handlers.updater.release.canary import write_canary
from handlers.updater.release.evaluation_set import measure
from handlers.updater.release.quantised import write_quantised
from handlers.updater.release.report.write import write_report
from handlers.updater.training.messages import RESULT, STATE, Result
from model_store.layout import (
    CANARY,
    CHECKPOINT,
    CONFIG,
    EVALUATION,
    EXEMPLARS,
    FEATURES,
    HEAD,
    HOLDOUT,
    MODEL,
    QUANTISED,
    SEEN_IMAGES,
)
from model_store.local_files import write_whole
from model_store.manifest import Calibration, Evaluation, Manifest, Refinement
from model_store.objects import PreconditionFailedError

MAY_LACK = {QUANTISED, HEAD, FEATURES, CANARY}
"""Files that not every version has."""
NAMED = 5
"""Classes that a remedy names."""
LEAST_MORE = 10
"""Images that are asked for at least."""

logger = logging.getLogger(__name__)


def write_evaluation(update: Update, spec: VersionSpec) -> None:
    """Measure a candidate's exported model, and let the gate decide whether it may be served."""
    services = update.services
    evaluation = measure(update, spec)
    if update.refines:
        evaluation = judged(evaluation, _refinement(spec), update.plan.parent)
    elif not evaluation.gate.passed and spec.candidate.kind == "learnt":
        reasons = (*evaluation.gate.reasons, remedy(update, spec))
        evaluation = evaluation.model_copy(update={"gate": evaluation.gate.model_copy(update={"reasons": reasons})})
    write_canary(spec, services.settings.learning.threads)
    if evaluation.gate.passed:
        write_quantised(spec, services.settings)
    if not evaluation.gate.passed and update.refines:
        logger.info("version %d is kept: %s", spec.number, "; ".join(evaluation.gate.reasons))
    elif not evaluation.gate.passed:
        services.metrics.show_refused(evaluation)
        name = f"{'provisional ' if spec.candidate.kind == 'provisional' else ''}version {spec.number}"
        services.status.add_error("gate", f"{name} is refused: {'; '.join(evaluation.gate.reasons)}")
    elif evaluation.gate.undecided:
        services.status.add_error(
            "gate",
            f"version {spec.number} is served, though too few images tell what it is worth: "
            f"{'; '.join(evaluation.gate.undecided)}",
        )
    write_whole(spec.folder / EVALUATION, evaluation.model_dump_json(indent=2))


def judged(evaluation: Evaluation, found: Refinement, parent: int | None) -> Evaluation:
    """A refined version is served if it is surely better, and the gate has nothing against it as well."""
    if found.is_surely_better and evaluation.gate.passed:
        return evaluation
    answer = "surely better, but the gate refuses it" if found.is_surely_better else "not surely better"
    reason = f"refined: {found}: {answer}, version {parent} stays"
    gate = evaluation.gate.model_copy(update={"passed": False, "reasons": (reason, *evaluation.gate.reasons)})
    return evaluation.model_copy(update={"gate": gate})


def _refinement(spec: VersionSpec) -> Refinement:
    result = Result.read(spec.folder / RESULT)
    if result.refinement is None:
        raise ValueError(f"{spec.folder / RESULT} does not say whether the refined backbone of {spec.number} is better")
    return result.refinement


def remedy(update: Update, spec: VersionSpec) -> str:
    """What to do about a refusal: what was learnt of stays in the archive.

    How many images would help is a rule of thumb: as many again as a class was learnt from, at least ten.
    """
    if update.learns_all:
        served = spec.parent.manifest.version if spec.parent is not None else None
        return (
            f"version {served} and its preset stay served: try another preset (lucir relearn --preset NAME), or drop "
            "more images of the classes named here first"
        )
    names = (*update.plan.new_classes, *update.plan.updated_classes)
    few = sorted(names, key=lambda name: spec.trained[name])[:NAMED]
    more = ", ".join(f"about {max(LEAST_MORE, spec.trained[name])} more of {name!r}" for name in few)
    command = " ".join(shlex.quote(name) for name in few) + (" ..." if len(names) > len(few) else "")
    return (
        f"its images are kept and join the next drop of their class: drop {more}; or learn them again as they are: "
        f"lucir relearn {command}"
    )


def publish(update: Update, spec: VersionSpec) -> None:
    """Upload a version, its manifest last; a refused one too. Raises ``SupersededError``."""
    result = Result.read(spec.folder / RESULT)
    (spec.folder / CONFIG).write_text(
        yaml.safe_dump(result.config, sort_keys=False, allow_unicode=True), encoding="utf-8"
    )
    manifest, files = make_manifest(update, spec, result), _files(update, spec)
    check_parent(update)
    try:
        update.services.versions.publish(manifest, files)
    except PreconditionFailedError as error:
        raise SupersededError(str(error)) from error
    evaluation = spec.candidate.evaluation()
    if evaluation is not None and not update.refines:  # those have a count of their own
        update.services.metrics.versions.labels(manifest.kind, evaluation.gate.answer).inc()


def point(update: Update, candidate: Candidate, reason: str) -> None:
    """Let every server serve a candidate that is in the store. Raises ``SupersededError``."""
    check_parent(update)
    try:
        update.services.versions.point_to(candidate.number, reason)
    except PreconditionFailedError as error:
        if not candidate.is_served():  # or a person was quicker (``lucir rollback``)
            raise SupersededError(str(error)) from error


def check_parent(update: Update) -> None:
    """Raise ``SupersededError`` when another version is served than those that this update knows of.

    These are the one it started from and those it made. A rollback from its provisional version to the parent, while
    it learns, only takes that version back.
    """
    pointer = update.services.versions.current()
    served = pointer.version if pointer is not None else None
    provisional = update.provisional
    if provisional is not None and provisional.is_served():
        return
    if served not in {update.plan.parent, update.version}:
        raise SupersededError(
            f"version {served} is served now, not {update.plan.parent}, which update {update.id} started from: "
            "its images are planned again"
        )


def make_manifest(update: Update, spec: VersionSpec, result: Result) -> Manifest:
    """The manifest, but for its files."""
    return Manifest(
        version=spec.number,
        kind=spec.candidate.kind,
        parent=spec.parent.manifest.version if spec.parent is not None else None,
        update_id=update.id,
        created_at=spec.created_at,
        classes=spec.classes,
        new_classes=spec.new_classes,
        updated_classes=spec.updated_classes,
        preprocessing=spec.preprocessing,
        readout="cnn",
        calibration=None if result.calibration is None else Calibration.model_validate(result.calibration),
        refinement=result.refinement,
        method=result.method,
        config=result.config,
        counts=spec.counts(result.exemplars),
        files={},
        software={**result.software, "onnxruntime": onnxruntime.__version__},
        timings={**update.timings(), **{f"child_{name}": value for name, value in result.seconds.items()}},
    )


def _files(update: Update, spec: VersionSpec) -> dict[str, Path]:
    """Where each file of the version lies, by name; the report is written here."""
    folder, state = spec.folder, spec.folder / STATE
    files = {
        MODEL: folder / MODEL,
        QUANTISED: folder / QUANTISED,
        HEAD: folder / HEAD,
        CHECKPOINT: state / CHECKPOINT,
        EXEMPLARS: state / EXEMPLARS,
        FEATURES: state / FEATURES,
        HOLDOUT: update.folder / HOLDOUT,
        SEEN_IMAGES: spec.learnt,
        EVALUATION: folder / EVALUATION,
        CONFIG: folder / CONFIG,
        CANARY: folder / CANARY,
        **write_report(update, spec),
    }
    return {name: path for name, path in files.items() if name not in MAY_LACK or path.exists()}
