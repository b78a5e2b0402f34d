"""The health check of a container: exit status 0 when the service in it does its work, else 1 and the reason.

``python -m handlers.stack.probe worker SOCKET``: a worker of the version that TorchServe serves by default is READY.
``python -m handlers.stack.probe page URL``: the page answers 200.

``handlers.stack.health`` asks the same inside ``lucir up``. Here it is done with the standard library alone: a health
check starts a new process every few seconds for ever, and importing the settings and an HTTP client would cost a second
of processor time each time.
"""

import http.client
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from handlers.torchserve.frontend.unix_http import get
from handlers.torchserve.model_status import DRAINING_MARKER, MODEL_PATH, worker_problem

TIMEOUT_SECONDS = 5.0
USAGE = "usage: python -m handlers.stack.probe worker SOCKET | page URL\n"


def socket_problem(path: str) -> str:
    """Why no worker of the served version is ready; empty when one is. Raises ``OSError`` when nobody answers.

    A server that is about to stop is not ready either, although it answers: ``handlers.torchserve.frontend.drain``.
    """
    if Path(path).with_name(DRAINING_MARKER).exists():
        return "is draining: it is about to stop"
    status, body = get(path, MODEL_PATH, TIMEOUT_SECONDS)
    if status != http.client.OK:
        return f"no version is registered yet (status {status})"
    return worker_problem(json.loads(body))


def page_problem(url: str) -> str:
    """Why the page is not fine; empty when it is. Raises ``OSError`` when nobody answers."""
    if not url.startswith(("http://", "https://")):
        return f"not an http address: {url}"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy is not what is asked about
    try:
        with direct.open(url, timeout=TIMEOUT_SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return f"status {error.code}: {error.read(500).decode(errors='replace').strip()}"


PROBES: dict[str, Callable[[str], str]] = {"worker": socket_problem, "page": page_problem}


def tell(target: str, probe: Callable[[str], str]) -> int:
    """The exit status, 0 or 1, of a probe; the reason goes to standard error."""
    try:
        problem = probe(target)
    except (OSError, http.client.HTTPException, ValueError) as error:
        problem = f"does not answer: {error or type(error).__name__}"
    if problem:
        sys.stderr.write(f"{target}: {problem}\n")
    return 1 if problem else 0


def main(arguments: list[str]) -> int:
    """0 when it does its work, 1 when not, 2 for a wrong command line; the reason goes to standard error."""
    if len(arguments) != 2 or arguments[0] not in PROBES:
        sys.stderr.write(USAGE)
        return 2
    what, target = arguments
    return tell(target, PROBES[what])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
