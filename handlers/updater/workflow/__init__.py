"""The steps of an update, in order, and the runner that walks through them."""
