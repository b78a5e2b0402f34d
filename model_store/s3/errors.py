"""What goes wrong between us and an S3 server, as ``StoreError`` with the remedy; never with a key or a signature."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from xml.etree import ElementTree

from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, NewConnectionError, SSLError

from model_store.objects import (
    InvalidKeyError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreError,
    StoreUnavailableError,
)

_KEYS = "correct the access key and the secret key (LUCIR_S3__ACCESS_KEY, LUCIR_S3__SECRET_KEY or their files)"
_POLICY = "give this key a policy that lets it list the bucket, and read, write and delete objects in it; or " + _KEYS
_REGION = "correct the region (LUCIR_S3__REGION)"
_ENDPOINT = "correct the endpoint (LUCIR_S3__ENDPOINT)"

_REFUSALS = {
    "NoSuchBucket": "create the bucket, or correct its name (LUCIR_STORE=s3://bucket)",
    "AccessDenied": _POLICY,
    "AllAccessDisabled": _POLICY,
    "InvalidObjectState": "restore it from the archive's storage class, or delete it",
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "InvalidSecurity": _KEYS,
    "ExpiredToken": _KEYS,
    "RequestTimeTooSkewed": "set the clocks of this machine and of the server right (NTP)",
    "AuthorizationHeaderMalformed": _REGION,
    "AuthorizationQueryParametersError": _REGION,
    "InvalidRegion": _REGION,
    "PermanentRedirect": _REGION + ", or " + _ENDPOINT,
    "Redirect": _REGION + ", or " + _ENDPOINT,
    "XMinioObjectExistsAsDirectory": "rename the folder that has this key",
    "XMinioParentIsObject": "rename the object that stands where a folder is needed",
    "EntityTooLarge": "store a smaller object",
}
_BAD_KEYS = {"KeyTooLongError", "KeyTooLong", "InvalidObjectName", "XMinioInvalidObjectName", "InvalidURI"}
_QUOTA = "raise the bucket's quota, or free space in it"
_FULL = {
    "XMinioStorageFull": "free space on the server",
    "InsufficientStorage": "free space on the server",
    "QuotaExceeded": _QUOTA,
    "XMinioAdminBucketQuotaExceeded": _QUOTA,
}
"""What is small may fit still, and all of it when somebody has seen to it: nothing is wrong with what does not fit."""
_TRANSIENT = {
    "SlowDown",
    "SlowDownRead",
    "SlowDownWrite",
    "ServiceUnavailable",
    "InternalError",
    "RequestTimeout",
    "XMinioServerNotInitialized",
    "XMinioBackendDown",
    "OperationAborted",
}
_LATER = "try again later; if it lasts, look at the server's log"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request went, for messages."""

    endpoint: str
    bucket: str

    def __str__(self) -> str:
        return f"bucket {self.bucket!r} at {self.endpoint}"


@contextmanager
def s3_errors(place: Place, what: str) -> Iterator[None]:
    """Turn every failure of the SDK and of its connections into a ``StoreError`` that names ``what`` and ``place``.

    Chained causes are dropped where they carry a presigned address, which is a short-lived credential.
    """
    try:
        yield
    except S3Error as error:
        raise from_code(place, what, error.code or "", error.message or "", error.response.status) from error
    except ServerError as error:
        raise from_code(place, what, "", str(error), error.status_code) from error
    except InvalidResponseError as error:
        raise _no_s3(place, what, error) from error
    except MinioException as error:
        raise StoreError(f"cannot {what} in {place}: {error}; {_LATER}") from error
    except HTTPError as error:
        raise from_connection(place, what, error) from None
    except ElementTree.ParseError as error:
        raise StoreError(f"cannot {what} in {place}: the answer is not XML ({error}); {_ENDPOINT}") from error
    except ValueError as error:  # the SDK's own checks of names and answers; keys that are not UTF-8
        raise InvalidKeyError(f"cannot {what} in {place}: {error}; rename it to a plain UTF-8 key") from error


def from_code(place: Place, what: str, code: str, message: str, status: int) -> StoreError:
    """The error for an answer: its S3 code, its text, its HTTP status."""
    if code == "NoSuchKey":
        return ObjectNotFoundError(f"cannot {what} in {place}: there is no such object")
    if code == "PreconditionFailed" or status == 412:
        return PreconditionFailedError(f"cannot {what} in {place}: it exists already or changed; read it again")
    told = f"{code}: {message}" if code else message
    if code in _BAD_KEYS:
        return InvalidKeyError(f"cannot {what} in {place} ({told}); use a shorter and plainer name")
    if code in _REFUSALS:
        return StoreError(f"cannot {what} in {place} ({told}); {_REFUSALS[code]}")
    if code in _FULL:
        return StoreUnavailableError(f"cannot {what} in {place} ({told}); {_FULL[code]}")
    if code in _TRANSIENT or status >= 500 or status == 429:
        return StoreUnavailableError(f"cannot {what} in {place} now ({told}); {_LATER}")
    return StoreError(f"cannot {what} in {place} ({told}, HTTP {status}); look at the server's log")


def error_in(body: str | bytes) -> tuple[str, str]:
    """The code and the text of the S3 error in the body of an answer; empty where there is none."""
    try:
        document = ElementTree.fromstring(body)  # noqa: S314 (from the configured store)
    except ElementTree.ParseError:
        return "", ""
    if document.tag.rpartition("}")[2] != "Error":
        return "", ""
    code, message = (document.findtext(f"{{*}}{name}") or "" for name in ("Code", "Message"))
    return code, message


def from_connection(place: Place, what: str, error: HTTPError) -> StoreError:
    """The error for a connection that failed, broke or was too slow. The text holds no request address."""
    while isinstance(error, MaxRetryError) and isinstance(error.reason, HTTPError):
        error = error.reason
    if isinstance(error, SSLError):
        remedy = "name the authority that signed its certificate (LUCIR_S3__CA_FILE), or " + _ENDPOINT
        return StoreError(f"cannot {what} in {place}: TLS failed ({error}); {remedy}")
    if isinstance(error, NewConnectionError | ConnectTimeoutError):
        reason = error.__cause__ or error.__context__ or "no connection in time"
        return StoreUnavailableError(f"cannot reach {place} to {what} ({reason}); start the server, or {_ENDPOINT}")
    kind = type(error).__name__
    return StoreUnavailableError(f"cannot {what} in {place}: the connection failed midway ({kind}); {_LATER}")


def _no_s3(place: Place, what: str, error: InvalidResponseError) -> StoreError:
    """The error for an answer that the SDK does not understand: mostly a web server's page.

    Some S3 servers (rclone) send a proper error as ``text/xml``, which the SDK takes for a page.
    """
    code, message = error_in(getattr(error, "_body", None) or "")  # the SDK keeps body and status to itself
    if code:
        return from_code(place, what, code, message, getattr(error, "_code", 0))
    head = str(error)[:200].replace("\n", " ")  # the rest may be a whole web page
    status = getattr(error, "_code", 0)
    if status >= 500:
        return StoreUnavailableError(f"cannot {what} in {place} now ({head}); {_LATER}")
    return StoreError(f"cannot {what}: what answers for {place} is not an S3 server ({head}); {_ENDPOINT}")
