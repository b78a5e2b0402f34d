"""What both engines promise: first start, swaps under load, and everything that can go wrong between two versions."""

import base64
import io
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import onnxruntime
import psutil
import pytest
from PIL import Image

from handlers.demo.load import LoadClient
from handlers.sockets import management_socket
from handlers.torchserve.canary import Canary, CanaryImage
from handlers.torchserve.management import ManagementClient, ManagementUnavailableError
from handlers.torchserve.reconcile import Reconciler, SwapResult
from tests.handlers.torchserve.conftest import Begun, MakeImage, Stack
from tests.support.waiting import STOP_SECONDS, lives, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MakeStack = Callable[..., Stack]


def under_load(stack: Stack, image: bytes, threads: int = 4) -> LoadClient:
    """Clients that ask again at once."""
    return LoadClient(stack.settings.inference_url, [image], threads=threads, think_seconds=0)


def seen_by(clients: LoadClient, version: int) -> None:
    """Wait for an answer of this version: a swap may take less time than a request."""
    wait_for(lambda: clients.first_answer(version))


def answers(stack: Stack) -> bool:
    """Whether somebody listens."""
    try:
        return stack.get("/ping").is_success
    except httpx.HTTPError:
        return False


def worker_pid(stack: Stack) -> int | None:
    """Of the first worker of version 1, when it is ready."""
    worker = stack.loaded()[1].workers[0]
    return worker.pid if worker.ready else None


def test_from_nothing_to_the_first_version(stack: Stack, reconciler: Reconciler, make_image: MakeImage) -> None:
    stack.serve(reconciler, 0)
    answer = stack.post(make_image())
    assert answer.status_code == 503
    place = stack.settings.data / "store" / "incoming"
    assert answer.json() == {"error": f"nothing learnt yet: drop at least two class folders into {place}/"}
    stack.publish(1)
    stack.serve(reconciler, 1)
    assert stack.post(make_image("grün")).json()["predictions"][0]["class"] == "grün"
    assert stack.post(make_image(), "/predictions/lucir/0").status_code == 404
    assert list(stack.loaded()) == [1]


def test_bad_requests_get_their_codes_and_harm_nobody(begun: Begun, make_image: MakeImage) -> None:
    stack, _ = begun(batch_delay_ms=100, max_request_mb=1)
    good = make_image()
    bodies = [good, b"no image", good[:300], b'{"a": 1}', good, b"", good, b'{"a":' + b"[" * 200_000]
    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(pool.map(stack.post, bodies))
    assert [answer.status_code for answer in answers] == [200, 400, 400, 400, 200, 400, 200, 400]
    for answer in answers:
        assert answer.headers["content-type"] == "application/json"
        assert list(answer.json()) == (["error"] if answer.status_code == 400 else ["model_version", "predictions"])
    assert stack.post(good, "/predictions/unknown").status_code == 404
    assert stack.post(bytes(2_000_000)).status_code == 413
    assert stack.post(good).status_code == 200


def test_swap_under_load_loses_nothing(stack: Stack, make_image: MakeImage) -> None:
    swaps: list[SwapResult] = []
    stack.publish(1)
    with Reconciler(stack.settings, stack.versions, on_swap=swaps.append) as reconciler:
        stack.serve(reconciler, 1)
        with under_load(stack, make_image()) as clients:
            seen_by(clients, 1)
            for version in (2, 3):
                stack.publish(version)
                stack.serve(reconciler, version)
                seen_by(clients, version)
            stack.versions.rollback(2)
            stack.serve(reconciler, 2)
    assert clients.problems() == []
    assert {request.version for request in clients.requests()} == {1, 2, 3}
    assert [(swap.version, swap.previous, swap.result) for swap in swaps] == [
        (1, None, "success"),
        (2, 1, "success"),
        (3, 2, "success"),
        (2, 3, "success"),
    ]


@pytest.mark.parametrize("engine", ["uvicorn"])
def test_a_new_process_answers_with_the_last_version_before_anybody_told_it(
    begun: Begun, make_image: MakeImage
) -> None:
    stack, reconciler = begun()
    stack.stop(signal.SIGKILL)
    stack.start()
    wait_for(lambda: answers(stack))
    assert stack.post(make_image()).json()["model_version"] == 1
    stack.publish(2)
    stack.serve(reconciler, 2)


def test_killed_worker_comes_back(begun: Begun, make_image: MakeImage) -> None:
    stack, reconciler = begun()
    pid = wait_for(lambda: worker_pid(stack))
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: reconciler.step().served == 1 and worker_pid(stack) not in (pid, None))
    assert stack.post(make_image()).json()["model_version"] == 1


@pytest.mark.parametrize("engine", ["uvicorn"])  # TorchServe's worker takes the requests that it holds with it
def test_a_killed_model_process_costs_no_request(begun: Begun, make_image: MakeImage) -> None:
    stack, reconciler = begun(workers=2)
    with under_load(stack, make_image()) as clients:
        for _ in range(2):
            pid = wait_for(lambda: worker_pid(stack))
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda pid=pid: worker_pid(stack) not in (pid, None))
        seen_by(clients, 1)
        stack.publish(2)
        stack.serve(reconciler, 2)
        seen_by(clients, 2)
    assert clients.problems() == []
    assert {request.version for request in clients.requests()} == {1, 2}


def test_restarted_engine_is_healed(stack: Stack, reconciler: Reconciler, make_image: MakeImage) -> None:
    stack.publish(1)
    stack.publish(2)
    stack.serve(reconciler, 2)
    stack.stop(signal.SIGKILL)
    stack.settle(reconciler, lambda state: state.phase == "unreachable" and state.served is None)
    stack.start()
    stack.serve(reconciler, 2)
    assert stack.post(make_image()).json()["model_version"] == 2


def test_half_registered_version_is_completed(begun: Begun) -> None:
    """What a reconciler leaves that died between two calls, in two ways."""
    stack, _ = begun()
    stack.publish(2, point=False)
    with (
        Reconciler(stack.settings, stack.versions) as other,
        ManagementClient(management_socket(stack.settings)) as management,
    ):
        other._mirror(2)  # noqa: SLF001 (as if it had died after this step)
        management.register("lucir-2", batch_size=8, batch_delay_ms=2, response_timeout=30)
        management.register("lucir-2", batch_size=8, batch_delay_ms=2, response_timeout=30)
        stack.versions.point_to(2, "test")
        stack.serve(other, 2)
        stack.publish(3)
        other._mirror(3)  # noqa: SLF001
        management.register("lucir-3", batch_size=8, batch_delay_ms=2, response_timeout=30)
        management.scale(3, 1)
    with Reconciler(stack.settings, stack.versions) as successor:
        stack.serve(successor, 3)


def test_damaged_version_is_never_served(begun: Begun, make_image: MakeImage) -> None:
    stack, reconciler = begun()
    stack.publish(2, point=False)
    model = stack.settings.data / "store" / "versions" / "2" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    stack.versions.point_to(2, "test")
    state = stack.settle(reconciler, lambda state: state.phase == "failed")
    assert (state.wanted, state.served) == (2, 1)
    assert "model.onnx" in state.message
    assert not (stack.settings.models_folder / "lucir-2").exists()
    assert stack.post(make_image()).json()["model_version"] == 1
    stack.publish(3)
    stack.serve(reconciler, 3)


def test_version_that_answers_otherwise_than_evaluated_is_not_let_in(
    stack: Stack, reconciler: Reconciler, make_image: MakeImage
) -> None:
    """The canary's images are asked through TorchServe; what is right is known from ONNX Runtime alone."""
    names = ("rot", "grün", "青")
    files = [make_image(name, "PNG", side=20) for name in names]
    model = stack.make_version(stack.scratch / "to-ask") / "model.onnx"
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    images = np.stack([np.asarray(Image.open(io.BytesIO(data)))[2:-2, 2:-2] for data in files])
    (probabilities,) = session.run(["probabilities"], {"images": images})
    good = [
        CanaryImage(png=base64.b64encode(data).decode(), answer=name, probability=float(row.max()))
        for data, name, row in zip(files, names, probabilities, strict=True)
    ]
    stack.publish(1, canary=Canary(side=20, pictures=tuple(good)))
    stack.serve(reconciler, 1)
    wrong = good[-1].model_copy(update={"probability": max(0.0, good[-1].probability - 0.1)})
    stack.publish(2, canary=Canary(side=20, pictures=(*good[:-1], wrong)))
    state = stack.settle(reconciler, lambda state: state.phase == "failed" and bool(state.message))
    assert (state.wanted, state.served) == (2, 1)
    assert "held-out image 3 of 3 is '青'" in state.message
    assert stack.post(make_image()).json()["model_version"] == 1
    stack.publish(3, canary=Canary(side=3, pictures=(wrong,)))  # smaller than this server lets pass: not asked
    stack.serve(reconciler, 3)


def test_version_whose_worker_dies_leaves_the_old_one(stack: Stack, make_image: MakeImage) -> None:
    """Its files are what the manifest says, but the model does not fit the class list."""
    swaps: list[SwapResult] = []
    stack.publish(1)
    with Reconciler(stack.settings, stack.versions, on_swap=swaps.append) as reconciler:
        stack.serve(reconciler, 1)
        classes = ["a", "b"]
        counts = {part: dict.fromkeys(classes, 1) for part in ("train", "holdout", "exemplars")}
        with under_load(stack, make_image(), threads=1) as clients:
            stack.publish(2, classes=classes, new_classes=classes, counts=counts)
            state = stack.settle(reconciler, lambda state: state.phase == "failed" and bool(state.message))
            assert (state.wanted, state.served) == (2, 1)
            assert [swap.result for swap in swaps] == ["success", "failure"]
            stack.versions.rollback(1)
            stack.serve(reconciler, 1)
    assert clients.problems() == []
    assert "2 classes" in stack.log()
    assert list(stack.loaded()) == [1]


def test_two_stacks_side_by_side(new_stack: MakeStack, make_image: MakeImage) -> None:
    stacks = [new_stack(), new_stack()]
    for number, stack in enumerate(stacks, start=1):
        stack.start()
        for version in range(1, number + 1):
            stack.publish(version)
    for number, stack in enumerate(stacks, start=1):
        with Reconciler(stack.settings, stack.versions) as reconciler:
            stack.serve(reconciler, number)
    assert [stack.post(make_image()).json()["model_version"] for stack in stacks] == [1, 2]


def test_stop_leaves_no_process_and_no_log_files(begun: Begun) -> None:
    stack, _ = begun()
    worker = psutil.Process(wait_for(lambda: worker_pid(stack)))
    stack.stop()
    wait_for(lambda: not lives(worker), patience=STOP_SECONDS)
    run = stack.settings.run_folder
    assert not [path for path in run.rglob("*") if path.suffix == ".log" or path.name == "key_file.json"]
    with pytest.raises(ManagementUnavailableError):
        stack.loaded()


def test_unreadable_store_changes_nothing(begun: Begun, make_image: MakeImage) -> None:
    stack, _ = begun()
    pointer = stack.settings.data / "store" / "versions" / "current.json"
    pointer.write_text("broken")
    with Reconciler(stack.settings, stack.versions) as later:
        state = stack.settle(later, lambda state: state.phase == "serving")
        assert (state.wanted, state.served, state.stale) == (1, 1, True)
        assert "the pointer cannot be read" in state.message
    assert stack.post(make_image()).json()["model_version"] == 1


def test_lost_pointer_changes_nothing(begun: Begun, make_image: MakeImage) -> None:
    """An unmounted store looks empty."""
    stack, reconciler = begun()
    versions = stack.settings.data / "store" / "versions"
    versions.rename(versions.with_name("elsewhere"))
    for _ in range(3):
        state = reconciler.step()
    assert (state.wanted, state.served) == (1, 1)
    stack.settle(reconciler, lambda state: "pointer" in state.message)
    assert stack.post(make_image()).json()["model_version"] == 1


def test_several_workers(begun: Begun, make_image: MakeImage) -> None:
    """More of them than may die while they start: some are there while others begin."""
    stack, reconciler = begun(workers=5)
    with under_load(stack, make_image()) as clients:
        seen_by(clients, 1)
        stack.publish(2)
        stack.serve(reconciler, 2)
        seen_by(clients, 2)
    assert [version.ready_workers for version in stack.loaded().values()] == [5]
    assert clients.problems() == []
    assert {request.version for request in clients.requests()} == {1, 2}
