"""``python -m handlers.stack.bucket``: make the bucket that the settings name, unless it is there.

A step of its own, for a store that starts empty: the updater never creates buckets, so that a mistyped name is an
error and its key needs no right to create any.
"""

import logging
import sys

from handlers.logs import setup_logging
from handlers.setting_values import load_settings
from handlers.settings import Settings, SettingsError
from model_store.objects import StoreError
from model_store.s3.connection import check_bucket, make_client, make_pool
from model_store.s3.errors import Place, s3_errors

logger = logging.getLogger(__name__)


def ensure_bucket(settings: Settings) -> bool:
    """Whether the bucket had to be made; running it again changes nothing. Raises ``StoreError``."""
    url, s3 = settings.store_url, settings.s3
    if not url.startswith("s3://"):
        raise StoreError(f"{url} is not a bucket: set the store to s3://bucket (LUCIR_STORE)")
    bucket = url.removeprefix("s3://").rstrip("/")
    check_bucket(bucket)
    pool = make_pool(s3.ca_file, s3.connect_timeout_seconds, s3.read_timeout_seconds)
    client = make_client(s3.endpoint, s3.region, s3.credentials, pool)
    with s3_errors(Place(s3.endpoint, bucket), "make the bucket"):
        if client.bucket_exists(bucket):
            return False
        client.make_bucket(bucket, location=s3.region)
    return True


def main() -> int:
    """0 when the bucket is there, 1 with a message when it cannot be made."""
    try:
        settings = load_settings()
        setup_logging(settings.log, "bucket")
        made = ensure_bucket(settings)
    except (SettingsError, StoreError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    logger.info("the bucket was made" if made else "the bucket is there", extra={"store": settings.store_url})
    return 0


if __name__ == "__main__":
    sys.exit(main())
