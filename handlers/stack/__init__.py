"""The one-machine stack: TorchServe and the updater as supervised processes."""
