"""A backbone of operations that `onnx_graph` has no rules for (timm's), as torch's exporter traces it."""

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import torch
from onnx import compose, helper

from lucir_core.errors import ConfigError
from lucir_core.export.onnx_graph import GraphWriter
from lucir_core.models.timm_network import TimmNetwork

PREFIX = "backbone."
TRACED_BATCH = 2
"""Not one: with a single image a tracer takes the batch for a constant."""


def write_traced(writer: GraphWriter, backbone: TimmNetwork, images: str, size: int, opset: int) -> str:
    """Add the nodes of `backbone` (eval mode) fed with `images` (batch, 3, size, size); returns the features' name.

    Raises ConfigError for an operation that ONNX has not.
    """
    try:
        with warnings.catch_warnings(), TemporaryDirectory(prefix="lucir-") as folder:
            # The newer exporter takes 6 s instead of 0.3 and a package more; both write the same operations.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                backbone,
                (torch.zeros(TRACED_BATCH, 3, size, size),),
                path := Path(folder) / "backbone.onnx",
                dynamo=False,
                input_names=["images"],
                output_names=["features"],
                opset_version=opset,
                dynamic_axes={"images": {0: "batch"}, "features": {0: "batch"}},
            )
            traced = onnx.load(path)
    except Exception as error:  # the exporter has a dozen kinds of failure and no common class
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"the network cannot be written as ONNX ({reason}): choose another one of timm's") from error
    # Its names must not meet those of the writer.
    graph = compose.add_prefix(traced, PREFIX).graph
    writer.nodes.append(helper.make_node("Identity", [images], [graph.input[0].name]))
    writer.nodes.extend(graph.node)
    writer.constants.extend(graph.initializer)
    return str(graph.output[0].name)
