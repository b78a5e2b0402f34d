"""Versions of the model: manifests, the current pointer, object storage, mirrors."""
