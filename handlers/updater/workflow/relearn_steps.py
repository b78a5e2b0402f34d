"""The steps of ``lucir relearn``: images that the archive keeps are learnt as a drop is, and stay where they are.

Of classes: what the served version has not learnt of them joins it. With a preset: all that it has learnt, under the
names that its classes have by now and without what was deleted, is learnt again from nothing; the version before
answers meanwhile, and stays served when the gate refuses the new one. To refine: the last stages of the served
version's backbone are trained with all that it has learnt (``refine_due`` says when).
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress

from handlers.bucket.edit_documents import ANSWER, EDIT, EditAnswer, EditPlan, Relearn
from handlers.bucket.edit_rules import EditError, checked
from handlers.bucket.seen_images import Learnt
from handlers.bucket.update_documents import ChosenPreset, Plan
from handlers.updater.context.parent import ParentVersion
from handlers.updater.context.preset import missing_weights
from handlers.updater.context.update import Update, served_manifest
from handlers.updater.context.way import find_way
from handlers.updater.edits.edited_spec import edit_plan
from handlers.updater.errors import BlockedError
from handlers.updater.intake.archived_images import all_learnt, left_behind
from handlers.updater.intake.plan import Ingest
from handlers.updater.intake.uploaded_file import UploadedFile
from handlers.updater.workflow.ending import end_learning
from handlers.updater.workflow.learn_steps import STEPS, never
from handlers.updater.workflow.refine_due import check_refinable
from handlers.updater.workflow.runner import Step
from model_store.manifest import Manifest, now
from model_store.objects import StoreError

logger = logging.getLogger(__name__)

NAMED = 10
"""Reasons and classes that are written out."""
ONE_CLASS = "the first version needs images of two classes, so name another one beside it"


def gather(update: Update) -> None:
    """Find the images, read and judge them; write down what is to be told, and the plan."""
    services, asked = update.services, _asked(update)
    served = served_manifest(services)
    parent = update.start_from(served) if served is not None else None
    notes: tuple[str, ...] = ()
    try:
        checked(asked, parent.manifest.classes if parent is not None else ())
        plan, notes = _planned(update, asked, parent)
        refused = None
    except EditError as error:
        plan, refused = _nothing(update, parent), str(error)
    for note in notes:
        logger.warning("%s", note, extra={"update": update.id})
    if asked.preset is not None and refused is None:
        chosen = ChosenPreset(update_id=update.id, preset=asked.preset, overrides=asked.overrides)
        services.records.add_presets(update.id, *_way_before(update, served), chosen)
    edit = EditPlan(operation=asked, refused=refused, notes=notes)
    services.records.write(update.id, EDIT, edit)
    services.records.write_plan(plan)


def _way_before(update: Update, served: Manifest | None) -> Iterator[ChosenPreset]:
    """What was learnt with until now, so that a rollback goes on with it; nothing where the settings did not fit."""
    services = update.services
    with suppress(BlockedError):
        way = find_way(services.settings.learning, services.records, served)
        yield ChosenPreset(update_id=update.id, preset=way.preset, overrides=dict(way.overrides))


def _planned(update: Update, asked: Relearn, parent: ParentVersion | None) -> tuple[Plan, tuple[str, ...]]:
    """The plan, and what is to be told of images that are left out. Raises ``EditError`` for nothing to learn."""
    services = update.services
    try:
        way = update.choose_way(parent.manifest if parent is not None else None)
    except BlockedError as error:  # waited out it would hold up the request that ends it
        raise EditError(str(error)) from None
    if (reason := missing_weights(way.config)) is not None:
        raise EditError(reason)
    learnt = parent.learnt if parent is not None else Learnt.empty()
    missing: dict[str, int] = {}
    if update.refines and parent is not None:
        check_refinable(way.config, parent)
    if update.reads_all:
        files, missing = all_learnt(services.objects, services.records, learnt, services.tick)
    else:
        files = left_behind(services.objects, services.records, learnt, asked.classes)
        if not files:
            raise EditError(
                f"the archive holds no image of {_listed(asked.classes)} that is not learnt already: drop images"
            )
    maker = Ingest(
        services.objects, services.versions, services.settings, way.config.resize, leaves_out=way.config.frozen
    )
    start = None if update.reads_all else parent
    few = {file.class_name for file in files if file.class_name is not None}
    plan = maker.run(update.intent, start, update.folder, services.tick, files, few_are_enough=few)
    plan = plan.model_copy(update={"provisional": None, "dropped_at": update.requested_at})
    if update.refines and parent is not None:
        plan = _complete(_of_everything(plan, parent), parent, (*_gone(missing), *_against(files)))
    elif update.learns_all and parent is not None:
        plan = _of_everything(plan, parent)
    elif plan.version is None:
        raise EditError(f"nothing of {_listed(asked.classes)} can be learnt: {'; '.join(_against(files)) or ONE_CLASS}")
    return plan, (*_gone(missing), *_against(files))


def _of_everything(plan: Plan, parent: ParentVersion) -> Plan:
    """With the classes of the version that is learnt again, in their order. Raises ``EditError`` where one is empty."""
    classes = parent.manifest.classes
    known = parent.learnt.find(entry.sha256 for entry in plan.entries)
    # An object that has another content by now is somebody else's.
    entries = tuple(entry for entry in plan.entries if entry.sha256 in known)
    trained = Counter(entry.class_name for entry in entries if entry.role == "train")
    if empty := [name for name in classes if not trained[name]]:
        raise EditError(
            f"the archive holds too few images of {_listed(empty)} to learn everything again: drop images of it, "
            "or remove it first (lucir class remove NAME)"
        )
    return plan.model_copy(
        update={
            "parent": parent.manifest.version,
            "classes": classes,
            "new_classes": (),
            "updated_classes": classes,
            "entries": entries,
        }
    )


def _complete(plan: Plan, parent: ParentVersion, against: Sequence[str]) -> Plan:
    """The same without classes that anything comes to. Raises ``EditError`` where an image is missing: its features
    would be lost, for the ones that are stored are those of the backbone as it was."""
    wanted, found = sum(parent.manifest.counts.train.values()), len(plan.of_role("train"))
    if found != wanted:
        raise EditError(
            f"not refined: of {wanted} images that version {parent.manifest.version} has learnt, {found} can be read "
            f"again{''.join(f'; {reason}' for reason in against)}"
        )
    return plan.model_copy(update={"updated_classes": ()})


def _nothing(update: Update, parent: ParentVersion | None) -> Plan:
    manifest = parent.manifest if parent is not None else None
    return Plan(
        id=update.id,
        created_at=now(),
        parent=manifest.version if manifest is not None else None,
        version=None,
        classes=manifest.classes if manifest is not None else (),
        resize=manifest.preprocessing.resize if manifest is not None else update.services.config.resize,
        dropped_at=update.requested_at,
    )


def finish(update: Update) -> None:
    """Write the answer for whoever asked, and how it ended; remove the scratch space."""
    edit, version = edit_plan(update), update.plan.version
    answer = EditAnswer(request=update.request.id, operation=edit.operation, version=version, notes=edit.notes)
    update.services.records.write_once(update.id, ANSWER, answer)
    end_learning(update, edit.refused)


def _asked(update: Update) -> Relearn:
    if update.relearn is None:
        raise StoreError(f"update {update.id} does not learn from the archive")
    return update.relearn


def _gone(missing: dict[str, int]) -> Iterator[str]:
    for name, count in sorted(missing.items())[:NAMED]:
        yield (
            f"{count} learnt image{'s' if count > 1 else ''} of {name!r} can no longer be found in archive/ "
            "(retention.archive_days, or a person): the class is learnt without"
        )
    if len(missing) > NAMED:
        yield f"... and images of {len(missing) - NAMED} more classes"


def _against(files: Sequence[UploadedFile]) -> list[str]:
    """What speaks against images that are left in the archive, with how many each concerns."""
    reasons = Counter(file.reason or file.trouble for file in files if file.reason or file.trouble)
    return [f"{count} left in archive/: {reason}" for reason, count in reasons.most_common(NAMED)]


def _listed(names: Sequence[str]) -> str:
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(repr, names[:NAMED])) + rest


_OF_A_DROP = {step.name: step for step in STEPS}

RELEARN_STEPS: tuple[Step, ...] = (
    Step("gather", gather, lambda update: update.find_plan() is not None),
    *(_OF_A_DROP[name] for name in ("prepare", "learn", "evaluate", "store", "point", "swap")),
    Step("finish", finish, never, may_set_aside=False),
)
