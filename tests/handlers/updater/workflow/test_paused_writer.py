"""A writer that pauses for longer than a drop takes to settle: what it had written is rejected, the whole is learnt."""

import hashlib

import pytest

from handlers.bucket.updates import UpdateRecords
from tests.handlers.conftest import DigitFiles
from tests.support.learning.bench import Bench
from tests.support.present import present
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_process")]


def test_a_file_that_was_cut_off_is_learnt_when_it_is_whole(bench: Bench, digit_files: DigitFiles) -> None:
    records, whole = UpdateRecords(bench.store), digit_files[0][30]
    folder = bench.root / "incoming" / "zero"
    folder.mkdir()
    for index in range(20, 24):
        (folder / f"{index}.png").write_bytes(digit_files[0][index])
    with (folder / "slow.png").open("wb", buffering=0) as file:
        file.write(whole[:60])
        assert bench.run("000002").images["rejected"] == 1
        bench.restart()
        file.write(whole[60:])

    def third() -> str | None:
        bench.look()
        done = records.done("000003")
        return done.result if done is not None else None

    assert wait_for(third) == "published"
    plan = present(records.plan("000003"))
    assert [(entry.key, entry.role) for entry in plan.entries if entry.role != "marker"] == [
        ("incoming/zero/slow.png", "train")
    ]
    assert hashlib.sha256(whole).hexdigest() == plan.of_role("train")[0].sha256
    assert [info.key for info in bench.store.list("rejected/000002/")] == []
    assert list(bench.store.list("incoming/")) == []
