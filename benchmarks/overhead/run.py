"""What an update costs besides its epochs: every step of the three drops of ``lucir demo``, from their own records.

    python -m benchmarks.overhead.run --preset small --output benchmarks/overhead/small.json

Runs the demo's service part (real stack, TorchServe, a client that keeps asking) and reads what each update wrote down:
``epochs`` is the time in ``run_phase`` inside the learning child; everything else is overhead, the start of the
child, the export and its check, evaluation, upload, the start of TorchServe's worker and the archive included.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.result import machine, show
from handlers.bucket.update_documents import Done
from handlers.demo.material import digits
from handlers.demo.phases import as_options, run_service
from model_store.directory.directory_store import DirectoryStore
from model_store.versions import VersionStore


def updates(root: Path) -> list[dict[str, Any]]:
    """Seconds of each update, by step."""
    versions = VersionStore(DirectoryStore(root))
    found = []
    for path in sorted((root / "updates").glob("*/done.json")):
        done = Done.model_validate_json(path.read_bytes())
        if done.version is None:
            continue
        manifest = versions.manifest(done.version)
        epochs = manifest.timings["child_learn"]
        total = sum(done.timings.values())
        found.append(
            {
                "update": done.id,
                "images": done.images,
                "epochs_seconds": round(epochs, 2),
                "overhead_seconds": round(total - epochs, 2),
                "overhead_by_step": {
                    **{name: seconds for name, seconds in done.timings.items() if name != "learn"},
                    "learn: child's start, export, check": round(done.timings["learn"] - epochs, 3),
                },
                "overhead_share_of_the_update": round((total - epochs) / total, 3),
            }
        )
    return found


def main() -> int:
    """Run the demo's drops and write down what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="digits", help="of lucir_core, e.g. small")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    words = as_options({"learning.preset": options.preset, "learning.seed": 1, "updater.settle_seconds": 2})
    with tempfile.TemporaryDirectory(prefix="lucir-overhead-") as folder:
        run_service(digits(1), Path(folder), Path(folder) / "log", words, Console(stderr=True))
        found = updates(Path(folder) / "data" / "store")
    epochs = sum(update["epochs_seconds"] for update in found)
    overhead = sum(update["overhead_seconds"] for update in found)
    result = {
        "command": f"python -m benchmarks.overhead.run --preset {options.preset}",
        "machine": machine(),
        "overhead_share": round(overhead / (epochs + overhead), 3),
        "epochs_seconds": round(epochs, 2),
        "overhead_seconds": round(overhead, 2),
        "updates": found,
    }
    show(result, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
