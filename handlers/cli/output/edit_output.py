"""An edit on a terminal: how far it is, and what became of it."""

from collections.abc import Sequence

from rich.console import Console

from handlers.bucket.edit_documents import EditAnswer, Remove
from handlers.bucket.edit_requests import RequestState
from handlers.cli.output.text import plain, write_json

PRUNE = (
    "To remove them: lucir prune --set retention.keep_versions=2; the one before, to which a rollback would go, stays "
    "until another version is served"
)
SHOWN = 20
"""Keys that are listed; ``--json`` has all."""


def show(request_id: str, state: RequestState, console: Console, *, who: str, as_json: bool) -> None:
    """How far the request is, and with --wait what became of it. ``who``: takes it up."""
    if as_json:
        write_json({"request": request_id, **state.model_dump(mode="json")})
        return
    if state.done is None:
        console.print(plain(f"requested: {who}"), soft_wrap=True)
        return
    if state.done.result == "published":
        version = f"version {state.done.version} is published" if state.done.version else "done"
        console.print(f"[green]{version}[/green]")
    if state.answer is not None:
        _show_answer(console, state.answer)


def _show_answer(console: Console, answer: EditAnswer) -> None:
    if answer.exemplars_removed or answer.held_out_removed:
        console.print(f"{answer.exemplars_removed} exemplars and {answer.held_out_removed} held-out images are gone")
    option = " (--delete-originals deletes them)" if isinstance(answer.operation, Remove) else ""
    _keys(console, f"stored files that hold such images{option}", answer.files)
    _keys(console, "deleted", answer.deleted)
    _keys(console, "left alone, because something else lies there now", answer.left)
    if answer.versions:
        numbers = ", ".join(map(str, answer.versions))
        console.print(f"earlier versions that still hold such images: {numbers}. {PRUNE}", soft_wrap=True)
    for note in answer.notes:
        console.print(plain(f"note: {note}", "yellow"))


def _keys(console: Console, what: str, keys: Sequence[str]) -> None:
    if not keys:
        return
    console.print(f"{what}: {len(keys)}")
    for key in keys[:SHOWN]:
        console.print(plain(f"  {key}"))
    if len(keys) > SHOWN:
        console.print(f"  ... and {len(keys) - SHOWN} more: --json lists all")
