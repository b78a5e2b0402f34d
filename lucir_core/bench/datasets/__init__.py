"""Data sets as the protocols want them."""
