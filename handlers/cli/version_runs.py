"""``lucir report``, ``rollback`` and ``prune``: what they do with the versions of a store."""

from pathlib import Path

from rich.console import Console

from handlers.cli.output import prune_output, report_output, versions_output
from handlers.client import Client
from handlers.retention.prune import Retention
from handlers.setting_values import assignments, load_settings, nested
from handlers.settings import RetentionSettings, Settings, SettingsError

EVERYTHING = 1_000_000_000
"""A person waits for the end; the updater goes in batches."""


def run_report(client: Client, version: int | None, html: Path | None, *, as_json: bool) -> None:
    """Show it, and write the page. Raises ``ClientError``, ``StoreError``, ``OSError``."""
    report = client.report(version)
    if html is not None:
        html.write_bytes(client.report_page(report.version))
    report_output.show(report, html, as_json=as_json)


def run_rollback(client: Client, version: int, timeout: float, *, force: bool, as_json: bool) -> None:
    """Roll back. Raises ``ClientError``, ``StoreError``."""
    with Console(stderr=as_json).status(f"verifying version {version}, and waiting until it is served"):
        result = client.rollback(version, force=force, timeout=timeout)
    versions_output.show_rollback(result, as_json=as_json)


def run_prune(client: Client, config: Path | None, sets: tuple[str, ...], *, dry: bool, as_json: bool) -> None:
    """Prune. Raises ``StoreError``, ``SettingsError``."""
    connection = client.connection
    retention = Retention(connection.existing_store(), _policy(connection.settings, config, sets))
    prune_output.show(retention.run(limit=EVERYTHING, dry=dry), dry=dry, as_json=as_json)


def _policy(settings: Settings, config: Path | None, sets: tuple[str, ...]) -> RetentionSettings:
    if not sets:
        return settings.retention
    wrong = [text for text in sets if not text.startswith("retention.")]
    if wrong:
        raise SettingsError(f"--set {wrong[0]}: only retention.* has a meaning here")
    return load_settings(config, nested(assignments(sets))).retention
