"""Correcting an answer: the image joins the training images of its right class, without waiting for the folder.

A correction lies at ``incoming/<class>/corrections/<sha256>.<suffix>`` like any dropped image, with the marker that
says the folder is complete; from there on it is a drop of one image.
"""

import hashlib

from handlers.bucket.dropped_names import class_name
from handlers.bucket.layout import INCOMING, READY_MARKER
from model_store.objects import ObjectStore

FOLDER = "corrections"


def correction_key(name: str, data: bytes, suffix: str) -> str:
    """Where an image is put that is of class ``name``. Raises ``ValueError`` for an impossible class name.

    suffix: as files of this kind have it, with the dot.
    """
    return f"{INCOMING}{class_name(name)}/{FOLDER}/{hashlib.sha256(data).hexdigest()}{suffix}"


def put_correction(objects: ObjectStore, name: str, data: bytes, suffix: str) -> str:
    """Write the image, then the marker; the same image again changes nothing. Raises ``StoreError``."""
    key = correction_key(name, data, suffix)
    objects.write(key, data)
    objects.write(f"{INCOMING}{class_name(name)}/{READY_MARKER}", b"")
    return key
