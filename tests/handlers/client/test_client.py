"""The client: on a store without a stack, and every call against a running one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.client import Client, ClientError
from model_store.objects import StoreError
from tests.handlers.cli.test_versions import versions
from tests.support.present import present
from tests.support.processes.stack import digit_image, folders, running
from tests.support.waiting import PATIENCE

__all__ = ["versions"]


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path / "lucir-data")


@pytest.mark.usefixtures("versions")
def test_versions_are_typed(client: Client) -> None:
    rows = client.versions()
    assert [(row.version, row.current, row.kind, row.gate_passed) for row in rows] == [
        (1, False, "learnt", True),
        (2, True, "learnt", True),
        (3, False, "provisional", False),
    ]
    assert rows[1].classes == ("cat", "dog", "owl")
    assert rows[1].accuracy == 0.9


@pytest.mark.usefixtures("versions")
def test_a_rollback_without_a_stack_and_one_that_the_gate_refused(client: Client) -> None:
    result = client.rollback(1)
    assert (result.version, result.previous, result.forced, result.served) == (1, 2, False, None)
    with pytest.raises(ClientError, match=r"refused version 3: too bad.*--force"):
        client.rollback(3)
    assert client.rollback(3, force=True).forced


@pytest.mark.usefixtures("versions")
def test_an_edit_that_is_not_possible_says_why(client: Client) -> None:
    with pytest.raises(ClientError, match="zebra"):
        client.rename("zebra", "horse")
    with pytest.raises(ClientError, match="neither a file here, nor a sha256, nor a key"):
        client.delete_images("nothing.jpg")


def test_addresses_are_taken_as_told(serve: Callable[..., str], tmp_path: Path) -> None:
    document = b'{"served_version": 4, "current_version": 5, "server_error": null, "errors": []}'
    url = serve(lambda *_: (200, document))
    status = Client(tmp_path, updater_url=url + "/").status()
    assert (status.served_version, status.current_version, status.phase) == (4, 5, None)


def test_a_wrong_address_and_a_missing_store_name_the_remedy(serve: Callable[..., str], tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="write http://host:port"):
        Client(tmp_path, url="nonsense").predict(Path(__file__))
    with pytest.raises(ClientError, match="updater's address"):
        Client(tmp_path, updater_url=serve(lambda *_: (200, b"<html>"))).status()
    with pytest.raises(ClientError, match="updater's address"):
        Client(tmp_path, updater_url=serve(lambda *_: (200, b'{"status": "Healthy"}'))).status()
    with pytest.raises(ClientError, match=r"502: Bad Gateway; a proxy reached no service.*updater's address"):
        Client(tmp_path, updater_url=serve(lambda *_: (502, b"<html>"))).status()
    for status, words in ((401, "token=..."), (502, "a proxy reached no service"), (200, "updater's address")):
        with pytest.raises(ClientError, match=words):
            Client(updater_url=serve(lambda *_, status=status: (status, b""))).rollback(1)
    with pytest.raises(StoreError, match="--data"):
        Client(tmp_path / "nowhere").versions()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_call_against_a_running_stack(tmp_path: Path) -> None:
    with running(tmp_path / "data") as stack, Client(stack.data) as client:
        steps = list(client.follow(client.drop(folders(tmp_path / "first", "01")), PATIENCE))
        outcome = present(steps[-1].outcome)
        assert (outcome.version, outcome.failure) == (1, "")
        assert any(step.text.startswith("update ") for step in steps)
        assert client.wait(client.drop(folders(tmp_path / "second", "2") / "2", "two"), PATIENCE).version == 2
        assert client.status().served_version == 2

        image = tmp_path / "one.png"
        image.write_bytes(digit_image("1"))
        by_address = Client(tmp_path / "elsewhere", url=stack.record.inference_url)
        for (answer,) in (client.predict(image, top_k=2), by_address.predict(image, top_k=2)):
            assert (answer.version, len(answer.predictions), answer.error) == (2, 2, "")
            assert 0 < answer.best.probability <= 1

        def carried_out(request: object) -> int:
            done = present(client.wait_edit(request, PATIENCE).done)  # type: ignore[arg-type]  # of any kind
            assert done.result == "published", done.reason
            return client.wait_served(present(done.version), PATIENCE)

        assert carried_out(client.rename("two", "2")) == 3
        assert carried_out(client.delete_images(str(tmp_path / "first" / "0" / "0.png"))) == 4
        assert carried_out(client.remove_class("2")) == 5
        assert client.versions()[-1].classes == ("0", "1")
        assert client.report().version == 5
        assert b"<html" in client.report_page(2)
        result = client.rollback(2)
        assert (result.previous, result.served) == (5, 2)
        assert client.status().served_version == 2


LONG = "x" * 300
"""A name that the system refuses, to root too; what is not there has words of its own."""


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.predict(LONG),
        lambda client: client.drop(LONG),
        lambda client: client.correct([LONG], "cat"),
        lambda client: client.delete_images(LONG),
        lambda client: client.export(1, LONG),
        lambda client: client.restore(LONG),
        lambda _: Client(LONG).versions(),
        lambda _: Client(LONG).rollback(1),
    ],
    ids=["predict", "drop", "correct", "delete_images", "export", "restore", "versions", "rollback"],
)
def test_what_the_system_says_of_a_file_is_a_client_error(tmp_path: Path, call: Callable[[Client], object]) -> None:
    (tmp_path / "lucir-data" / "store").mkdir(parents=True)
    with pytest.raises(ClientError, match="File name too long"):
        call(Client(tmp_path / "lucir-data"))


def test_a_file_that_goes_while_it_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.jpg").write_bytes(b"image")
    client = Client(tmp_path / "lucir-data")
    drop = client.prepare_drop(tmp_path / "cat")
    (tmp_path / "cat" / "1.jpg").unlink()
    with pytest.raises((ClientError, StoreError), match="No such file"):
        list(client.copy(drop))


def test_a_backup_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a folder: name what `lucir backup` wrote"):
        Client(tmp_path / "lucir-data").restore(str(tmp_path / "nothing"))
    assert list(tmp_path.iterdir()) == []


def test_a_correction_that_is_not_one_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "data" / "store").mkdir(parents=True)
    client = Client(tmp_path / "data")
    (tmp_path / "text.jpg").write_text("not an image")
    for images, words in (([], "no image to correct"), ([tmp_path / "gone.jpg"], "cannot be read")):
        with pytest.raises(ClientError, match=words):
            client.correct(images, "cat")
    with pytest.raises(ClientError, match="cannot be learnt as 'cat'"):
        client.correct([tmp_path / "text.jpg"], "cat")
    assert not list((tmp_path / "data" / "store").glob("incoming/*"))
