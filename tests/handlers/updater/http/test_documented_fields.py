"""The fields that ``docs/http.md`` names are those of the answers."""

import re
import time
from pathlib import Path
from typing import Any

import httpx

from handlers.bucket.update_documents import Done
from handlers.updater.pace import Pace
from handlers.updater.service import Updater
from handlers.updater.status import Phase
from tests.handlers.conftest import DigitFiles
from tests.support.documents import make_done

PAGE = Path(__file__).parents[4] / "docs/http.md"
FILE = {"content-type": "application/octet-stream"}


def documented() -> dict[str, list[str]]:
    """The fields in the second column of the last table, by the words of the first."""
    table = PAGE.read_text(encoding="utf-8").partition("## Fields of the answers")[2]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("|") and "`" in line.split("|")[2]]
    return {what.strip(): re.findall(r"`(\w+)`", fields.replace("with `limit`", "")) for what, fields in rows}


def reading(client: httpx.Client) -> dict[str, dict[str, Any]]:
    """An answer for each row about reading."""

    def get(path: str) -> dict[str, Any]:
        answer: dict[str, Any] = client.get(path).raise_for_status().json()
        return answer

    status, classes, images = get("/api/status"), get("/api/classes"), get("/api/classes/zero/images")
    rejected, unsure = get("/api/rejected"), get("/api/unsure")
    return {
        "`/api/status`": status,
        "its `phase` (null: none runs)": status["phase"],
        "the `expert` of a phase": status["phase"]["expert"],
        "one of its `waiting`": status["waiting"][0],
        "one of its `errors`": status["errors"][0],
        "its `store`": status["store"],
        "its `lease`": status["lease"],
        "its `last_update`": status["last_update"],
        "`/api/versions`": get("/api/versions?limit=1"),
        "`/api/versions/<n>`": get("/api/versions/1"),
        "`/api/classes`": classes,
        "one of its `classes`": classes["classes"][0],
        "`/api/classes/<name>/images`": images,
        "one of the class's `images`": images["images"][0],
        "`/api/rejected`": rejected,
        "one of the rejected `images`": rejected["images"][0],
        "`/api/unsure`": unsure,
        "one of the unsure `images`": unsure["images"][0],
        "`/api/access`": get("/api/access"),
    }


def test_the_fields_of_every_answer_are_documented(full_address: str, full: Updater, digit_files: DigitFiles) -> None:
    full.status.set_phase(Phase(update="000002", step="learn", pace=Pace(began=(0.0, time.monotonic()))))
    done: Done = make_done("000001", version=1)
    full.status.set_last_update(done.model_dump(mode="json", exclude={"left", "format"}) | {"refined": False})
    with httpx.Client(base_url=full_address, timeout=60, trust_env=False) as client:
        answers = reading(client)
        image = digit_files[3][0]
        asked = client.post("/api/classes/zero/rename", json={"to": "none"}).json()
        sent = [
            client.put("/api/incoming/owl/drop/1.png", content=image, headers=FILE).json(),
            client.post("/api/corrections?class=one", content=digit_files[3][1], headers=FILE).json(),
            client.post(
                f"/api/unsure/{answers['one of the unsure `images`']['id']}/label", json={"class_name": "owl"}
            ).json(),
            client.post("/api/rejected/retry", json={"key": answers["one of the rejected `images`"]["key"]}).json(),
        ]
        (upload,) = {tuple(one) for one in sent}
        answers |= {
            "an upload, a correction, a label, a rejected file's retry": dict.fromkeys(upload),
            "a change of classes, a deleted image, `/api/relearn`": asked,
            "`/api/requests/<id>`": client.get(asked["state"]).json(),
            "a rollback": client.post("/api/rollback", json={"to": 3}).json(),
        }
    told = documented()
    assert {what: sorted(answer) for what, answer in answers.items()} == {what: sorted(of) for what, of in told.items()}
