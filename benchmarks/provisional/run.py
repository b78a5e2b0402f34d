"""How soon a provisional version answers: ``.venv/bin/python -m benchmarks.provisional.run [--output FILE]``.

A whole stack (``lucir up`` with ``learning.imprint_first``) on the demo's digits under the demo's prediction load. The
first drop is learnt; the second is timed from the moment when its last marker is written (which is when its folders
are ready) to the first answer of the provisional version, TorchServe's worker start included, and of the learnt one.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from handlers.bucket.updates import UpdateRecords
from handlers.client.class_folders import read_layout
from handlers.client.drop_progress import Outcome, follow
from handlers.client.drop_upload import drop_id, plan_uploads, upload
from handlers.demo.digits import PHASES, split_digits
from handlers.demo.load import LoadClient
from handlers.demo.material import write_folders
from handlers.demo.phases import as_options
from handlers.demo.stack import DemoStack
from handlers.setting_values import assignments
from model_store.connect import open_store
from model_store.objects import ObjectStore
from model_store.versions import VersionStore

LONGEST_SECONDS = 600.0


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("results.json"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any other setting")
    options = parser.parse_args()
    values = {
        "learning.preset": "digits",
        "learning.seed": options.seed,
        "learning.imprint_first": "true",
        "updater.settle_seconds": 2,
        **assignments(options.set),
    }
    digits = split_digits(options.seed)
    asked = [image for images in digits.test.values() for image in images]
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="lucir-provisional-") as work:
        folder = Path(work)
        with (
            DemoStack(folder / "data", folder / "stack.log", as_options(values)) as record,
            LoadClient(record.inference_url, asked) as client,
        ):
            objects = open_store(record.store)
            drops = [_drop(objects, record.updater_url, digits.train, number, folder) for number in range(2)]
            time.sleep(3.0)
            result = _result(objects, client, drops[1]) | {
                "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "seed": options.seed,
                "cpu_cores": len(os.sched_getaffinity(0)),
                "load_average": {"before": round(load, 2), "after": round(os.getloadavg()[0], 2)},
                "priority": os.getpriority(os.PRIO_PROCESS, 0),
                "platform": platform.platform(),
                "settings": values,
            }
    options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    Console().print_json(json.dumps(result))


def _drop(objects: ObjectStore, url: str, train: dict[str, list[bytes]], number: int, work: Path) -> float:
    """Drop the folders of a phase and wait until it is served; gives when the drop was complete."""
    classes = read_layout(write_folders(train, PHASES[number], work / f"drop-{number}")).classes
    uploads = plan_uploads(classes, drop_id())
    for _ in upload(objects, classes, uploads):
        pass
    complete = time.time()
    outcome = Outcome()
    for progress in follow(objects, url, {one.key for one in uploads}, LONGEST_SECONDS):
        outcome = progress.outcome or outcome
    if outcome.failure:
        raise SystemExit(f"drop {number + 1} was not learnt: {outcome.failure}")
    return complete


def _result(objects: ObjectStore, client: LoadClient, settled: float) -> dict[str, Any]:
    """The second drop's times, in seconds since its folders were ready."""
    done = UpdateRecords(objects).done("000002")
    if done is None or done.version is None or done.provisional is None:
        raise SystemExit(f"the second drop has no provisional version: {done}")
    answers = {
        kind: client.first_answer(number)
        for kind, number in (("provisional", done.provisional), ("learnt", done.version))
    }
    versions = VersionStore(objects)
    traffic = client.traffic()
    return {
        "seconds_from_settled_to": {
            f"{kind}_answer": round(first.began + first.seconds - settled, 2) if first is not None else None
            for kind, first in answers.items()
        },
        "seconds_by_step": done.timings,
        "accuracy": {
            kind: versions.evaluation(number).cnn.model_dump()
            for kind, number in (("provisional", done.provisional), ("learnt", done.version))
        },
        "requests": {
            "sent": traffic.sent,
            "failed": traffic.failed,
            "longest_seconds": round(traffic.longest_seconds, 3),
        },
    }


if __name__ == "__main__":
    main()
