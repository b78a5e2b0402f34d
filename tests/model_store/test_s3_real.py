"""What real servers say when something is wrong with the key, the clock, the certificate, the names or the bucket."""

import datetime as dt
import io
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from minio import MinioAdmin
from minio.credentials import StaticProvider
from minio.error import MinioException

from model_store.objects import ObjectStore, StoreError
from tools.servers.minio_server import MINIO_MISSING, find_minio, minio_server
from tools.servers.server import ACCESS_KEY, REGION, SECRET_KEY, Server

READ_ONLY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": ["arn:aws:s3:::*"]}],
}
NOTHING = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Deny", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}],
}


def user(server: Server, name: str, policy: dict[str, object]) -> dict[str, object]:
    """A key of somebody with this policy, as options of our store."""
    host = server.endpoint.removeprefix("http://")
    admin = MinioAdmin(endpoint=host, credentials=StaticProvider(ACCESS_KEY, SECRET_KEY), region=REGION, secure=False)
    admin.user_add(name, f"{name}-secret")
    admin.policy_add(name, policy=policy)
    admin.policy_set(name, user=name)
    return {"keys": lambda: (name, f"{name}-secret")}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for 127.0.0.1 that nobody but itself signed."""
    folder = tmp_path_factory.mktemp("certificates")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lucir test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "public.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "private.key").write_bytes(private)
    return folder


@pytest.fixture(scope="module")
def tls(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """MinIO with that certificate."""
    if find_minio() is None:
        pytest.skip(MINIO_MISSING)
    with minio_server(tmp_path_factory.mktemp("tls"), certificates=certificates) as server:
        yield server


class TestKeys:
    def test_a_key_that_may_only_read_is_refused_at_the_check(self, minio: Server) -> None:
        bucket = minio.bucket()
        minio.open(bucket).write("a", b"1")
        store = minio.open(bucket, **user(minio, "reader", READ_ONLY))
        assert store.read("a") == b"1"
        assert [info.key for info in store.list("")] == ["a"]
        calls = (
            store.check,
            lambda: store.write("b", b"1"),
            lambda: store.write("b", b"1", only_if_absent=True),
            lambda: store.move("a", "b"),
            lambda: store.delete("a"),
        )
        for call in calls:
            with pytest.raises(
                StoreError, match=r"AccessDenied.*give this key a policy that lets it .*write"
            ) as caught:
                call()
            assert "reader-secret" not in str(caught.value)
        assert [(info.key, info.size) for info in minio.open(bucket).list("")] == [("a", 1)]

    def test_a_key_that_may_do_nothing_is_told_so(self, minio: Server) -> None:
        store = minio.open(minio.bucket(), **user(minio, "nobody", NOTHING))
        for call in (store.check, lambda: store.stat("a"), lambda: store.read("a"), lambda: list(store.folders(""))):
            with pytest.raises(StoreError, match="give this key a policy"):
                call()

    @pytest.mark.parametrize("hours", [-1, 1])
    def test_a_clock_that_is_wrong(self, minio: Server, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
        store = minio.open(minio.bucket())
        now = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
        monkeypatch.setattr("minio.time.utcnow", lambda: now)
        for call in (store.check, lambda: list(store.list("")), lambda: store.write("a", b"1")):
            with pytest.raises(StoreError, match=r"RequestTimeTooSkewed.*clocks"):
                call()


class TestTls:
    def test_a_certificate_of_an_unknown_authority(self, tls: Server) -> None:
        with pytest.raises(StoreError, match=r"TLS failed.*LUCIR_S3__CA_FILE"):
            tls.open("lucir", ca_file=None).check()

    def test_its_authority_named(self, tls: Server) -> None:
        store = tls.open(tls.bucket())
        store.check()
        assert store.conditional_writes

    def test_without_tls(self, tls: Server) -> None:
        plain = Server(tls.endpoint.replace("https", "http"), "minio")
        with pytest.raises(StoreError, match="LUCIR_S3__ENDPOINT"):
            plain.open("lucir").check()


class TestForeign:
    ODD = ("a//b", " a ", "a\n", "a\x7f", "a\x01", "ä", "a%2Fb", "a+b", "a\\b", "c" * 255)

    def test_keys_with_odd_bytes_are_those_the_server_took(self, server: Server) -> None:
        bucket, admin = server.bucket(), server.admin()
        taken = []
        for name in self.ODD:
            try:
                admin.put_object(bucket, f"incoming/cat/{name}", io.BytesIO(b"1"), 1)
            except MinioException:  # the server's own choice
                continue
            taken.append(f"incoming/cat/{name}")
        store = server.open(bucket)
        listed = [info.key for info in store.list("incoming/")]
        assert len(listed) == len(taken) >= 5
        for number, key in enumerate(listed):
            assert store.read(key) == b"1"
            store.move(key, f"archive/1/{number}")
        assert [info.key for info in store.list("incoming/")] == []

    def test_objects_of_others_stay_as_they_are(self, server: Server) -> None:
        bucket, admin = server.bucket(), server.admin()
        foreign = {"x": b"1", "other/y": b"2", "versionsx/1": b"3", "incomingx/cat/1.png": b"4", ".lucirx/1": b"5"}
        for key, data in foreign.items():
            admin.put_object(bucket, key, io.BytesIO(data), len(data))
        store = server.open(bucket)
        store.check()
        use(store)
        assert {entry.object_name for entry in admin.list_objects(bucket, recursive=True)} == set(foreign)
        assert {key: store.read(key) for key in foreign} == foreign


def use(store: ObjectStore) -> None:
    """Everything that removes objects, and nothing left of it."""
    store.write("incoming/cat/1.png", b"1", only_if_absent=True)
    store.move("incoming/cat/1.png", "versions/1/a")
    store.delete("versions/1/a")
    store.delete("versions/1/a")
