"""The files of a version, by name: ``versions/<n>/<file>``. Every room that writes or reads one takes the name here."""

PREFIX = "versions/"
DOCUMENT_LIMIT = 64 * 1024 * 1024
"""Largest JSON document that is read, in bytes: the evaluation of some thousand classes fits."""
REMOVED = f"{PREFIX}removed.json"
"""The record of what was removed."""
MANIFEST = "manifest.json"
CLAIM = "claim.json"
ATTEMPT_PREFIX = "attempt-"
"""Folders below a number that a later attempt to publish it uploads to, until it is decided what the version holds."""

MODEL = "model.onnx"
QUANTISED = "model.int8.onnx"
"""The same network with whole numbers of eight bits, where it gives the same answers: for servers."""
HEAD = "head.onnx"
"""The part of the network that is of this version alone: for servers that have the rest from another one."""
CHECKPOINT = "checkpoint.safetensors"
EXEMPLARS = "exemplars.safetensors"
FEATURES = "features.safetensors"
"""Only where the backbone is frozen."""
HOLDOUT = "holdout.safetensors"
EVALUATION = "evaluation.json"
CONFIG = "config.yaml"
SEEN_IMAGES = "learnt.safetensors"
CANARY = "canary.json"
REPORT_JSON = "report.json"
REPORT_HTML = "report.html"

FILES = frozenset(
    {
        MODEL,
        QUANTISED,
        HEAD,
        CHECKPOINT,
        EXEMPLARS,
        FEATURES,
        HOLDOUT,
        EVALUATION,
        CONFIG,
        SEEN_IMAGES,
        CANARY,
        REPORT_JSON,
        REPORT_HTML,
    }
)
"""What an update uploads before the manifest."""
STATE_FILES = (MODEL, HEAD, CHECKPOINT, EXEMPLARS, FEATURES, HOLDOUT, EVALUATION, SEEN_IMAGES)
"""What learning goes on from."""


def is_aside(key: str) -> bool:
    """Whether a key lies in the folder of an attempt."""
    words = key.split("/")
    return key.startswith(PREFIX) and len(words) > 3 and words[2].startswith(ATTEMPT_PREFIX)


def file_key(number: int, name: str) -> str:
    """The key of a version's file."""
    return f"{PREFIX}{number}/{name}"
