"""Small programs to read and to start from; each runs by itself with `python -m`."""
