"""The Java process of TorchServe: how it is stopped, and what it measures."""
