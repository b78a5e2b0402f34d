"""Names that are not UTF-8, too long or full of signs, dropped beside a clean class: only what is wrong is rejected."""

import json
import os
from pathlib import Path

from handlers.bucket.dropped_names import why_left_alone
from handlers.bucket.updates import UpdateRecords
from handlers.updater.intake.originals import move_all, write_reasons
from handlers.updater.metrics import Metrics
from model_store.directory.directory_store import DirectoryStore
from tests.handlers.conftest import DigitFiles
from tests.handlers.updater.intake.conftest import MakePlan, put, reasons
from tests.handlers.updater.intake.test_left_alone import judged
from tests.handlers.updater.intake.test_plan import contents
from tests.support.class_names import NO_CLASS_NAMES


def test_a_folder_and_a_file_that_are_no_utf8(
    store: DirectoryStore, root: Path, digit_files: DigitFiles, make_plan: MakePlan
) -> None:
    for digit, folder in enumerate((b"zero", b"one", b"caf\xe9", b"right \xe2\x80\xae left")):
        for index in range(6):
            name = b"%d-\xff\xed\xa0\x80.png" % index if index < 2 else b"%d.png" % index
            path = root / "incoming" / os.fsdecode(folder) / os.fsdecode(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(digit_files[digit][index])
    before = contents(store, "incoming/")
    states = judged(store)
    json.dumps([[state.folder.name, state.reason] for state in states.values()], ensure_ascii=False).encode()
    metrics = Metrics()
    metrics.show_waiting({name: state.folder.images for name, state in states.items()})
    plan = make_plan()
    assert plan.classes == ("one", "right \u202e left", "zero")
    assert {reason for reason in reasons(plan).values() if "not UTF-8" in reason} == set(reasons(plan).values())
    assert len(reasons(plan)) == 6
    records = UpdateRecords(store)
    records.write_plan(plan)
    assert records.plan(plan.id) == plan
    rejected = plan.of_role("rejected")
    write_reasons(store, plan.id, rejected)
    moved, left = move_all(store, plan.entries)
    assert (len(moved), left) == (24, [])
    assert list(store.list("incoming/")) == []
    assert contents(store, "archive/", "rejected/") == before
    for info in store.list(""):
        os.fsencode(info.key).decode()


def test_no_folder_is_learnt_that_has_no_class_name(
    store: DirectoryStore, root: Path, digit_files: DigitFiles, make_plan: MakePlan
) -> None:
    """It is left alone, or its images are rejected with the reason."""
    image = digit_files[2][0]
    for digit, name in enumerate("ab"):
        put(root, {f"{name}/{index}.png": digit_files[digit][index] for index in range(6)})
    odd = [name for name in NO_CLASS_NAMES if name.strip("./") and "/" not in name and len(os.fsencode(name)) < 256]
    put(root, {f"{name}/1.png": image for name in odd})
    put(root, {f"{name}/1.png": digit_files[3][0] for name in odd}, "evaluation")
    plan = make_plan()
    assert plan.classes == ("a", "b")
    told = reasons(plan)
    left = [name for name in odd if why_left_alone(name) is not None]
    assert 0 < len(told) == len(odd) - len(left)
    assert all(any(words in reason for words in NO_CLASS_NAMES.values()) for reason in told.values())
    assert all((root / "incoming" / name / "1.png").exists() for name in left)
