"""File names of a version, below ``versions/<n>/``; the manifest and the evaluation are named in ``versions``."""

MODEL = "model.onnx"
CHECKPOINT = "checkpoint.safetensors"
EXEMPLARS = "exemplars.safetensors"
HOLDOUT = "holdout.safetensors"
CONFIG = "config.yaml"
