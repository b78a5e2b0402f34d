"""The follower: keeps the TorchServe of a serving replica at the pointer's version. It learns and writes nothing."""
