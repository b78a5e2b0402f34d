"""What ``lucir prune`` does, and the account of it."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from handlers.cli.output.text import plain
from handlers.client import Client
from handlers.client.visible import visible
from handlers.retention.prune import Pruned, Retention
from handlers.setting_values import assignments, nested
from handlers.settings import RetentionSettings, Settings, SettingsError, load_settings

SHOWN = 20
EVERYTHING = 1_000_000_000
"""A person waits for the end; the updater goes in batches."""


def run(client: Client, config: Path | None, sets: tuple[str, ...], *, dry: bool, as_json: bool) -> None:
    """Prune. Raises ``StoreError``, ``SettingsError``."""
    connection = client.connection
    retention = Retention(connection.existing_store(), _policy(connection.settings, config, sets))
    pruned = retention.run(limit=EVERYTHING, dry=dry)
    if as_json:
        sys.stdout.write(json.dumps({"dry_run": dry, **asdict(pruned)}, ensure_ascii=False, indent=2) + "\n")
    else:
        _show(pruned, dry=dry)


def _policy(settings: Settings, config: Path | None, sets: tuple[str, ...]) -> RetentionSettings:
    if not sets:
        return settings.retention
    wrong = [text for text in sets if not text.startswith("retention.")]
    if wrong:
        raise SettingsError(f"--set {wrong[0]}: only retention.* has a meaning here")
    return load_settings(config, nested(assignments(sets))).retention


def _show(pruned: Pruned, *, dry: bool) -> None:
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
