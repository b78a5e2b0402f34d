"""One command per file: its options and its help."""
