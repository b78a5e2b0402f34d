"""The files of a version, by name: ``versions/<n>/<file>``. Every room that writes or reads one takes the name here."""

MODEL = "model.onnx"
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
STATE_FILES = (MODEL, CHECKPOINT, EXEMPLARS, FEATURES, HOLDOUT, EVALUATION, SEEN_IMAGES)
"""What learning goes on from."""
