"""The bound: decode and run in a loop, nothing around it.

``... in_process FOLDER IMAGE BATCH SECONDS COPIES`` prints JSON; COPIES is ``auto`` or ``off``.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from handlers.inference.preprocess import Limits
from handlers.inference.sessions.copy_choice import CopyRules
from handlers.inference.sessions.headed_session import Inputs
from handlers.inference.version_model import VersionModel


def main() -> None:
    """Batches of BATCH images, one thread."""
    folder, image, batch, seconds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    rules = CopyRules(auto=sys.argv[5] == "auto")
    model, data = VersionModel.load(folder, rules=rules), image.read_bytes()
    took: list[float] = []
    busy = time.process_time()
    begin = time.perf_counter()
    while (now := time.perf_counter()) < begin + seconds:
        model.classify(Inputs(np.stack([model.prepare(data, Limits()) for _ in range(batch)])), [5] * batch)
        took += [time.perf_counter() - now] * batch
    result = {"refused": 0, "took": took, "cpu_seconds": time.process_time() - busy, "seconds": now - begin}
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
