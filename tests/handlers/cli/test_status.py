"""``lucir status`` shows what the updater's own status object says."""

import json
from collections.abc import Callable

from handlers.updater.intake.listing import Folder
from handlers.updater.intake.readiness import FolderState, waiting_folders
from handlers.updater.status import Phase, Status
from tests.handlers.cli.conftest import Run


def test_everything_the_status_holds(lucir: Run, serve: Callable[..., str]) -> None:
    status = Status("file:///somewhere/store")
    status.set_versions(3, 2, "version 3 is starting")
    status.set_phase(Phase("000004", step="learn", new_classes=("owl",), epoch=5, epochs=20, progress=0.4))
    folder = Folder("few[/]", images=3)
    status.set_waiting(waiting_folders([FolderState(folder, "waiting", "3 of at least 10 images")]))
    status.add_rejected("incoming/cat/x.png", "cat", "the file is not an image", "000003")
    status.add_error("swap", "something failed")
    document = json.dumps(status.snapshot()).encode()
    url = serve(lambda *_: (200, document))
    text = lucir("status", "--url", url).stdout
    for part in (
        "version 3 is starting",
        "file:///somewhere/store",
        "epoch 5 of 20",
        "learning owl",
        "few[/]",
        "3 of at least 10 images",
        "incoming/cat/x.png: the file is not an image",
        "swap: something failed",
    ):
        assert part in text, part
    assert json.loads(lucir("status", "--json", "--url", url).stdout) == json.loads(document)


def test_a_fresh_stack(lucir: Run, serve: Callable[..., str]) -> None:
    document = json.dumps(Status("s3://lucir").snapshot()).encode()
    text = lucir("status", "--url", serve(lambda *_: (200, document))).stdout
    assert "none yet" in text
    assert "none is running" in text
