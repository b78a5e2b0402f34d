"""``/api/versions``: what existing clients get, and how little a page needs to ask for."""

from pathlib import Path

import httpx
import pytest

from handlers.bucket.edit_documents import EditRequest, Rename
from handlers.bucket.updates import UpdateRecords
from handlers.updater.service import Updater
from model_store.directory.directory_store import DirectoryStore
from model_store.manifest import Counts, now
from model_store.versions import VersionStore
from tests.support.stores.published import publish_first
from tools.large_store import fill_store
from tools.manifests import make_manifest


@pytest.fixture
def three(store: DirectoryStore, tmp_path: Path) -> VersionStore:
    """Versions 1 to 3; the third is refused."""
    return publish_first(VersionStore(store), 3, tmp_path)


@pytest.mark.usefixtures("three")
def test_without_parameters_everything_is_answered_as_before(client: httpx.Client) -> None:
    document = client.get("/api/versions").json()
    assert document.keys() == {"current", "served", "versions"}
    assert [one["version"] for one in document["versions"]] == [1, 2, 3]
    assert document["versions"][1]["classes"] == ["cat", "dog", "owl"]
    assert document["versions"][1]["class_accuracy"]["owl"] == 0.9


FEW = [("limit=2", [2, 3]), ("limit=2&before=3", [1, 2]), ("before=2", [1]), ("limit=9", [1, 2, 3])]


@pytest.mark.usefixtures("three")
def test_a_few_versions(client: httpx.Client) -> None:
    for query, numbers in FEW:
        document = client.get(f"/api/versions?{query}").json()
        assert [one["version"] for one in document["versions"]] == numbers
        assert document.get("total") == (3 if "limit" in query else None)


@pytest.mark.usefixtures("three")
def test_some_fields(client: httpx.Client, root: Path) -> None:
    (root / "versions" / "2" / "manifest.json").write_text("{")
    first, damaged, _ = client.get("/api/versions?fields=gate,class_count").json()["versions"]
    gate = {"passed": True, "reasons": [], "undecided": [], "answer": "passed"}
    assert first == {"version": 1, "gate": gate, "class_count": 2}
    assert damaged.keys() == {"version", "error"}
    assert client.get("/api/versions/1?fields=kind").json() == {"version": 1, "kind": "learnt"}


WRONG = [
    ("/api/versions?limit=0", 400, "limit is '0'"),
    ("/api/versions?limit=-1", 400, "whole number"),
    ("/api/versions?before=99999999999", 400, "whole number"),
    ("/api/versions?fields=colour", 400, "fields names colour"),
    ("/api/versions/9", 404, "no version 9"),
]


@pytest.mark.usefixtures("three")
def test_what_is_asked_wrongly_is_said(client: httpx.Client) -> None:
    for path, status, words in WRONG:
        answer = client.get(path)
        assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text


def test_what_the_client_has_is_not_sent_again(client: httpx.Client, three: VersionStore, updater: Updater) -> None:
    first = client.get("/api/versions")
    tag = {"if-none-match": f'"other", {first.headers["etag"]}'}
    again = client.get("/api/versions", headers=tag)
    assert (again.status_code, again.content) == (304, b"")
    three.point_to(2, "published")
    updater.status.set_versions(2, None, None)
    assert client.get("/api/versions", headers=tag).status_code == 200


def test_a_version_that_could_not_be_read_is_read_again(
    client: httpx.Client, three: VersionStore, updater: Updater, root: Path
) -> None:
    manifest = root / "versions" / "2" / "manifest.json"
    content = manifest.read_bytes()
    manifest.write_bytes(b"{")
    assert "error" in client.get("/api/versions").json()["versions"][1]
    manifest.write_bytes(content)
    updater.view.refresh()
    assert client.get("/api/versions").json()["versions"][1]["kind"] == "learnt"


def test_each_version_says_what_it_changed(
    client: httpx.Client, three: VersionStore, store: DirectoryStore, tmp_path: Path
) -> None:
    evaluation = tmp_path / "evaluation-2"
    counts = Counts(train={"cat": 8, "dog": 5}, holdout={"cat": 2}, exemplars={})
    files = {"evaluation.json": evaluation}
    three.publish(make_manifest(4, parent=None, new_classes=("cat", "dog"), counts=counts), files)
    more = counts.model_copy(update={"train": {"cat": 9, "dog": 5, "owl": 7}})
    facts = {"classes": ("cat", "dog", "owl"), "new_classes": ("owl",), "updated_classes": ("cat",), "counts": more}
    three.publish(make_manifest(5, **facts), files)
    request = EditRequest(
        id="000000-1700000000000-0123abcd", created_at=now(), operation=Rename(name="cat", to="Katze")
    )
    intent = UpdateRecords(store).begin({}, request)
    three.publish(make_manifest(6, kind="edited", update_id=intent.id), files)
    many = tuple(f"c{number}" for number in range(9))
    three.publish(make_manifest(7, classes=many, new_classes=many), files)
    changed = [one["changed"] for one in client.get("/api/versions?fields=changed&limit=4").json()["versions"]]
    assert changed == [
        "learnt 'cat' (10 images), 'dog' (5 images)",
        "learnt 'owl' (7 images); learnt more of 'cat' (1 image more)",
        "rename 'cat' to 'Katze'",
        "learnt 'c0', 'c1', 'c2', 'c3', 'c4' and 4 more classes",
    ]


def test_little_is_sent_of_many_versions_of_many_classes(
    client: httpx.Client, store: DirectoryStore, tmp_path: Path
) -> None:
    fill_store(store, tmp_path, versions=20, classes=1000)
    answer = client.get("/api/versions?limit=8&fields=version,changed,accuracy,interval,gate,class_count")
    assert [one["version"] for one in answer.json()["versions"]] == list(range(13, 21))
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) < 2000
