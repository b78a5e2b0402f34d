"""The store that an earlier release wrote, at commit a175682: what later ones must go on with."""

import json
import shutil
from pathlib import Path

OLD = Path(__file__).parents[2] / "data" / "store_a175682"


def copy_whole(folder: Path) -> None:
    """A copy in which each version has what its manifest tells: of versions 1 and 3 only documents are kept here."""
    shutil.copytree(OLD, folder)
    for path in folder.glob("versions/*/manifest.json"):
        manifest = json.loads(path.read_bytes())
        manifest["files"] = {name: file for name, file in manifest["files"].items() if path.with_name(name).exists()}
        path.write_text(json.dumps(manifest))
