"""Whose an update is, and whether it was given up: one document that its workers replace, each what it found.

``attempts.json`` carries the epoch of the updater that works on the update. One that takes over writes its own epoch
there before it does anything else; from then on a predecessor that sleeps can neither begin another step nor give the
update up, for both are conditional replacements of what it found before it slept. An update that was given up stays
so: whoever comes completes that end and no other, and no original moves to the archive any more.
"""

from collections.abc import Callable

from handlers.bucket.update_documents import Attempts, GivenUp
from handlers.updater.context.update import Update
from handlers.updater.errors import LeaseLostError
from model_store.objects import PreconditionFailedError


class Ownership:
    """Of one update, by this updater."""

    def __init__(self, update: Update) -> None:
        self._update = update

    def take(self) -> Attempts:
        """Let nobody of an earlier epoch go on with it; return what is known of it. Raises ``LeaseLostError``.

        An update that nobody has worked on is taken by its first step.
        """
        nobody = Attempts()
        return self._revise(lambda found: found if found == nobody else self._ours(found))

    def begin(self, change: Callable[[Attempts], Attempts]) -> Attempts:
        """Count what ``change`` counts. Raises ``LeaseLostError`` when the update is another's, or was given up."""

        def revise(found: Attempts) -> Attempts:
            if found.given_up is not None:
                raise self._lost(f"was given up ({found.given_up.result})")
            return self._ours(change(found))

        return self._revise(revise)

    def give_up(self, wanted: GivenUp) -> GivenUp:
        """End it without a version; return the end that holds. Raises ``LeaseLostError`` when it is another's."""
        changed = self._revise(
            lambda found: self._ours(found.model_copy(update={"given_up": found.given_up or wanted}))
        )
        return changed.given_up or wanted

    def _revise(self, change: Callable[[Attempts], Attempts]) -> Attempts:
        try:
            return self._update.services.records.revise_attempts(self._update.id, change)
        except PreconditionFailedError:
            self._update.services.leadership.confirm()
            raise

    def _ours(self, attempts: Attempts) -> Attempts:
        epoch = self._update.services.leadership.epoch
        if epoch is not None and (attempts.epoch or 0) > epoch:
            raise self._lost(f"is worked on in epoch {attempts.epoch}, after this updater's ({epoch})")
        return attempts if epoch is None else attempts.model_copy(update={"epoch": epoch})

    def _lost(self, how: str) -> LeaseLostError:
        self._update.services.leadership.confirm()
        return LeaseLostError(f"update {self._update.id} {how}: another updater has taken over")
