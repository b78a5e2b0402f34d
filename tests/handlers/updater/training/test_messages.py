"""What one process left as a file, another reads, of a later release too."""

import json
from pathlib import Path

from handlers.updater.training.messages import RESULT, Result


def test_a_result_that_an_earlier_release_left_is_read(tmp_path: Path) -> None:
    made = Result(
        config={}, method="analytic", exemplars={"cat": 2}, seconds={"edit": 0.5}, software={"lucir": "0.3.0"}
    )
    of_then = made.model_dump() | {"checked_images": 8, "max_cosine_difference": 1e-7}
    (tmp_path / RESULT).write_text(json.dumps(of_then), encoding="utf-8")
    assert Result.read(tmp_path / RESULT) == made
