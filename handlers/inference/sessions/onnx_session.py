"""ONNX Runtime, on the CPU or on a graphics card."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import onnxruntime
from numpy.typing import NDArray

logger = logging.getLogger(__name__)


class UnusableVersionError(RuntimeError):
    """The version's folder is incomplete, damaged or contradicts itself; it must not be served."""


class Session(Protocol):
    """Runs a network; several threads may do so at once."""

    @property
    def outputs(self) -> frozenset[str]:
        """The names of what it computes."""

    def run(self, names: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """These outputs, of inputs by name."""


class OnnxSession:
    """A file, or what would be in it, that ONNX Runtime runs. ``gpu`` is a CUDA device number, used when CUDA really
    works.

    Raises ``UnusableVersionError``.
    """

    def __init__(self, model: Path | bytes, threads: int, gpu: int | None = None) -> None:
        self._session = _open(model, threads, gpu)
        self.inputs = frozenset(str(given.name) for given in self._session.get_inputs())
        self.outputs = frozenset(str(output.name) for output in self._session.get_outputs())

    @property
    def on_gpu(self) -> bool:
        """Whether a graphics card runs it."""
        return bool(self._session.get_providers()[0] == "CUDAExecutionProvider")

    def property(self, name: str) -> str:
        """What the file says of itself under a name; empty: nothing."""
        return str(self._session.get_modelmeta().custom_metadata_map.get(name, ""))

    def run(self, names: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """These outputs, of inputs by name."""
        found: list[NDArray[Any]] = self._session.run(list(names), dict(feed))
        return found


def on_gpu(session: Session) -> bool:
    """Whether a graphics card runs it."""
    return isinstance(session, OnnxSession) and session.on_gpu


def _open(model: Path | bytes, threads: int, gpu: int | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads would take the second core from whoever trains or starts beside this worker.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        if gpu is not None:
            session = _cuda_session(model, options, gpu)
            if session is not None:
                return session
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exception classes have no common public base
        name = model if isinstance(model, Path) else "a network made in memory"
        raise UnusableVersionError(f"{name} cannot be loaded: {error}") from error


def _cuda_session(
    model: Path | bytes, options: onnxruntime.SessionOptions, gpu: int
) -> onnxruntime.InferenceSession | None:
    """A session on the GPU, or None when CUDA does not work here (said once in the log)."""
    reason = "this ONNX Runtime has no CUDA provider"
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        # CUDA and cuDNN come as wheels of their own, which the loader does not find by itself.
        onnxruntime.preload_dlls()
        # By default cuDNN's ways to convolve are timed for each new size of a batch, which held up requests for 0.6 s
        # where others measured it (PaddlePaddle/PaddleX, pull request 5057); chosen by rules they are as fast after.
        cuda = ("CUDAExecutionProvider", {"device_id": gpu, "cudnn_conv_algo_search": "HEURISTIC"})
        try:
            session = onnxruntime.InferenceSession(model, options, providers=[cuda, "CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 (any failure of the GPU has the same remedy: the CPU)
            reason = str(error).splitlines()[0]
        else:
            if session.get_providers()[0] == "CUDAExecutionProvider":
                logger.info("classifying on GPU %d", gpu)
                return session
            reason = "its libraries cannot be loaded"
    logger.warning("classifying on the CPU: CUDA device %d cannot be used (%s)", gpu, reason)
    return None
