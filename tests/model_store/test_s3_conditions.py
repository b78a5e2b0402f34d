"""S3 servers that do not honour conditions, or that change an object while it is moved."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
from minio import Minio

from model_store.objects import (
    ObjectNotFoundError,
    ObjectTooLargeError,
    PreconditionFailedError,
    StoreError,
    StoreUnavailableError,
)
from model_store.s3.conditional import ConditionalWriter
from model_store.s3.s3_store import COPY_LIMIT
from tests.support.stores.bad_s3 import Fake, connect, etag_of, fake, raw, serving
from tools.servers.server import Server


class TestConditions:
    @pytest.mark.parametrize("conditions", ["ignored", "refused"])
    def test_without_them_it_is_a_single_writer(
        self, conditions: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        (tmp_path / "2").write_bytes(b"2")
        with fake(conditions=conditions) as (store, server):
            assert not store.conditional_writes
            assert "only one process may write" in caplog.text
            first = store.write("a", b"1", only_if_absent=True)
            with pytest.raises(PreconditionFailedError):
                store.write("a", b"2", only_if_absent=True)
            with pytest.raises(PreconditionFailedError):
                store.upload("a", tmp_path / "2", only_if_absent=True)
            store.replace("a", b"3", expected_etag=first.etag)
            with pytest.raises(PreconditionFailedError):
                store.replace("a", b"4", expected_etag=first.etag)
            assert store.read("a") == b"3"
            assert list(server.objects) == ["/lucir/a"]  # nothing is left of the probe

    @pytest.mark.parametrize("conditions", ["honoured", "unquoted"])
    def test_either_form_of_tag_is_found_out(self, conditions: str) -> None:
        with fake(conditions=conditions) as (store, server):
            assert store.conditional_writes
            first = store.write("a", b"1", only_if_absent=True)
            store.replace("a", b"2", expected_etag=first.etag)
            with pytest.raises(PreconditionFailedError):
                store.replace("a", b"3", expected_etag=first.etag)
            assert server.objects["/lucir/a"] == b"2"

    def test_is_asked_once(self) -> None:
        with fake(conditions="honoured") as (store, server):
            assert store.conditional_writes
            asked = len(server.requests)
            assert store.conditional_writes
            assert len(server.requests) == asked

    def test_what_fails_is_told_in_the_same_words_each_time(self) -> None:
        """Else the log and the page take each failure for another one."""
        told = set[str]()
        with raw(b"") as endpoint:
            store = connect(endpoint)
            for _ in range(2):
                with pytest.raises(StoreUnavailableError) as caught:
                    _ = store.conditional_writes
                told.add(str(caught.value))
        assert len(told) == 1

    def test_a_lost_answer_is_no_lost_write(self) -> None:
        with fake(conditions="honoured", lose_answers=True) as (store, server):
            info = store.write("a", b"mine", only_if_absent=True)
            assert store.replace("a", b"mine too", expected_etag=info.etag).etag == etag_of(b"mine too")
            server.lose_answers = False
            with pytest.raises(PreconditionFailedError):  # equal content of another writer is no success of ours
                store.write("a", b"mine too", only_if_absent=True)

    def test_a_lost_write_that_another_came_before_has_failed(self) -> None:
        with fake(conditions="honoured", lose_requests=True) as (store, server):
            for another in (b"short", b"longer than mine"):
                server.objects["/lucir/a"] = another
                with pytest.raises(PreconditionFailedError, match="another writer came first"):
                    store.write("a", b"mine!", only_if_absent=True)
            with pytest.raises(StoreUnavailableError):
                store.write("b", b"mine!", only_if_absent=True)

    def test_a_conflict_under_way_is_waited_for(self) -> None:
        with fake(conditions="honoured", conflicts=2) as (store, server):
            store.write("a", b"1", only_if_absent=True)
            server.conflicts = 5
            with pytest.raises(PreconditionFailedError, match="same time"):
                store.write("b", b"1", only_if_absent=True)


class TestMoving:
    def test_more_than_five_gib_is_refused_in_words(self) -> None:
        class Huge(Fake):
            objects: ClassVar[dict[str, bytes]] = {"/lucir/a": b"1"}
            requests: ClassVar[list[str]] = []

            def send_header(self, keyword: str, value: str) -> None:
                huge = keyword == "Content-Length" and self.command == "HEAD"
                super().send_header(keyword, str(COPY_LIMIT + 1) if huge else value)

        with serving(Huge) as endpoint, pytest.raises(StoreError, match="5 GiB"):
            connect(endpoint).move("a", "b")
        assert Huge.objects == {"/lucir/a": b"1"}

    def test_new_bytes_that_come_in_meanwhile_are_not_lost(self, server: Server) -> None:
        bucket = server.bucket()
        store, other = server.open(bucket), server.open(bucket)
        store.write("a", b"old")
        copy = Minio.copy_object
        uploads = iter([b"new"])

        def copy_and_upload(*args: Any) -> object:
            result = copy(*args)
            for data in uploads:
                other.write("a", data)
            return result

        with pytest.MonkeyPatch.context() as patch:  # between the copy and the removal
            patch.setattr(Minio, "copy_object", copy_and_upload)
            store.move("a", "b")
        assert store.read("b") == b"new"
        with pytest.raises(ObjectNotFoundError):
            store.stat("a")

    @pytest.mark.parametrize("exactly", [False, True])
    def test_bytes_that_come_just_before_the_deletion_are_not_lost(self, moto: Server, exactly: bool) -> None:
        """Later no look would see them: the server must."""
        bucket = moto.bucket()
        store, other = moto.open(bucket), moto.open(bucket)
        seen = store.write("a", b"old").etag
        delete = ConditionalWriter.delete
        uploads = iter([b"new"])

        def upload_and_delete(self: ConditionalWriter, *words: Any) -> None:
            for data in uploads:
                other.write("a", data)
            delete(self, *words)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ConditionalWriter, "delete", upload_and_delete)
            if not exactly:
                store.move("a", "b")
            else:
                with pytest.raises(PreconditionFailedError, match="changed meanwhile"):
                    store.move("a", "b", expected_etag=seen)
        assert {info.key: store.read(info.key) for info in store.list("")} == (
            {"a": b"new", "b": b"old"} if exactly else {"b": b"new"}
        )

    @pytest.mark.parametrize(
        ("deletions", "asked"),
        [("honoured", "DELETE /lucir/a if"), ("ignored", "DELETE /lucir/a"), ("refused", "DELETE /lucir/a")],
    )
    def test_a_deletion_has_a_condition_where_the_server_knows_one(self, deletions: str, asked: str) -> None:
        with fake(conditions="honoured", deletions=deletions) as (store, server):
            assert store.exact_moves == (deletions == "honoured")
            store.write("a", b"1")
            store.move("a", "b")
            assert server.objects == {"/lucir/b": b"1"}  # nothing is left of the probe
            assert [one for one in server.requests if one.startswith("DELETE /lucir/a")] == [asked]

    def test_a_deletion_whose_answer_is_lost_is_asked_for_again(self) -> None:
        with fake(conditions="honoured", deletions="honoured", lose_answers=True) as (store, server):
            server.objects["/lucir/a"] = b"1"
            store.move("a", "b")
            assert server.objects == {"/lucir/b": b"1"}
            assert server.requests.count("DELETE /lucir/a if") == 2

    def test_a_conflict_is_waited_for_and_what_is_gone_is_moved(self) -> None:
        with fake(conditions="honoured", deletions="honoured", conflicts=2) as (store, server):
            assert store.exact_moves
            server.objects["/lucir/a"] = b"1"
            store.move("a", "b")
            assert server.objects == {"/lucir/b": b"1"}
            server.objects["/lucir/a"] = b"1"
            copy = Minio.copy_object

            def copy_and_go(*words: Any) -> object:
                result = copy(*words)
                del server.objects["/lucir/a"]
                return result

            with pytest.MonkeyPatch.context() as patch:  # another one deletes it first
                patch.setattr(Minio, "copy_object", copy_and_go)
                store.move("a", "b")
            assert server.objects == {"/lucir/b": b"1"}


def test_a_server_that_sends_more_than_it_said() -> None:
    body = b"x" * 50
    with raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body) as endpoint:
        with pytest.raises(ObjectTooLargeError):
            connect(endpoint).read("a", limit=49)
        assert connect(endpoint).read("a", limit=50) == body
