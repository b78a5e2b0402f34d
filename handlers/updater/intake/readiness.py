"""Which folders are ready to be learnt, and why the others wait."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from handlers.bucket.layout import READY_MARKER
from handlers.bucket.update_documents import FailedFolder
from handlers.settings import UpdaterSettings
from handlers.updater.intake.listing import Folder

State = Literal["ready", "settling", "waiting", "failed", "learning"]

PATIENCE = 4
"""A settled folder waits for others that are still arriving, so that one drop is one phase, but at most this many times
the settling time."""
LEAST_GAP = 0.5
"""Seconds between the two equal listings that a folder needs."""


@dataclass(frozen=True)
class FolderState:
    """A folder and what is to become of it now."""

    folder: Folder
    state: State
    reason: str
    """Why it waits, as a message to the person who dropped it."""
    due_in: float | None = None
    """Seconds until time alone may make it ready."""


def waiting_folders(states: Sequence[FolderState]) -> list[dict[str, Any]]:
    """What ``/api/status`` tells of the folders that are not being learnt yet."""
    return [
        {
            "class": state.folder.class_name or state.folder.name or "(files in no folder)",
            "images": state.folder.images,
            "others": state.folder.others,
            "left": state.folder.left,
            "held": state.folder.held,
            "held_reason": state.folder.held_reason,
            "state": state.state,
            "reason": state.reason,
        }
        for state in states
        if state.state != "learning"
    ]


@dataclass
class _Seen:
    fingerprint: str
    since: float


class Readiness:
    """Remembers earlier listings. ``judge`` takes each new one; times come from the caller."""

    def __init__(self, settings: UpdaterSettings) -> None:
        self._settings = settings
        self.frozen = False
        """Whether the backbone is, so that few images are enough."""
        self._seen: dict[str, _Seen] = {}

    def judge(
        self,
        folders: Mapping[str, Folder],
        known: frozenset[str],
        failed: Mapping[str, FailedFolder],
        learning: frozenset[str],
        *,
        wall: float,
        monotonic: float,
    ) -> list[FolderState]:
        """The state of every folder, by name. ``known`` are the classes of the served version (none before phase 0).

        ``learning`` names the folders that the running update has taken up; ``wall`` is the time since the epoch.
        """
        self._seen = {name: self._look(folder, monotonic) for name, folder in folders.items()}
        states = []
        for name in sorted(folders):
            folder = folders[name]
            if name in learning:
                states.append(FolderState(folder, "learning", "is being learnt now"))
            elif name in failed and failed[name].fingerprint == folder.fingerprint:
                reason = f"set aside until its content changes: {failed[name].reason}"
                states.append(FolderState(folder, "failed", reason))
            else:
                states.append(self._judge_one(folder, wall, monotonic))
        states = self._hold_together(states, wall, monotonic)
        if not known:
            states = _hold_for_two(states)
        return _hold_for_update(states) if learning else states

    def _look(self, folder: Folder, monotonic: float) -> _Seen:
        before = self._seen.get(folder.name)
        if before is None or before.fingerprint != folder.fingerprint:
            return _Seen(folder.fingerprint, monotonic)
        return before

    def _judge_one(self, folder: Folder, wall: float, monotonic: float) -> FolderState:
        if folder.images == 0 and folder.others == 0:
            return FolderState(folder, "waiting", _why_empty(folder))
        if folder.marked:
            return FolderState(folder, "ready", "")
        if folder.holds_classes:
            reason = (
                "is called as a part of a data set is, and holds folders: if those are the classes, move them up into "
                f"incoming/; if it is a class itself, {_how_to_mark(folder)}"
            )
            return FolderState(folder, "waiting", reason)
        least = self._settings.least_images(frozen=self.frozen)
        if folder.problem is None and 0 < folder.images < least:
            reason = f"{folder.images} of at least {least} images: add more, or {_how_to_mark(folder)}"
            return FolderState(folder, "waiting", reason)
        remaining = self._unsettled(folder, wall, monotonic)
        if remaining > 0:
            reason = f"still arriving: it is taken up when nothing changed for {self._settings.settle_seconds:g} s"
            return FolderState(folder, "settling", reason, due_in=remaining)
        return FolderState(folder, "ready", "")

    def _unsettled(self, folder: Folder, wall: float, monotonic: float) -> float:
        """Seconds that are still to pass; a second listing must have been equal to the first in any case."""
        settle = self._settings.settle_seconds
        watched = monotonic - self._seen[folder.name].since
        return max(settle - self._quiet(folder, wall, monotonic), min(LEAST_GAP, settle or LEAST_GAP) - watched)

    def _quiet(self, folder: Folder, wall: float, monotonic: float) -> float:
        """Seconds without a change. A store's clock may be ahead or jump: then what we watched ourselves counts."""
        return max(wall - folder.newest, monotonic - self._seen[folder.name].since)

    def _hold_together(self, states: list[FolderState], wall: float, monotonic: float) -> list[FolderState]:
        """While a folder still arrives, those that are ready wait for it a moment: they may belong to the same drop.

        The folders of a drop settle, or get their markers, one after the other: a listing in between must not split it.
        """
        if not any(self._arrives(state, wall, monotonic) for state in states):
            return states
        held = []
        for state in states:
            if state.folder.marked:
                remaining = LEAST_GAP - (monotonic - self._seen[state.folder.name].since)
            else:
                remaining = PATIENCE * self._settings.settle_seconds - self._quiet(state.folder, wall, monotonic)
            if state.state == "ready" and remaining > 0:
                reason = "settled: waits a moment for the folders beside it that are still arriving"
                state = FolderState(state.folder, "settling", reason, due_in=min(remaining, 1.0))
            held.append(state)
        return held

    def _arrives(self, state: FolderState, wall: float, monotonic: float) -> bool:
        return (
            state.state in {"settling", "waiting"}
            and state.folder.images > 0
            and not state.folder.marked
            and self._unsettled(state.folder, wall, monotonic) > 0
        )


def _why_empty(folder: Folder) -> str:
    if folder.held:
        return f"{folder.held} of its files cannot be taken up now, and are tried again later: {folder.held_reason}"
    if folder.left:
        return f"holds only what is left alone ({folder.left} files: {folder.left_reason})"
    if folder.marker is not None:
        return f"has its marker but no image: put images into it, or delete {READY_MARKER}"
    return "the folder is empty: put images into it"


def _how_to_mark(folder: Folder) -> str:
    if folder.marker is None:
        return f"create the file {READY_MARKER} in it"
    return (
        f"write the file {READY_MARKER} in it again: the one that is there is older than they are, of an earlier drop"
    )


def _hold_for_two(states: list[FolderState]) -> list[FolderState]:
    """Before the first version, one class alone waits for a second: there is nothing to tell it from."""
    classes = {state.folder.class_name for state in states if state.state == "ready" and state.folder.images}
    if len(classes) != 1:
        return states
    reason = "ready, but the first phase needs two classes: drop another class folder"
    return [
        FolderState(state.folder, "waiting", reason)
        if state.state == "ready" and state.folder.class_name and state.folder.images
        else state
        for state in states
    ]


def _hold_for_update(states: list[FolderState]) -> list[FolderState]:
    """One update at a time: what is ready meanwhile is the next one."""
    reason = "ready: it is taken up when the running update has ended"
    return [replace(state, state="waiting", reason=reason) if state.state == "ready" else state for state in states]
