"""``python -m handlers.torchserve.frontend FILE``: TorchServe with what it lacks.

That is an end that cuts no request, and metrics as Prometheus wants them.

FILE is what ``handlers.torchserve.launch`` wrote; the exit status is TorchServe's.
"""

import sys
import threading
from pathlib import Path

from handlers.inference.workers.batch_reports import BatchReports
from handlers.torchserve.frontend.drain import Drain
from handlers.torchserve.frontend.frontend_file import FrontendFile
from handlers.torchserve.frontend.measured import Measure
from handlers.web_address import web_address

EXIT_UNAVAILABLE = 69


def main(arguments: list[str]) -> int:
    """Run until TorchServe has ended; 2 for a wrong command line, 69 when the address of the metrics is taken."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m handlers.torchserve.frontend FILE\n")
        return 2
    told = FrontendFile.read(Path(arguments[0]))
    measure = Measure(told.management, told.raw_metrics)
    for left in (told.management, told.raw_metrics):  # by a container that was killed, in a volume that outlives it
        left.unlink(missing_ok=True)
    drain = Drain(told.management.parent, told.port, told.drain_seconds)
    output = drain.start(told.command)
    threads = (
        threading.Thread(target=measure.read, args=(output, sys.stdout.buffer, drain.close_others), name="output"),
        threading.Thread(target=measure.receive, args=(BatchReports(told.reports),), name="batches", daemon=True),
    )
    for thread in threads:
        thread.start()
    try:
        measure.serve(told.metrics_host, told.metrics_port)
    except OSError as error:
        sys.stderr.write(
            f"cannot listen on {web_address(told.metrics_host, told.metrics_port)} ({error.strerror}): "
            "stop what uses it, or set LUCIR_SERVING__METRICS_PORT\n"
        )
        drain.end()
        return EXIT_UNAVAILABLE
    status = drain.wait()
    threads[0].join(timeout=1.0)  # the last lines
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
