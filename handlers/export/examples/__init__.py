"""Programs that are written beside an exported model; they import nothing of this service."""
