"""Training speed: our loop beside a straightforward PyTorch loop, and beside itself with single accelerations off."""
