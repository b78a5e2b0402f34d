"""Fewer and larger kernels for networks on a GPU: normalisation with what follows it, weights converted together."""
