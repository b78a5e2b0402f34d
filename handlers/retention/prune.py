"""Removing what the policy lets go: versions, what unfinished ones left, originals, documents of updates.

Run after every finished update, and by ``lucir prune``. Each part removes at most a batch, so that a long past does not
hold up what is new; the next run goes on. Only what the service wrote is removed, by name; what somebody put beside it
is left and reported. Killed at any point, a later run completes it.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from handlers.bucket.edit_documents import ANSWER, EDIT
from handlers.bucket.layout import ARCHIVE, REASON_SUFFIX, REJECTED
from handlers.bucket.update_documents import Done
from handlers.bucket.updates import ATTEMPTS, DONE, INTENT, PLAN, UPDATES, UpdateRecords
from handlers.parallel import ordered_map
from handlers.retention.policy import Decision, Facts, decide
from handlers.settings import RetentionSettings
from model_store.documents import Claim, CorruptVersionError, parse
from model_store.layout import FILES
from model_store.manifest import Manifest, now
from model_store.objects import ObjectNotFoundError, ObjectStore
from model_store.removal import Outcome, VersionRemover
from model_store.versions import CLAIM, DOCUMENT_LIMIT, VersionStore, file_key

logger = logging.getLogger(__name__)

RECORDS = (INTENT, PLAN, EDIT, ANSWER, ATTEMPTS, DONE)
"""Documents of an update, in the order of their removal."""
BATCH = 50


@dataclass
class Pruned:
    """What a run did, or would do. Sizes in bytes."""

    versions: dict[int, str] = field(default_factory=dict)
    """Number -> why it went."""
    kept: dict[int, str] = field(default_factory=dict)
    """Number -> why it stays, for those that were looked at."""
    unfinished: list[int] = field(default_factory=list)
    """Numbers of which only a part had been uploaded, by an update that is over."""
    size: int = 0
    originals: dict[str, int] = field(default_factory=dict)
    """Folder of ``archive/`` or ``rejected/`` -> how many originals went."""
    records: list[str] = field(default_factory=list)
    """Updates whose documents went."""
    foreign: list[str] = field(default_factory=list)
    """Keys that were not written by the service, and are left."""

    @property
    def anything(self) -> bool:
        """Whether anything went."""
        return bool(self.versions or self.unfinished or self.originals or self.records)


class Retention:
    """One object for the life of a process: what it has read of versions and updates never changes."""

    def __init__(
        self,
        objects: ObjectStore,
        policy: RetentionSettings,
        tick: Callable[[], None] = lambda: None,
        epoch: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._objects = objects
        self._policy = policy
        self._tick = tick
        self._versions = VersionStore(objects, epoch)
        self._records = UpdateRecords(objects)
        self._manifests: dict[int, Manifest] = {}
        self._ended: dict[str, Done | None] = {}
        self._emptied: set[str] = set()

    def run(self, *, limit: int = BATCH, dry: bool = False) -> Pruned:
        """Remove at most ``limit`` of each kind; with ``dry`` only tell. Raises ``StoreError``, and what ``tick`` does.

        Nothing at all is removed while the pointer cannot be read.
        """
        pruned = Pruned()
        facts = self._facts()
        self._prune_versions(pruned, decide(facts, self._policy, limit), dry)
        self._prune_unfinished(pruned, facts, limit, dry)
        if not dry:
            self._prune_aside(pruned, facts)
        self._prune_originals(pruned, facts, limit, dry)
        self._prune_records(pruned, [number for number in facts.numbers if number not in pruned.versions], limit, dry)
        if pruned.anything and not dry:
            logger.info(
                "pruned",
                extra={
                    "versions": sorted(pruned.versions),
                    "unfinished": pruned.unfinished,
                    "originals": sum(pruned.originals.values()),
                    "records": len(pruned.records),
                    "bytes": pruned.size,
                },
            )
        return pruned

    def _facts(self) -> Facts:
        # The unfinished update is looked for before the numbers are: one that begins later makes higher ones. Once: a
        # later listing may show one that an older one did not, whose numbers would be nobody's then.
        latest = self._records.latest()
        unfinished = latest if latest is not None and not self._records.exists(latest, DONE) else None
        plan = self._records.plan(unfinished) if unfinished is not None else None
        named = (plan.parent, plan.version, plan.provisional) if plan is not None else ()
        survey = self._versions.survey()
        return Facts(
            numbers=survey.complete,
            used=survey.used,
            aside=survey.aside,
            pointer=self._versions.current(),
            latest=latest,
            unfinished=unfinished,
            needed=[number for number in named if number is not None],
            present=now(),
            manifest=self._manifest,
        )

    def _manifest(self, number: int) -> Manifest:
        self._tick()
        if number not in self._manifests:
            self._manifests[number] = self._versions.manifest(number)
        return self._manifests[number]

    def _prune_versions(self, pruned: Pruned, decision: Decision, dry: bool) -> None:
        pruned.kept = decision.keep
        if dry:
            pruned.versions = decision.remove
            pruned.size = sum(_size(self._manifest(number)) for number in decision.remove)
            return
        outcome = VersionRemover(self._versions).remove(decision.remove)
        pruned.versions = {removal.version: removal.reason for removal in outcome.removed}
        pruned.size = sum(removal.size for removal in outcome.removed)
        pruned.kept = {**pruned.kept, **outcome.left}
        pruned.foreign += outcome.foreign
        for number in pruned.versions:
            self._manifests.pop(number, None)

    def _prune_unfinished(self, pruned: Pruned, facts: Facts, limit: int, dry: bool) -> None:
        """Files without a manifest, of an update that was killed while it uploaded and then went another way."""
        complete, highest = set(facts.numbers), max(facts.used, default=0)
        half = [n for n in facts.used if n not in complete and n != highest and n not in facts.needed]
        outcome = Outcome()
        for number in half[:limit]:
            if self._is_over(number, facts):
                pruned.unfinished.append(number)
                if not dry:
                    VersionRemover(self._versions).remove_unfinished(number, FILES, outcome)
        pruned.foreign += outcome.foreign

    def _prune_aside(self, pruned: Pruned, facts: Facts) -> None:
        """What a late attempt put beside a complete version, and was killed before it took it back: of no use."""
        for number in sorted({*facts.aside} & {*facts.numbers} - {*pruned.versions}):
            for key in facts.aside[number]:
                self._objects.delete(key)
            logger.info("what a late attempt had put aside was removed", extra={"version": number})

    def _is_over(self, number: int, facts: Facts) -> bool:
        """Whether the update that claimed a number has ended. A folder without a claim is none of ours, unless
        a version was removed from it, and an attempt that slept meanwhile has put files there since.
        """
        key = file_key(number, CLAIM)
        try:
            claim = parse(Claim, self._objects.read(key, limit=DOCUMENT_LIMIT), key, "")
        except ObjectNotFoundError:
            if number not in {removal.version for removal in self._versions.removals().removed}:
                return False
            names = {info.key.removeprefix(file_key(number, "")) for info in self._objects.list(file_key(number, ""))}
            return number in facts.aside or not FILES.isdisjoint(names)
        except CorruptVersionError:
            return False
        return (
            claim.update_id != facts.unfinished
            and claim.update_id.isdecimal()
            and facts.latest is not None
            and int(claim.update_id) <= int(facts.latest)
        )

    def _prune_originals(self, pruned: Pruned, facts: Facts, limit: int, dry: bool) -> None:
        for prefix, days in ((ARCHIVE, self._policy.archive_days), (REJECTED, self._policy.rejected_days)):
            if days is None:
                continue
            ended = [update_id for update_id in self._folders(prefix) if update_id != facts.unfinished]
            for done in self._old(ended, days, limit):
                if f"{prefix}{done.id}" not in self._emptied:
                    self._remove_originals(pruned, prefix, done.id, dry)

    def _remove_originals(self, pruned: Pruned, prefix: str, update_id: str, dry: bool) -> None:
        """What the plan of an update moved there, and the reasons beside refused files."""
        plan = self._records.plan(update_id)
        keys = [entry.target for entry in plan.entries if entry.target.startswith(prefix)] if plan is not None else []
        pruned.originals[f"{prefix}{update_id}"] = len(keys)
        if dry:
            return
        names = [key + REASON_SUFFIX for key in keys] + keys if prefix == REJECTED else keys
        for _ in ordered_map(self._objects.delete, names):
            self._tick()
        left = [info.key for info in self._objects.list(f"{prefix}{update_id}/")]
        if left:
            pruned.foreign += left
            logger.warning("objects of others are left", extra={"folder": f"{prefix}{update_id}", "keys": left[:10]})
        self._emptied.add(f"{prefix}{update_id}")

    def _prune_records(self, pruned: Pruned, numbers: list[int], limit: int, dry: bool) -> None:
        """Documents of old updates of which nothing is left: no version, no original that they could lead to."""
        ids = sorted((name for name in self._folders(UPDATES) if name.isdecimal()), key=int)
        older = ids[:-1]  # the newest one counts the next, and may not have ended
        if not older:
            return
        stored, present = self._folders(ARCHIVE) | self._folders(REJECTED), set(numbers)
        for done in self._old(
            [update_id for update_id in older if update_id not in stored], self._policy.record_days, limit
        ):
            if {done.version, done.provisional} & present:
                continue
            pruned.records.append(done.id)
            if not dry:
                self._remove_record(pruned, done.id)

    def _remove_record(self, pruned: Pruned, update_id: str) -> None:
        """The end last: without it an update would look unfinished."""
        for name in RECORDS:
            self._objects.delete(f"{UPDATES}{update_id}/{name}")
        pruned.foreign += [info.key for info in self._objects.list(f"{UPDATES}{update_id}/")]
        self._ended[update_id] = None

    def _old(self, ids: Iterable[str], days: float, limit: int) -> Iterator[Done]:
        """Updates that ended more than ``days`` ago, oldest first; at most ``limit`` are read that were not before."""
        before = now() - timedelta(days=days)
        for update_id in sorted((name for name in ids if name.isdecimal()), key=int):
            self._tick()
            if update_id not in self._ended:
                if limit <= 0:
                    return
                limit -= 1
                self._ended[update_id] = self._records.done(update_id)
            done = self._ended[update_id]
            if done is not None and done.finished_at < before:
                yield done

    def _folders(self, prefix: str) -> set[str]:
        return {name for name in self._objects.folders(prefix) if name.isascii()}


def _size(manifest: Manifest) -> int:
    return sum(file.size for file in manifest.files.values())
