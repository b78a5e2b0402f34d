"""How far a copy of the store is, and what came of it or of a version's."""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from handlers.bucket.backup import Copied, Report
from handlers.cli.errors import CommandError
from handlers.cli.output.text import plain, write_json
from model_store.manifest import Manifest

Copy = Callable[[str, Report], Copied]
"""``Client.backup`` or ``Client.restore``, with the place to copy to or from."""


def run(copy: Copy, place: str, verb: str, *, as_json: bool) -> None:
    """Copy with a line that moves on standard error, then tell what was done.

    Raises ``CommandError`` for files of versions that are lost: a run by cron must not end as if all were well.
    """
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.completed} objects"), BarColumn())
    with Progress(*columns, console=console, transient=True, disable=as_json or not console.is_terminal) as progress:
        task = progress.add_task(verb, total=None)
        done = copy(place, lambda *_: progress.advance(task))
    if as_json:
        write_json(
            {
                "place": place,
                "version": done.version,
                "objects": done.objects,
                "bytes": done.size,
                "unchanged": done.unchanged,
                "removed": done.removed,
                "lost": sorted(done.lost + done.absent),
            }
        )
    else:
        _tell(done, verb)
    problems = []
    if done.lost:
        problems.append(
            f"the store has lost or damaged {len(done.lost)} files of versions that {place} still has, and keeps: "
            f"{', '.join(sorted(done.lost)[:5])}; put them back from there under the same names"
        )
    if done.absent:
        problems.append(
            f"{len(done.absent)} files of versions are missing or damaged both in the store and in {place}: "
            f"{', '.join(sorted(done.absent)[:5])}; put them back from another backup, or serve a version that is "
            "whole: lucir rollback VERSION"
        )
    if problems:
        raise CommandError("; ".join(problems))


def _tell(done: Copied, verb: str) -> None:
    served = "nothing has been learnt yet" if done.version is None else f"it serves version {done.version}"
    Console().print(
        f"{verb} {done.objects} objects ({done.size / 2**20:.1f} MiB); {done.unchanged} were there already, "
        f"{done.removed} removed; {served}",
        highlight=False,
        soft_wrap=True,
    )


def show_export(manifest: Manifest, folder: Path, *, as_json: bool) -> None:
    """Where the version lies and how it is tried."""
    if as_json:
        write_json({"version": manifest.version, "folder": str(folder), "classes": list(manifest.classes)})
        return
    where = f"version {manifest.version} ({len(manifest.classes)} classes) is in {folder}"
    Console().print(plain(f"{where}; try it: python {folder / 'classify.py'} IMAGE"), soft_wrap=True)
