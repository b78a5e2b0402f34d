"""The store that the settings name, and keys that are exchanged while it is open."""

from pathlib import Path
from typing import ClassVar

from handlers.settings import Settings
from handlers.store import open_settings_store
from tests.support.stores.bad_s3 import Fake, serving


class Signed(Fake):
    """Notes who signs the requests."""

    objects: ClassVar[dict[str, bytes]] = {"/lucir/a": b"1"}
    requests: ClassVar[list[str]] = []
    signers: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.signers.append(self.headers["Authorization"].partition("Credential=")[2].partition("/")[0])
        super().do_GET()


def test_a_key_that_is_exchanged_in_its_file_holds_from_the_next_request_on(tmp_path: Path) -> None:
    """While a file is being written, or is away, the last key does."""
    access_key, secret_key = tmp_path / "access-key", tmp_path / "secret-key"
    access_key.write_text("first\n")
    secret_key.write_text("secret-1\n")
    with serving(Signed) as endpoint:
        s3 = {"endpoint": endpoint, "access_key_file": access_key, "secret_key_file": secret_key}
        store = open_settings_store(Settings.model_validate({"store": "s3://lucir", "s3": s3}))
        store.read("a")
        for content in ("", None, "second\n"):
            access_key.unlink() if content is None else access_key.write_text(content)
            store.read("a")
    assert Signed.signers == ["first", "first", "first", "second"]
