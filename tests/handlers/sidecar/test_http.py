"""What a process of ours answers where it has no page, or none for such a request."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from handlers.sidecar.http import answer_missing, json_answer


async def page(_: Request) -> Response:
    return json_answer({})


async def gone(_: Request) -> Response:
    raise HTTPException(404, "version 3 was removed")


def test_a_request_without_a_page_is_told_what_there_is_and_a_reason_of_a_page_stays() -> None:
    app = Starlette(
        routes=[Route("/page", page), Route("/gone", gone)],
        exception_handlers={HTTPException: answer_missing("/page, /gone", "everything is read with GET")},
    )
    client = TestClient(app)
    answers = [client.get("/nowhere"), client.delete("/page"), client.get("/gone")]
    assert [(answer.status_code, answer.json()["error"]) for answer in answers] == [
        (404, "there is nothing at /nowhere: see /page, /gone"),
        (405, "DELETE is not possible here: everything is read with GET"),
        (404, "version 3 was removed"),
    ]
