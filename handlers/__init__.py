"""Everything that answers the outside world: HTTP requests, bucket events, a person at a terminal."""

import os

# ONNX Runtime sends usage data to its maker unless it finds this when it is imported (it has gone by two names).
# Set the variables to 0 to have it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("ORT_TELEMETRY_DISABLED", "1")
