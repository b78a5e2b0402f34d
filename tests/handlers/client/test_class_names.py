"""What no folder in ``incoming/`` may be called is nothing that is dropped, corrected or renamed from Python."""

import os
from pathlib import Path

import pytest

from handlers.bucket.dropped_names import why_left_alone
from handlers.client import Client
from handlers.client.class_folders import read_layout
from handlers.client.drop_upload import prepare_correction
from handlers.client.errors import ClientError
from handlers.inference.image_limits import Limits
from tests.handlers.conftest import DigitFiles
from tests.support.class_names import NO_CLASS_NAMES

FOLDERS = [name for name in NO_CLASS_NAMES if name.strip("./") and "/" not in name and len(os.fsencode(name)) < 256]
"""Those that a folder can have."""


@pytest.mark.parametrize(("name", "words"), NO_CLASS_NAMES.items())
def test_one_that_is_told(name: str, words: str, digit_files: DigitFiles, tmp_path: Path) -> None:
    image = tmp_path / "1.png"
    image.write_bytes(digit_files[0][0])
    with pytest.raises(ClientError, match=words):
        read_layout(tmp_path, name)
    with pytest.raises(ClientError, match=words):
        prepare_correction(image, name, Limits())


@pytest.mark.parametrize("name", FOLDERS)
def test_one_of_a_folder(name: str, digit_files: DigitFiles, tmp_path: Path) -> None:
    """What is left out of a folder of classes, as hidden folders are, is named; what would be learnt is refused."""
    for folder in ("cat", "dog", name):
        (tmp_path / "all" / folder).mkdir(parents=True)
        (tmp_path / "all" / folder / "1.png").write_bytes(digit_files[0][0])
    if why_left_alone(name) is None:
        with pytest.raises(ClientError, match=NO_CLASS_NAMES[name]):
            read_layout(tmp_path / "all")
    else:
        layout = read_layout(tmp_path / "all")
        assert [one.name for one in layout.classes] == ["cat", "dog"]
        assert [one.path for one in layout.left] == [Path(name)]
    with pytest.raises(ClientError, match=NO_CLASS_NAMES[name]):
        read_layout(tmp_path / "all" / name)


def test_a_store_of_ones_own_takes_none(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with Client(store=(tmp_path / "store").as_uri()) as client, pytest.raises(ClientError, match="begins with a dot"):
        client.relearn(".x")
