"""An answer that does not come in time. The time is the transport's here: a real one would count against a clock."""

import httpx
import pytest

from handlers.client.asking import LATE_TRIES, ask_again


def test_an_image_that_the_frontend_forgot_is_asked_about_once_more() -> None:
    asked = []

    def forgets(request: httpx.Request) -> httpx.Response:
        asked.append(request.content)
        if request.content == b"always" or len(asked) == 1:
            raise httpx.ReadTimeout("timed out", request=request)
        return httpx.Response(200, json={"predictions": []})

    with httpx.Client(base_url="http://service", transport=httpx.MockTransport(forgets)) as session:
        response, tries = ask_again(session, b"image", {})
        assert (response.status_code, tries, asked) == (200, 2, [b"image", b"image"])
        with pytest.raises(httpx.ReadTimeout):
            ask_again(session, b"always", {})
        assert asked.count(b"always") == LATE_TRIES
        asked.clear()
        with pytest.raises(httpx.ReadTimeout):
            ask_again(session, b"image", {}, tries=1)
        assert asked == [b"image"]
