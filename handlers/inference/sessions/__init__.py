"""A version's network ready to run: as it was published, or as a faster copy that gives the same answers."""
