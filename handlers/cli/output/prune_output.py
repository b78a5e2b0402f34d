"""What was removed, or would be, and why the rest stays."""

from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from handlers.cli.output.text import plain, write_json
from handlers.client.visible import visible
from handlers.retention.prune import Pruned

SHOWN = 20


def show(pruned: Pruned, *, dry: bool, as_json: bool) -> None:
    """Versions with reasons, or the whole account for scripts."""
    if as_json:
        write_json({"dry_run": dry, **asdict(pruned)})
        return
    console = Console()
    would = "would be removed" if dry else "removed"
    originals = sum(pruned.originals.values())
    console.print(
        f"{would}: {len(pruned.versions)} versions ({pruned.size / 2**20:.1f} MiB), {len(pruned.unfinished)} "
        f"unfinished ones, {originals} originals, the documents of {len(pruned.records)} updates"
    )
    table = Table("", "version", "why", box=None, header_style="bold")
    rows = [("-", number, why) for number, why in pruned.versions.items()]
    rows += [("keep", number, why) for number, why in pruned.kept.items()]
    for mark, number, why in sorted(rows, key=lambda row: -row[1])[:SHOWN]:
        table.add_row(mark, str(number), plain(why))
    if rows:
        console.print(table)
    if len(rows) > SHOWN:
        console.print(f"... and {len(rows) - SHOWN} more")
    for key in pruned.foreign[:SHOWN]:
        console.print(plain(f"left, because the service did not write it: {visible(key)}", "yellow"))
