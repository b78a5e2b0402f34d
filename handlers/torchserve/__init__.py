"""Everything that knows TorchServe: its configuration, its process, its management API, its requests, its swaps.

TorchServe 0.12.0 is the last release of an archived project: it is pinned, and nothing outside this package depends
on how it behaves.
"""
