"""Reading a request's body within its limits, and a form's fields out of it."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Final

from python_multipart.exceptions import FormParserError
from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Receive

MOST_PARTS: Final = 64
"""Files, and fields, in one form."""
WHOLE_BODY: Final = "lucir.whole_body"
"""True in the state of a scope whose server has all of the body."""


class _InMemory(MultiPartParser):
    """The body lies in memory already: its parts must not be written to disk."""

    spool_max_size = 1 << 31

    def close(self) -> None:
        """Let go of the parts, also of those that a broken form left unfinished, which the base class forgets."""
        for file in self._files_to_close_on_error:
            file.close()


async def read_body(
    receive: Receive, headers: Mapping[str, str], most_bytes: int, seconds: float, *, whole: bool = False
) -> bytes:
    """The whole body. Raises ``HTTPException``: 413 for one that is too large, 408 for one that does not arrive.

    ``whole``: all of it is here, nobody has to watch the time: a timer is an eighth of the server's part of a request.
    """
    told = headers.get("content-length")
    if told is not None and told.isdecimal() and int(told) > most_bytes:
        raise _too_large(most_bytes)
    if whole:
        return await _collect(receive, most_bytes)
    try:
        async with asyncio.timeout(seconds):
            return await _collect(receive, most_bytes)
    except TimeoutError:
        raise HTTPException(
            408, f"the body did not arrive within {seconds:g} s: send it faster", {"Connection": "close"}
        ) from None


async def _collect(receive: Receive, most_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HTTPException(400, "the connection ended before the body had arrived")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > most_bytes:
            raise _too_large(most_bytes)
        more = message.get("more_body", False)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def read_fields(headers: Mapping[str, str], body: bytes) -> Mapping[str, bytes | list[bytes]]:
    """The fields of a form by name, repeated ones as a list of values; or the whole body as ``body``.

    Raises ``HTTPException`` 400 for a broken form.
    """
    if not headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return {"body": body}

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = _InMemory(Headers(headers), stream(), max_files=MOST_PARTS, max_fields=MOST_PARTS)
    try:
        form = await parser.parse()
        fields: dict[str, bytes | list[bytes]] = {}
        for name in form:
            values = [await _content(value) for value in form.getlist(name)]
            fields[name] = values[0] if len(values) == 1 else values
        return fields
    except (MultiPartException, FormParserError, KeyError, ValueError) as error:
        text = getattr(error, "message", None) or str(error)
        raise HTTPException(400, f"the form cannot be read ({text[:200]}): send multipart/form-data") from error
    finally:
        parser.close()


async def _content(value: UploadFile | str) -> bytes:
    return await value.read() if isinstance(value, UploadFile) else value.encode("utf-8")


def _too_large(most_bytes: int) -> HTTPException:
    return HTTPException(413, f"the body is larger than {most_bytes} bytes: send a smaller image")
