"""From the bytes of a request to the answer of one version. No torch: a worker's start is part of every swap."""
