"""One image asked about, and asked again where the answer was lost: a prediction changes nothing."""

import time
from collections.abc import Mapping

import httpx

from handlers.backoff import backoff
from handlers.torchserve.model_status import PREDICTIONS_PATH

TRIES = 4
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 1.0
_LOST = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError, httpx.ReadTimeout)
"""The connection ended before the answer: the process that had the request, or its machine, has gone. And no answer in
time: TorchServe's frontend forgets a request that it is putting into a batch for a worker that dies just then."""
LATE_TRIES = 2
"""How often an answer that does not come is waited for: whoever has too much to do gets no more of it."""
_DIED = {httpx.codes.INTERNAL_SERVER_ERROR, httpx.codes.INSUFFICIENT_STORAGE}
"""What TorchServe's frontend answers for a worker that died; both were seen."""


def ask_again(
    session: httpx.Client, image: bytes, headers: Mapping[str, str], tries: int = TRIES
) -> tuple[httpx.Response, int]:
    """The answer to an image (the bytes of its file), and how often it was asked about: ``tries`` times at most.

    Asked again is what a killed worker of TorchServe was asked, and what a broken connection left without an answer;
    what is not answered in the session's time, once. Whatever the service itself says, also that it is full, is the
    answer. Raises ``httpx.HTTPError``.
    """
    late = 0
    for number in range(1, tries + 1):
        try:
            response = session.post(PREDICTIONS_PATH, content=image, headers=dict(headers))
        except _LOST as error:
            late += isinstance(error, httpx.ReadTimeout)
            if number == tries or late == LATE_TRIES:
                raise
        else:
            if number == tries or not _was_lost(response):
                return response, number
        time.sleep(backoff(number, FIRST_PAUSE, LONGEST_PAUSE))
    raise ValueError(f"an image is asked about at least once, not {tries} times")


def _was_lost(response: httpx.Response) -> bool:
    """Whether TorchServe's frontend answers for a worker that died: our own answers have an ``error``."""
    if response.status_code not in _DIED:
        return False
    try:
        document = response.json()
    except ValueError:
        return True
    return not (isinstance(document, dict) and "error" in document)
