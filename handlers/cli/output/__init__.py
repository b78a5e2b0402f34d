"""What the commands show on a terminal: tables, progress, JSON for scripts."""
