"""What both engines answer over HTTP, and that nothing else of them is open."""

import base64
import codecs
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from handlers.sockets import management_socket
from tests.handlers.torchserve.conftest import Begun, MakeImage, Stack
from tests.support.present import present
from tests.support.waiting import wait_for
from tools.processes import process_tree

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PATH = "/predictions/lucir"
INFER = "/v2/models/lucir/infer"
PAGE = "https://page.example"
NOBODY = 65534
CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


@pytest.fixture
def served(begun: Begun) -> Iterator[Stack]:
    """Version 1, with the management socket in a folder that anybody may look for."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield begun(management_socket=Path(folder) / "private" / "management.sock", cors_origins=(PAGE,))[0]


def test_every_way_to_send_an_image_and_nothing_else(served: Stack, make_image: MakeImage, engine: str) -> None:
    """One engine for all: starting one takes longer than all of this."""
    with httpx.Client(base_url=served.settings.inference_url, timeout=60, trust_env=False) as client:
        check_images(client, make_image("青"), make_image("rot"))
        check_json(client, make_image("青"), make_image("rot"))
        check_refusals(client, make_image())
        check_web_page(client, make_image())
        check_management_is_not_there(client)
        assert client.post(PATH, content=make_image()).json()["model_version"] == 1
    check_ports(served)
    check_socket(management_socket(served.settings))


def check_images(client: httpx.Client, image: bytes, other: bytes) -> None:
    expected, second = (client.post(PATH, content=each).json() for each in (image, other))
    assert [each["predictions"][0]["class"] for each in (expected, second)] == ["青", "rot"]
    for kind in ("image/jpeg", "application/octet-stream", "text/plain", "application/json"):
        assert client.post(PATH, content=image, headers={"Content-Type": kind}).json() == expected
    assert client.put(PATH, content=image).json() == client.post(f"{PATH}/1", content=image).json() == expected
    for field in ("data", "body"):
        assert client.post(PATH, files={field: ("x.jpg", image)}).json() == expected
    form = [("data", ("a.jpg", image)), ("data", ("b.jpg", other)), ("third", ("c.jpg", image))]
    assert client.post(PATH, files=form).json() == [expected, second, expected]
    for answer in (
        client.post(PATH, content=image, headers={"X-Top-K": "1"}),
        client.post(PATH, files={"data": ("x.jpg", image)}, data={"top_k": "1"}),
        client.post("/lucir/predict?top_k=1", content=image),
        client.post("/models/lucir/invoke?top_k=1", content=image),
    ):
        assert answer.json() == {**expected, "predictions": expected["predictions"][:1]}


def check_json(client: httpx.Client, image: bytes, other: bytes) -> None:
    texts = [base64.b64encode(each).decode() for each in (image, other)]
    both = [client.post(PATH, content=each).json() for each in (image, other)]
    assert client.post(PATH, json={"image": texts[0]}).json() == both[0]
    assert client.post(PATH, json={"images": texts}).json() == both
    for headers in ({}, {"Content-Type": "application/json"}):
        marked = codecs.BOM_UTF8 + b"\r\n " + json.dumps({"image": texts[0]}).encode()
        assert client.post(PATH, content=marked, headers=headers).json() == both[0]
        refused = client.post(PATH, content=json.dumps(texts), headers=headers)
        assert (refused.status_code, "a list, where an object is expected" in refused.text) == (400, True), refused.text
    assert len(client.post(PATH, json={"images": texts[:1], "top_k": 1}).json()[0]["predictions"]) == 1
    document = {
        "id": "7",
        "inputs": [{"name": "i", "shape": [2], "datatype": "BYTES", "data": texts}],
        "parameters": {"top_k": 1},
        "outputs": [{"name": "class"}],
    }
    assert client.post(INFER, json=document).json() == {
        "model_name": "lucir",
        "model_version": "1",
        "id": "7",
        "outputs": [{"name": "class", "datatype": "BYTES", "shape": [2, 1], "data": ["青", "rot"]}],
    }
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/health/live").json() == {"live": True}
    assert {"name", "version"} <= set(client.get("/v2").json())


def check_refusals(client: httpx.Client, image: bytes) -> None:
    for status, headers, content in (
        (415, {"Content-Encoding": "br"}, image),
        (415, {"Content-Type": "multipart/mixed; boundary=x"}, image),
        (400, {"top-k": "0"}, image),
        (400, {}, b'{"images": []}'),
    ):
        answer = client.post(PATH, content=content, headers=headers)
        assert (answer.status_code, list(answer.json())) == (status, ["error"]), (headers, answer.text)
    assert client.head("/ping").status_code == 200
    assert client.post("/predictions/other", content=image).status_code == 404
    assert client.post(f"{PATH}/9", content=image).status_code == 404
    assert client.get("/ping", headers={"x-request-id": "a"}).headers["x-request-id"]


def check_web_page(client: httpx.Client, image: bytes) -> None:
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    before = client.options(PATH, headers=asked)
    assert before.status_code == 200
    assert "POST" in before.headers["access-control-allow-methods"]
    assert "x-api-key" in before.headers["access-control-allow-headers"].lower()
    answers = [client.post(PATH, content=content, headers={"Origin": PAGE}) for content in (image, b"no image")]
    assert [answer.status_code for answer in answers] == [200, 400]
    assert {answer.headers["access-control-allow-origin"] for answer in (before, *answers)} == {PAGE}


def check_management_is_not_there(client: httpx.Client) -> None:
    for method, path in (
        ("POST", "/models?url=lucir-1"),
        ("GET", "/models"),
        ("GET", "/models/lucir/all"),
        ("PUT", "/models/lucir/1?min_worker=0"),
        ("PUT", "/models/lucir/1/set-default"),
        ("DELETE", "/models/lucir/1"),
        ("DELETE", "/models/lucir"),
        ("GET", "/metrics"),
    ):
        assert client.request(method, path).status_code in (404, 405), (method, path)


def check_ports(stack: Stack) -> None:
    """Predictions and metrics; TorchServe opens two more for gRPC, which are closed once it has started."""
    serving = stack.settings.serving

    def open_ports() -> set[int]:
        found = [
            item for process in process_tree(present(stack.process).pid) for item in process.net_connections("tcp")
        ]
        return {item.laddr.port for item in found if item.status == psutil.CONN_LISTEN}

    wait_for(lambda: open_ports() == {serving.port, serving.metrics_port})


def check_socket(path: Path) -> None:
    """The same user reaches it, another one does not."""
    python = shutil.which("python3", path="/usr/bin:/bin")
    if os.geteuid() != 0 or python is None:
        pytest.skip("only root can become another user, and it needs a Python that everybody may run")
    for user, reached in ((None, True), (NOBODY, False)):
        done = subprocess.run(
            [python, "-c", CONNECT, path],
            user=user,
            group=user,
            extra_groups=[],
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode == 0) is reached, done.stderr
        assert reached or b"PermissionError" in done.stderr
