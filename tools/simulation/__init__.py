"""Histories of two updaters, three followers and a person on one simulated store, drawn from a seed, in one process."""
