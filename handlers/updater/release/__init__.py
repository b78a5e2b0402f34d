"""From a made model to a served version: evaluation, gate, files, pointer, report."""
