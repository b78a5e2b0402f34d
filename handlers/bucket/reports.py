"""Reading a version's report back from the store, verified."""

import tempfile
from pathlib import Path

from handlers.bucket.report_document import REPORT_HTML, REPORT_JSON, Report
from model_store.documents import RESTORE, parse
from model_store.objects import StoreError
from model_store.versions import VersionStore


class NoReportError(StoreError):
    """The version was made before reports were written."""


def read_report(versions: VersionStore, number: int) -> Report:
    """The figures. Raises ``NoReportError``, and as ``VersionStore.fetch`` does."""
    return parse(Report, _fetch(versions, number, REPORT_JSON), f"{REPORT_JSON} of version {number}", RESTORE)


def read_page(versions: VersionStore, number: int) -> bytes:
    """The page. Raises as ``read_report`` does."""
    return _fetch(versions, number, REPORT_HTML)


def _fetch(versions: VersionStore, number: int, name: str) -> bytes:
    if name not in versions.manifest(number).files:
        raise NoReportError(f"version {number} has no report: reports are written since a later release")
    with tempfile.TemporaryDirectory(prefix="lucir-") as folder:
        versions.fetch(number, Path(folder), [name])
        return (Path(folder) / name).read_bytes()
