"""The body of a request: never more of it than is allowed, and what is wrong with it said by field."""

from collections.abc import AsyncIterator
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

LARGEST_BODY = 1024 * 1024
"""Of JSON, in bytes."""


async def parts(request: Request, limit: int, too_large: str) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises ``HTTPException`` (413, with ``too_large``) above ``limit`` bytes.

    A body that says that it is too large is refused before it is sent.
    """
    told = request.headers.get("content-length", "")
    if told.isascii() and told.isdigit() and int(told[:15]) > limit:
        raise HTTPException(413, too_large)
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise HTTPException(413, too_large)
        yield part


async def read_body(request: Request, limit: int, too_large: str) -> bytes:
    """The whole body. Raises as ``parts`` does."""
    return b"".join([part async for part in parts(request, limit, too_large)])


class Body(BaseModel):
    """Base of what is sent as JSON: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid")


AnyBody = TypeVar("AnyBody", bound=Body)


async def read_json(request: Request, kind: type[AnyBody], limit: int = LARGEST_BODY) -> AnyBody:
    """The body, of at most ``limit`` bytes. Raises ``HTTPException`` (400, 413)."""
    data = await read_body(request, limit, f"the body is larger than {limit} bytes")
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise HTTPException(400, explain(error)) from None


def explain(error: ValidationError) -> str:
    """What is wrong, by field."""
    problems = error.errors(include_url=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in problems)
