"""The command line ``lucir``: a person at a terminal."""
