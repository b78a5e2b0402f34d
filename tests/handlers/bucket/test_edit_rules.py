"""Which names an edit may give, and what may be done with names that were given before."""

import pytest

from handlers.bucket.edit_documents import Merge, Operation, Relearn, Remove, Rename
from handlers.bucket.edit_rules import EditError, checked
from tests.support.class_names import NO_CLASS_NAMES

CLASSES = ("cat", "dog", "eel")


@pytest.mark.parametrize(("name", "words"), NO_CLASS_NAMES.items())
@pytest.mark.parametrize("kind", ["rename", "merge", "relearn"])
def test_no_class_gets_a_name_that_no_folder_may_have(kind: str, name: str, words: str) -> None:
    """The next images of it could not be dropped."""
    edits: dict[str, Operation] = {
        "rename": Rename(name="cat", to=name),
        "merge": Merge(names=("cat", "dog"), into=name),
        "relearn": Relearn(classes=(name,)),
    }
    with pytest.raises(EditError, match=words):
        checked(edits[kind], CLASSES)


@pytest.mark.parametrize("old", ["cat ", ".cat", "cat.part", "猫" * 100])
def test_a_class_that_has_such_a_name_is_renamed_removed_and_learnt_again(old: str) -> None:
    """Earlier releases allowed it."""
    classes = (*CLASSES, old)
    for operation in (Rename(name=old, to="lion"), Merge(names=(old,), into="cat"), Remove(name=old)):
        assert checked(operation, classes) == operation
    assert checked(Relearn(classes=(old, "cat")), classes) == Relearn(classes=(old, "cat"))
